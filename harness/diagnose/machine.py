"""What doctor looks at: one machine, seen once, as plain values that may be published.

The root folder and the environment are arguments, so that a test can plant a machine. Text that comes from outside is
freed of home folders and secrets here, before anything else sees it; variables are kept from an allow-list only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.contracts import Availability
from harness.diagnose import npu_smi
from harness.diagnose.npu_smi import NpuSmi
from harness.host import describe_host
from harness.records import Severity
from harness.text import one_line, redact
from harness.variables import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PREFIXES = (
    *("ASCEND_", "ACL_", "HCCL_", "LCCL_", "ATB_", "NPU_", "TORCH_", "PYTORCH_", "TASK_QUEUE", "INF_NAN"),
    *("CLOSE_MATMUL", "MULTI_STREAM", "OMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "CUBLAS_", "CUDA_"),
    *("NVIDIA_TF32", "NCCL_"),
)
"""Variables of these libraries are looked at, and those that are known to change numbers; no other is."""

_SAID = 300
"""Characters kept of what a library says."""
_IMPORT_SECONDS = 300
_IMPORT = "import sys, torch; print('torch_npu.contrib.transfer_to_npu' in sys.modules)"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder or a device file, and whether it can be used."""

    path: str
    """Where it is."""
    owner: Literal["you", "root", "another user"]
    """Whose it is; names of people are nobody's business."""
    usable: bool
    """Whether this user may read it, and for a device file write it."""


@dataclass(frozen=True, kw_only=True)
class Cann:
    """One installation of CANN."""

    path: str
    """Its folder."""
    version: str
    """Its version, as in ``8.5.0`` or ``8.3.RC1``."""
    set_env: str = ""
    """The script that activates it; empty where none was found."""
    active: bool = False
    """Whether ``ASCEND_HOME_PATH`` or ``ASCEND_TOOLKIT_HOME`` names it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """All that the checks judge."""

    wanted: str = "auto"
    """Device that is asked for: ``auto`` or the name of a backend."""
    backends: Mapping[str, Availability] = field(default_factory=dict)
    """What each backend answers, in the order in which ``auto`` tries them."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages that matter."""
    torch_cuda: str = ""
    """CUDA that torch was built for; empty for none."""
    torch_error: str = ""
    """Why ``import torch`` fails in the user's own environment; empty when it does not."""
    transfers_to_npu: bool = False
    """Whether ``import torch`` alone already redirects ``torch.cuda`` to the NPU."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Allow-listed variables."""
    cann: Sequence[Cann] = ()
    """Installations of CANN, newest last."""
    ascend_folders: Sequence[Place] = ()
    """Folders that CANN and its driver are installed below."""
    device_files: Sequence[Place] = ()
    """``/dev/davinci0`` and so on."""
    driver: str = ""
    """Version of the Ascend driver."""
    firmware: str = ""
    """Version of the Ascend firmware."""
    npu_smi: NpuSmi = field(default_factory=lambda: NpuSmi(state="missing"))
    """What npu-smi says."""

    @property
    def npu(self) -> Availability:
        """What the NPU backend answers."""
        return self.backends.get("npu", Availability(available=False, reason="there is no backend npu"))

    @property
    def npu_wanted(self) -> bool:
        """Whether an NPU is meant: by its name, or by ``auto`` where torch_npu or a card is there."""
        return self.wanted == "npu" or (
            self.wanted == "auto" and ("torch_npu" in self.packages or bool(self.device_files))
        )

    @property
    def gravity(self) -> Severity:
        """What a cause is that can keep the NPU from working: only a warning where the NPU works all the same."""
        return Severity.BLOCKED if self.npu_wanted and not self.npu.available else Severity.WARNING

    @property
    def active_cann(self) -> Cann | None:
        """The CANN whose set_env.sh was sourced."""
        return next((cann for cann in self.cann if cann.active), None)


def look(root: Path, environment: Mapping[str, str], backends: Mapping[str, Availability], wanted: str) -> Machine:
    """Gather everything once; nothing is changed, and no device is opened but by the backends asked before."""
    packages = describe_host().packages
    imported = import_torch(environment) if "torch" in packages else Imported("", transfers_to_npu=False)
    tool = npu_smi.ask(root, environment)
    return Machine(
        wanted=wanted,
        backends={
            name: replace(backend, reason=_clean(backend.reason, environment)) for name, backend in backends.items()
        },
        packages=packages,
        torch_cuda=_torch_cuda(),
        torch_error=_clean(imported.error, environment),
        transfers_to_npu=imported.transfers_to_npu,
        environment=variables(environment),
        cann=cann_installations(root, environment),
        ascend_folders=[
            _place(folder, root, environment) for folder in _ascend_folders(root, environment) if _is_there(folder)
        ],
        device_files=[
            _place(path, root, environment, os.R_OK | os.W_OK) for path in sorted(root.glob("dev/davinci[0-9]*"))
        ],
        driver=_version_info(root / "usr/local/Ascend/driver/version.info"),
        firmware=_version_info(root / "usr/local/Ascend/firmware/version.info"),
        npu_smi=replace(tool, complaint=_clean(tool.complaint, environment)),
    )


