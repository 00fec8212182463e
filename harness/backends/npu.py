"""Huawei Ascend NPUs through torch_npu."""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends._torch import host_rng_state, module_memory, seed_host, setting, variable
from harness.contracts import Availability
from harness.errors import DeviceUnavailable
from harness.language import recordable
from harness.records import MemoryUse, Switch, SwitchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTO_RANK = 1

ASCEND_FOLDER = Path("/usr/local/Ascend")
"""Where the driver, the firmware and, by default, CANN are installed."""

# Of these settings no two public recipes name the same set, so the union is set: order of collective reductions, order
# of the K loop in matrix products (ATB's and CANN's own), overlap of computing and communication.
_DETERMINISTIC = {
    "HCCL_DETERMINISTIC": "true",
    "LCCL_DETERMINISTIC": "1",
    "ATB_MATMUL_SHUFFLE_K_ENABLE": "0",
    "ATB_LLM_LCOC_ENABLE": "0",
    "CLOSE_MATMUL_K_SHIFT": "1",
    # An operator that silently runs on the CPU would be validated as if the card had computed it.
    "TORCH_NPU_FALLBACK_CPU_DISABLE": "1",
    "PYTHONHASHSEED": "0",
}
_RECORDED = (
    "ASCEND_LAUNCH_BLOCKING",
    "ASCEND_RT_VISIBLE_DEVICES",
    "COMBINED_ENABLE",
    "INF_NAN_MODE_ENABLE",
    "MULTI_STREAM_MEMORY_REUSE",
    "NPU_ASD_ENABLE",
    "PER_STREAM_QUEUE",
    "PYTORCH_NPU_ALLOC_CONF",
    "PYTORCH_NO_NPU_MEMORY_CACHING",
    "TASK_QUEUE_ENABLE",
    "TORCH_NPU_LEGACY_IMPL_LIST",
    "TORCH_NPU_USE_COMPATIBLE_IMPL",
    "TORCH_TRANSFER_TO_NPU",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
)
_CANN_MODULES = {
    "CANN": "CANN",
    recordable("CANN runtime"): "RUNTIME",
    recordable("CANN compiler"): "COMPILER",
    "CANN HCCL": "HCCL",
    recordable("CANN toolkit"): "TOOLKIT",
    recordable("CANN operators"): "OPP",
    recordable("CANN operator kernels"): "OPP_KERNEL",
    recordable("driver"): "DRIVER",
}
"""What the modules are called here, and what torch_npu calls them."""


def probe() -> Availability:
    """Say whether torch_npu sees a card, and why not; looks at versions before it imports anything."""
    try:
        installed = version("torch_npu")
    except PackageNotFoundError:
        return Availability(available=False, reason="torch_npu is not installed")
    try:
        made_for, torch_release = _release(installed), _release(version("torch"))
    except PackageNotFoundError:
        return Availability(available=False, reason=f"torch_npu {installed} is installed without torch")
    if made_for != torch_release:
        reason = f"torch_npu {installed} is made for torch {made_for}, but torch {version('torch')} is installed"
        return Availability(available=False, reason=f"{reason}; install torch=={made_for}")
    try:
        return _found(installed)
    except Exception as error:  # noqa: BLE001 - a broken installation or driver raises whatever it likes
        return Availability(available=False, reason=why_not(installed, error))


def _release(full: str) -> str:
    """Version without local part and post release: torch_npu's names the torch it is made for."""
    return ".".join(re.findall(r"\d+", full)[:3])


def why_not(installed: str, error: Exception) -> str:
    """What keeps an installed torch_npu from working, with the next step."""
    reason = str(error).partition("\n")[0].strip()
    if library := re.search(r"(lib\S+?\.so[.\d]*): cannot open shared object", str(error)):
        scripts = sorted(map(str, ASCEND_FOLDER.glob("*/set_env.sh")))
        step = f"source {scripts[-1]}" if scripts else "install the CANN that its release notes name"
        return f"torch_npu {installed} needs CANN: {library[1]} cannot be opened; {step} and try again"
    if "libhccl" in reason or "ascend" in reason.lower():
        return f"torch_npu {installed} cannot be used ({reason}); source CANN's set_env.sh and try again"
    return f"torch_npu {installed} cannot be used ({type(error).__name__}: {reason}); see harness doctor"


def _found(installed: str) -> Availability:
    import torch
    import torch_npu  # noqa: F401 - importing it registers torch.npu

    npu: Any = torch.npu  # type: ignore[attr-defined]
    count = int(npu.device_count()) if npu.is_available() else 0
    if not count:
        reason = f"torch_npu {installed} finds no card; check the driver with npu-smi info"
        return Availability(available=False, reason=reason, facts=_versions(), simulated=is_simulated())
    name = str(npu.get_device_name(0))
    return Availability(
        available=True,
        reason=f"{name} (simulated)" if is_simulated() else name,
        device_count=count,
        facts=_versions(),
        memory_bytes=[_memory_bytes(npu, index) for index in range(count)],
        simulated=is_simulated(),
    )


def is_simulated() -> bool:
    """Whether the CANN that is loaded is a stand-in; only a stand-in exports that symbol, and no variable can claim it.

    Looked up in the library that torch_npu itself has loaded under this name.
    """
    try:
        return hasattr(ctypes.CDLL("libascendcl.so"), "ascend_sim_stand_in")
    except OSError:
        return False


def _memory_bytes(npu: Any, index: int) -> int:
    properties = npu.get_device_properties(index)
    return int(properties.total_memory)


def _versions() -> dict[str, str]:
    """Versions of torch_npu's source, CANN and its modules, driver and firmware; what cannot be told is left out."""
    import torch_npu

    asked = {
        recordable("commit of torch_npu"): lambda: torch_npu.version.git_version,
        **{name: _cann_version(module) for name, module in _CANN_MODULES.items()},
        recordable("driver package"): lambda: installed_version("driver"),
        recordable("firmware"): lambda: installed_version("firmware"),
        "npu-smi": npu_smi_version,
    }
    answers = {name: _answer(ask) for name, ask in asked.items()}
    cann = answers["CANN"]
    # A module of the same version as CANN itself says nothing more.
    return {
        name: answer
        for name, answer in answers.items()
        if answer and (name == "CANN" or name not in _CANN_MODULES or answer != cann)
    }


def _cann_version(module: str) -> Callable[[], Any]:
    def ask() -> Any:
        from torch_npu.npu.utils import get_cann_version

        return get_cann_version(module)

    return ask


def _answer(ask: Callable[[], Any]) -> str:
    """An answer in words; empty where torch_npu raises, which many of its questions do without a card."""
    try:
        return str(ask() or "")
    except Exception:  # noqa: BLE001 - RuntimeError, TypeError, AttributeError: what it raises depends on its version
        return ""


def installed_version(package: str) -> str:
    """Version of the driver or the firmware package, from the file that its installer leaves."""
    text = (ASCEND_FOLDER / package / "version.info").read_text(encoding="utf-8")
    match = re.search(r"(?im)^version\s*=\s*(\S+)", text)
    return match[1] if match else ""


def npu_smi_version() -> str:
    """Version of the driver's tool; raises where the tool is missing or refused."""
    output = subprocess.run(["npu-smi", "-v"], capture_output=True, text=True, timeout=20, check=True).stdout
    match = re.search(r"\d+(\.\w+)+", output)
    return match[0] if match else ""


def start_environment(switches: SwitchMode) -> dict[str, str]:
    """Variables that CANN and torch_npu read when they start.

    Autoloading is off in either mode: the backend imports torch_npu itself, where a failure can be told in words.
    """
    start = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    return start | _DETERMINISTIC if switches is SwitchMode.DETERMINISTIC else start


def open(index: int, switches: SwitchMode) -> NpuDevice:  # noqa: A001 - the contract's word for it
    """Open one card.

    Raises:
        DeviceUnavailable: there is no card of that index.
    """
    answer = probe()
    if not answer.available or not 0 <= index < answer.device_count:
        raise DeviceUnavailable(f"npu:{index} is not there: {answer.reason} ({answer.device_count} devices).")
    return NpuDevice(index, switches)