def _clean(text: str, environment: Mapping[str, str]) -> str:
    return one_line(redact(text, environment), _SAID)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The allow-listed variables, with cleaned values."""
    names = [name for name in sorted(environment) if name.startswith(PREFIXES) or known(name)]
    return {name: _clean(environment[name], environment) for name in names}


# --- torch -----------------------------------------------------------------------------------------------------------


class Imported(NamedTuple):
    """How ``import torch`` went."""

    error: str
    transfers_to_npu: bool


def import_torch(environment: Mapping[str, str]) -> Imported:
    """Import torch in a child that has the user's environment as it is, where the harness's own workers change it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Imported(f"no end in {_IMPORT_SECONDS} s", transfers_to_npu=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        return Imported(last or f"exit code {done.returncode}", transfers_to_npu=False)
    return Imported("", transfers_to_npu=done.stdout.split()[-1:] == ["True"])  # libraries print before our own line


def _torch_cuda() -> str:
    """CUDA version from the file torch keeps it in: the package's version does not always name it."""
    try:
        text = _text(Path(str(distribution("torch").locate_file("torch/version.py"))))
    except PackageNotFoundError:
        return ""
    match = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)", text, re.MULTILINE)
    return match[1] if match else ""


# --- CANN and driver -------------------------------------------------------------------------------------------------


def cann_installations(root: Path, environment: Mapping[str, str]) -> list[Cann]:
    """Installations named by the environment or found in the usual places, each once, newest last."""
    active = [_below(root, value) for name in _HOMES if (value := environment.get(name))]
    usual = [
        place
        for folder in _ascend_folders(root, environment)
        for pattern in ("cann*", "latest", "[0-9]*")
        for place in sorted(folder.glob(pattern))
    ]
    homes = {home.resolve() for home in active}
    installed = {}
    for folder in (*active, *usual):
        real = folder.resolve()
        if real not in installed and (version := _cann_version(folder)):
            installed[real] = Cann(
                path=_shown(folder, root, environment),
                version=version,
                set_env=_set_env(folder, root, environment),
                active=real in homes,
            )
    return sorted(installed.values(), key=lambda cann: release(cann.version))


_CANN_VERSION = re.compile(
    r"^(?:version=|(?:toolkit|runtime)_running_version=\[[^:\]]*:)(\d[\w.-]*)",  # of the install note, of version.cfg
    re.MULTILINE,
)
_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")


def release(version: str) -> tuple[int, int, int]:
    """What is compared of a CANN version; a release candidate comes before its release.

    >>> release("8.3.RC1") < release("8.3.0") < release("8.5.0") < release("9.2.0-beta.2")
    True
    """
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not numbers:
        return (0, 0, 0)
    return int(numbers[1]), int(numbers[2]), -1 if numbers[3] is None else int(numbers[3])


def _ascend_folders(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where CANN is installed by root or by a user; up to version 8 a folder deeper."""
    bases = [root / "usr/local/Ascend"]
    if home := environment.get("HOME"):
        bases.append(_below(root, home) / "Ascend")
    for base in bases:
        yield base
        yield base / "ascend-toolkit"


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _cann_version(folder: Path) -> str:
    """Version of an installation; empty where the folder is none."""
    notes = (*folder.glob("*/ascend_toolkit_install.info"), folder / "ascend_toolkit_install.info")
    texts = [_text(file) for file in (*notes, folder / "version.cfg")]
    return next((match[1] for text in texts if (match := _CANN_VERSION.search(text))), "")


def _set_env(folder: Path, root: Path, environment: Mapping[str, str]) -> str:
    """The script, which lies in the installation from version 9 and beside it before."""
    files = (folder / "set_env.sh", folder.parent / "set_env.sh")
    return next((_shown(file, root, environment) for file in files if _is_there(file)), "")


def _version_info(file: Path) -> str:
    match = re.search(r"^version\s*=\s*(\S+)", _text(file), re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""


# --- files -----------------------------------------------------------------------------------------------------------


def _place(path: Path, root: Path, environment: Mapping[str, str], access: int = os.R_OK | os.X_OK) -> Place:
    owner = path.stat().st_uid
    whose: Literal["you", "root", "another user"] = (
        "you" if owner == os.getuid() else "root" if owner == 0 else "another user"
    )
    return Place(path=_shown(path, root, environment), owner=whose, usable=os.access(path, access))


def _shown(path: Path, root: Path, environment: Mapping[str, str]) -> str:
    return _clean(f"/{path.relative_to(root)}", environment)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it may not be entered
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