class NpuDevice:
    """One card, opened."""

    def __init__(self, index: int, switches: SwitchMode) -> None:
        import torch
        import torch_npu

        self.torch_device = f"npu:{index}"
        self.simulated = is_simulated()
        self._npu: Any = torch.npu  # type: ignore[attr-defined]
        self._native: Any = torch_npu._C  # noqa: SLF001 - the only way to read back what the public calls have set
        self._index = index
        self._deterministic = switches is SwitchMode.DETERMINISTIC
        self._requested = start_environment(switches)
        self._level: int | None = None
        if self._deterministic:  # before the card is touched: the first setting a thread launches with stays in force
            torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
            self._npu.conv.allow_hf32 = False
            self._npu.matmul.allow_hf32 = False
            self._npu.config.allow_internal_format = False
            self._npu.set_compile_mode(jit_compile=False)
            self._level = _set_deterministic_level(self._npu)
        self._npu.set_device(index)
        self.name = str(self._npu.get_device_name(index))

    def seed(self, seed: int) -> None:
        """Seed every generator of the process and of all cards."""
        seed_host(seed)
        self._npu.manual_seed_all(seed)

    def rng_state(self) -> str:
        """Digest of the global generators of host and card."""
        state = self._npu.get_rng_state(self.torch_device).cpu().numpy().tobytes()
        return hashlib.sha256(state + host_rng_state().encode()).hexdigest()

    def synchronize(self) -> None:
        """Wait until the card has done all queued work."""
        self._npu.synchronize(self.torch_device)

    def switches(self) -> list[Switch]:
        """Environment variables and settings of torch_npu, asked for and in force."""
        import torch

        on, off = (True, False) if self._deterministic else (None, None)
        return [
            *(variable(name, self._requested) for name in sorted({*_DETERMINISTIC, *_RECORDED})),
            setting("torch.are_deterministic_algorithms_enabled", on, torch.are_deterministic_algorithms_enabled()),
            setting("torch_npu.npu.set_deterministic_level", self._level, self._deterministic_level()),
            setting("torch.npu.conv.allow_hf32", off, self._npu.conv.allow_hf32),
            setting("torch.npu.matmul.allow_hf32", off, self._npu.matmul.allow_hf32),
            setting("torch.npu.matmul.cube_math_type", None, getattr(self._npu.matmul, "cube_math_type", None)),
            setting("torch.npu.config.allow_internal_format", off, self._option("ALLOW_INTERNAL_FORMAT")),
            setting("torch.npu.set_compile_mode jit_compile", off, not self._npu.is_jit_compile_false()),
            setting("ACL_PRECISION_MODE", None, self._option("ACL_PRECISION_MODE")),
            setting("ACL_OP_SELECT_IMPL_MODE", None, self._option("ACL_OP_SELECT_IMPL_MODE")),
            setting("torch_npu compatible implementations", None, _answer(self._compatible) or "not reported"),
            setting("torch_npu.contrib.transfer_to_npu", None, _transfers_to_npu()),
        ]

    def _deterministic_level(self) -> str:
        ask = getattr(self._native, "_npu_get_deterministic_level", None)
        return str(ask()) if ask else "not reported"

    def _option(self, name: str) -> str:
        """An option of torch_npu in torch's words; ``default`` where nothing set it."""
        raw = self._native._npu_getOption(name)  # noqa: SLF001 - there is no public call that reads it back
        answer = (raw or b"").decode()
        return {"enable": "True", "disable": "False", "": "default"}.get(answer, answer)

    def _compatible(self) -> str:
        return str(self._npu.are_compatible_impl_enabled())

    def memory(self, modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
        """Bytes of each component, and the card's allocated memory with its peak as ``device``."""
        whole = MemoryUse(
            allocated_bytes=int(self._npu.memory_allocated(self._index)),
            peak_bytes=int(self._npu.max_memory_allocated(self._index)),
        )
        return {**module_memory(modules), "device": whole}

    def reset_peak_memory(self) -> None:
        """Start a new peak."""
        self._npu.reset_peak_memory_stats(self._index)

    def facts(self) -> dict[str, str]:
        """Versions of CANN, driver and firmware as far as they can be told, and what the chip has."""
        properties = self._npu.get_device_properties(self._index)
        chip = {
            recordable("HBM bytes"): getattr(properties, "total_memory", None),
            recordable("cube cores"): getattr(properties, "cube_core_num", None),
            recordable("vector cores"): getattr(properties, "vector_core_num", None),
            recordable("L2 cache bytes"): getattr(properties, "L2_cache_size", None),
        }
        return _versions() | {name: str(value) for name, value in chip.items() if value}


def _set_deterministic_level(npu: Any) -> int | None:
    """Ask for level 1, which makes torch's flag explicit; None where this torch_npu or its CANN has no levels."""
    if not hasattr(npu, "set_deterministic_level"):
        return None
    with warnings.catch_warnings():
        # It warns against calls of torch's flag that come later; ours came before.
        warnings.simplefilter("ignore")
        try:
            npu.set_deterministic_level(1)
        except RuntimeError:  # CANN before 8.5.0; torch's flag alone is in force there
            return None
    return 1


def _transfers_to_npu() -> bool:
    """Whether calls of torch.cuda are rewritten to the NPU, which would make a GPU reference a lie."""
    return "torch_npu.contrib.transfer_to_npu" in sys.modules
