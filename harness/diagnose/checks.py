"""What is wrong with a machine: pure functions from what was seen to findings.

They stand in one file because each is a few lines and all lean on the same two tables; the variables have a file of
their own. A check gives a finding for each fault and, where there is none, at most one that says what is in order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.diagnose.machine import release
from harness.diagnose.switches import switches
from harness.records import Diagnosis, Finding, Severity
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.diagnose.machine import Cann, Machine

CANN_OF_TORCH_NPU = {
    wheel: cann
    for cann, wheels in {
        "9.1.0": "2.12.0 2.11.0 2.10.0.post4 2.9.0.post6 2.7.1.post8",
        "9.0.0": "2.10.0.post2 2.9.0.post2 2.8.0.post4 2.7.1.post4",
        "8.5.0": "2.9.0 2.8.0.post2 2.7.1.post2 2.6.0.post5",
        "8.3.RC1": "2.8.0 2.7.1 2.6.0.post3 2.1.0.post17",
        "8.2.RC1": "2.6.0 2.5.1.post1 2.1.0.post13",
        "8.1.RC1": "2.5.1 2.4.0.post4 2.3.1.post6 2.1.0.post12",
        "8.0.0": "2.4.0.post2 2.3.1.post4 2.1.0.post10",
    }.items()
    for wheel in wheels.split()
}
"""CANN that a wheel of torch_npu is listed with, from the compatibility page of github.com/Ascend/pytorch.

One torch version pairs with several CANN releases, told apart by ``.postN`` alone, so the full version counts.
"""

OLDEST_CANN = "8.5.0"
"""What the porting note of DeepGen-1.0 asks for; torch_npu's deterministic levels need it as well."""

WEIGHT_BYTES = 14_346_011_318
"""Weights of DeepGen-1.0 in bfloat16 and, for the connector, float32: the sum over its safetensors headers."""

_LIBRARY = re.compile(r"\blib[\w+-]+\.so(?:\.\d+)*")
_DRIVER_LIBRARIES = ("libascend_hal", "libdrv", "libdcmi")


def diagnose(machine: Machine) -> Diagnosis:
    """Judge a machine; the worst finding comes first."""
    checks = EVERYWHERE + (FOR_THE_NPU if machine.npu_wanted else ())
    findings = [finding for check in checks for finding in check(machine)]
    order = list(Severity)
    ranked = sorted(findings, key=lambda finding: (order.index(finding.severity), not finding.changes_numbers))
    return Diagnosis(wanted=machine.wanted, summary=_summary(machine, ranked), findings=ranked)


def _summary(machine: Machine, findings: list[Finding]) -> str:
    blocked = [finding.name for finding in findings if finding.severity is Severity.BLOCKED]
    warned = [finding for finding in findings if finding.severity is Severity.WARNING]
    numbers = sum(finding.changes_numbers for finding in warned)
    usable = [name for name, backend in machine.backends.items() if backend.available]
    if not usable:
        state = "No device can be used here"
    elif usable == ["cpu"]:
        state = "Only the CPU can be used here"
    else:
        state = f"Usable here: {', '.join(usable)}"
    if blocked:
        state += f"; blocked: {', '.join(dict.fromkeys(blocked))}"
    state += f"; {len(warned)} warning{'s' * (len(warned) != 1)}"
    return f"{state} ({numbers} can change numbers)." if numbers else f"{state}."


# --- everywhere ------------------------------------------------------------------------------------------------------


def device(machine: Machine) -> Iterator[Finding]:
    """The wanted device can be used."""
    if "torch" not in machine.packages:
        return  # no backend can answer without it, and its own line says so
    wanted = "npu" if machine.npu_wanted else machine.wanted
    usable = {name: backend for name, backend in machine.backends.items() if backend.available}
    if wanted != "auto" and wanted not in usable:
        answer = machine.backends.get(wanted)
        yield Finding(
            name=wanted,
            severity=Severity.BLOCKED,
            observed=answer.reason if answer else f"no backend is called {wanted}",
            expected=f"a device that {wanted} can open",
            next_step="Deal with the other lines on it first"
            + (f"; until then there is --device {' or '.join(usable)}." if usable else "."),
        )
    elif not usable:
        yield Finding(
            name="device",
            severity=Severity.BLOCKED,
            observed="; ".join(f"{name}: {backend.reason}" for name, backend in machine.backends.items()),
            expected="at least the CPU",
            next_step="Deal with the reason that stands behind the device you want.",
        )
    else:
        name = next(iter(usable)) if wanted == "auto" else wanted
        count = usable[name].device_count
        what = f"{count} device{'s' * (count != 1)}: {usable[name].reason}"
        others = [f"{other} ({answer.reason})" for other, answer in machine.backends.items() if not answer.available]
        yield Finding(
            name="device",
            severity=Severity.OK,
            observed=f"{name} can be used, {what}" + (f"; not here: {', '.join(others)}" if others else ""),
        )


def simulated(machine: Machine) -> Iterator[Finding]:
    """No stand-in plays the devices."""
    for name, answer in machine.backends.items():
        if answer.simulated and answer.available and machine.wanted in {"auto", name}:
            yield Finding(
                name="SIMULATED",
                severity=Severity.WARNING,
                changes_numbers=True,
                observed=f"{answer.device_count} SIMULATED {name} device(s): {answer.reason}. A stand-in library "
                "plays CANN and the CPU computes",
                expected="real cards, for any statement about numbers, time or memory",
                next_step="Good for testing pipelines and the harness; take no result for evidence about hardware.",
            )


def torch(machine: Machine) -> Iterator[Finding]:
    """Torch is there and can be imported with the user's own environment."""
    version = machine.packages.get("torch")
    if version is None:
        yield Finding(
            name="torch",
            severity=Severity.BLOCKED,
            observed="torch is not installed: nothing can be run; comparing, judging and reporting work",
            expected="torch 2.5 or later",
            next_step=install("run"),
        )
    elif not machine.torch_error:
        yield Finding(name="torch", severity=Severity.OK, observed=f"import torch works, version {version}")
    elif "backend extension" in machine.torch_error or "AUTOLOAD" in machine.torch_error:
        yield Finding(
            name="autoload",
            severity=Severity.WARNING,
            observed=f"import torch fails in your own scripts, because it loads torch_npu: {machine.torch_error}",
            expected="an import torch that works; the harness's own workers turn the loading off",
            next_step="export TORCH_DEVICE_BACKEND_AUTOLOAD=0, or source CANN's set_env.sh where there is a card.",
        )
    else:
        yield Finding(
            name="torch",
            severity=Severity.BLOCKED,
            observed=f"import torch fails, version {version}: {machine.torch_error}",
            expected="an import torch that works",
            next_step=f"Install it again: {install('run')}",
        )


def libraries(machine: Machine) -> Iterator[Finding]:
    """The packages that load and run a pipeline are there, in versions that can."""
    missing = [name for name in ("diffusers", "transformers", "accelerate") if name not in machine.packages]
    for name in missing:
        yield Finding(
            name=name,
            # diffusers loads a pipeline without accelerate, only slower and with more memory.
            severity=Severity.WARNING if name == "accelerate" else Severity.BLOCKED,
            observed=f"{name} is not installed",
            expected="diffusers, transformers and accelerate, which load the pipelines",
            next_step=install("run"),
        )
    faults = [*_diffusers(machine), *_transformers(machine)]
    yield from faults
    if not missing and not faults:
        versions = [f"{name} {machine.packages[name]}" for name in ("diffusers", "transformers", "accelerate")]
        yield Finding(name="libraries", severity=Severity.OK, observed=", ".join(versions))


def _diffusers(machine: Machine) -> Iterator[Finding]:
    version = machine.packages.get("diffusers", "")
    if not version or _numbers(version) >= (0, 38):
        return
    faults = ["it is older than what the harness is made for"]
    if _numbers(version) < (0, 35):
        faults.append("DeepGen-1.0 asks for 0.35")
    if machine.npu_wanted:
        faults.append(
            "its attention backend _native_npu ignores masks"
            if _numbers(version) < (0, 37)
            else "its attention backend _native_npu inverts only some masks"
        )
    yield Finding(
        name="diffusers",
        severity=Severity.WARNING,
        changes_numbers=machine.npu_wanted,
        observed=f"diffusers {version}: {'; '.join(faults)}",
        expected="0.38",
        next_step="pip install 'diffusers>=0.38,<0.39'",
    )


def _transformers(machine: Machine) -> Iterator[Finding]:
    version = machine.packages.get("transformers", "")
    if _numbers(version) >= (5,):
        yield Finding(
            name="transformers",
            severity=Severity.WARNING,
            observed=f"transformers {version}: version 5 took away attributes that DeepGen's pipeline file uses",
            expected="4.56 or 4.57 for DeepGen-1.0; other pipelines may work",
            next_step="pip install 'transformers>=4.56,<5'",
        )


# --- for the NPU -----------------------------------------------------------------------------------------------------


def torch_npu(machine: Machine) -> Iterator[Finding]:
    """torch_npu is there and made for this torch."""
    version, beside = machine.packages.get("torch_npu"), machine.packages.get("torch")
    if version is None:
        yield Finding(
            name="torch_npu",
            severity=machine.gravity,
            observed=f"torch_npu is not installed, device files: {len(machine.device_files)}",
            expected="the torch_npu of the installed torch and CANN",
            next_step="pip install torch_npu, in the version that the compatibility page of github.com/Ascend/pytorch "
            "gives for your CANN.",
        )
        return
    if beside is None:
        return
    if _base(version) != _base(beside):
        yield Finding(
            name="torch_npu",
            severity=machine.gravity,
            observed=f"torch_npu {version} beside torch {beside}",
            expected=f"torch {_base(version)}",
            next_step=f"pip install torch=={_base(version)} --index-url https://download.pytorch.org/whl/cpu",
        )
    if machine.torch_cuda:
        yield Finding(
            name="torch_npu",
            severity=machine.gravity,
            observed=f"torch {beside} is built for CUDA {machine.torch_cuda}, and torch_npu refuses to stand beside it",
            expected="a torch built for the CPU",
            next_step=f"pip install torch=={_base(version)} --index-url https://download.pytorch.org/whl/cpu",
        )


def cann(machine: Machine) -> Iterator[Finding]:
    """CANN is there, active, new enough, and the one that torch_npu is listed with."""
    wheel = machine.packages.get("torch_npu", "")
    listed = CANN_OF_TORCH_NPU.get(wheel)
    if machine.npu.simulated:
        return
    if not machine.cann:
        yield Finding(
            name="CANN",
            severity=machine.gravity,
            observed="no CANN in /usr/local/Ascend, in ~/Ascend, or where ASCEND_HOME_PATH points",
            expected=f"CANN {listed}, which torch_npu {wheel} is listed with" if listed else f"{OLDEST_CANN} or later",
            next_step="Install it, or mount it into the container, and source its set_env.sh.",
        )
        return
    kit = machine.active_cann or machine.cann[-1]
    faults = [*_not_active(machine, kit), *_too_old(kit), *_not_listed(machine, kit, wheel, listed)]
    yield from faults
    if not any(fault.severity in {Severity.BLOCKED, Severity.WARNING} for fault in faults):
        pair = f", the one torch_npu {wheel} is listed with" if listed else ""
        yield Finding(name="CANN", severity=Severity.OK, observed=f"CANN {kit.version} in {kit.path}{pair}")


def _not_active(machine: Machine, kit: Cann) -> Iterator[Finding]:
    if machine.active_cann:
        return
    home = machine.environment.get("ASCEND_HOME_PATH")
    wrong = f"ASCEND_HOME_PATH is {home}, which holds no CANN" if home else "ASCEND_HOME_PATH is not set"
    yield Finding(
        name="CANN",
        severity=machine.gravity,
        observed=f"CANN {kit.version} is installed in {kit.path} but not active: {wrong}",
        expected="its set_env.sh sourced in the shell that starts the harness",
        next_step=f"source {kit.set_env or f'the set_env.sh of {kit.path}'}",
    )


def _too_old(kit: Cann) -> Iterator[Finding]:
    if release(kit.version) < release(OLDEST_CANN):
        yield Finding(
            name="CANN",
            severity=Severity.WARNING,
            changes_numbers=True,
            observed=f"CANN {kit.version} in {kit.path}: torch_npu's deterministic levels need {OLDEST_CANN}",
            expected=f"{OLDEST_CANN} or later, as the porting note of DeepGen-1.0 asks for",
            next_step="Install a newer CANN with the torch_npu that is listed with it.",
        )


def _not_listed(machine: Machine, kit: Cann, wheel: str, listed: str | None) -> Iterator[Finding]:
    if not wheel:
        return
    if listed is None:
        yield Finding(
            name="versions",
            severity=Severity.HARMLESS,
            observed=f"whether torch_npu {wheel} and CANN {kit.version} fit is unknown: the table has no such wheel",
            expected="a listed pair, such as torch_npu 2.12.0 with CANN 9.1.0",
            next_step="Nothing, if cards open; the full version is recorded with every run.",
        )
    # A patch release of the same line counts as the same; the page lists only the first of each.
    elif release(kit.version)[:2] != release(listed)[:2]:
        yield Finding(
            name="versions",
            severity=machine.gravity,
            changes_numbers=True,
            observed=f"torch_npu {wheel} with CANN {kit.version}",
            expected=f"CANN {listed}, which this wheel is listed with",
            next_step=f"source the set_env.sh of CANN {listed}, or install the torch_npu listed with {kit.version}.",
        )


def missing_library(machine: Machine) -> Iterator[Finding]:
    """Every library that torch_npu loads can be opened."""
    if machine.npu.available or not (match := _LIBRARY.search(machine.npu.reason)):
        return
    name = match[0]
    if name.startswith(_DRIVER_LIBRARIES):
        owner, step = "the driver", "Add /usr/local/Ascend/driver/lib64 and its folders to LD_LIBRARY_PATH."
    elif name.startswith("libatb"):
        owner, step = "NNAL, which brings ATB", "source /usr/local/Ascend/nnal/atb/set_env.sh"
    else:
        place = machine.active_cann or (machine.cann[-1] if machine.cann else None)
        owner = "CANN"
        step = f"source {place.set_env}" if place and place.set_env else "Install CANN and source its set_env.sh."
    yield Finding(
        name="library",
        severity=machine.gravity,
        observed=f"{name} cannot be opened",
        expected=f"{name} on the loader's path; {owner} brings it",
        next_step=step,
    )


def folders(machine: Machine) -> Iterator[Finding]:
    """The folders of CANN can be read."""
    for place in machine.ascend_folders:
        if not place.usable:
            yield Finding(
                name="folder",
                severity=machine.gravity,
                observed=f"{place.path} belongs to {place.owner} and may not be read by you",
                expected="read and enter rights",
                next_step=f"chmod -R o+rX {place.path} as its owner, or run as a member of its group.",
            )


def driver(machine: Machine) -> Iterator[Finding]:
    """The driver is there, and its device files may be used."""
    if machine.npu.simulated:
        return
    barred = [place.path for place in machine.device_files if not place.usable]
    if not machine.device_files:
        yield Finding(
            name="driver",
            severity=machine.gravity,
            observed="there is no device file /dev/davinci0, /dev/davinci1, ...",
            expected="one for each card",
            next_step="On a host install the driver; in a container pass --device /dev/davinci0, "
            "--device /dev/davinci_manager, --device /dev/devmm_svm and --device /dev/hisi_hdc.",
        )
    elif barred:
        yield Finding(
            name="driver",
            severity=machine.gravity,
            observed=f"{', '.join(barred)} may not be read and written by you",
            expected="read and write rights",
            next_step="Join the group that owns the device files, or ask for the rights.",
        )
    elif machine.driver:
        firmware = f", firmware {machine.firmware}" if machine.firmware else ""
        count = len(machine.device_files)
        observed = f"driver {machine.driver}{firmware}, {count} device file{'s' * (count != 1)}"
        yield Finding(name="driver", severity=Severity.OK, observed=observed)
    else:
        yield Finding(
            name="driver",
            severity=Severity.HARMLESS,
            observed="/usr/local/Ascend/driver/version.info is missing: records cannot name the driver",
            expected="the file, also inside a container",
            next_step="Mount it into the container.",
        )


def cards(machine: Machine) -> Iterator[Finding]:
    """npu-smi answers, all cards are well, and nobody else works on them."""
    if machine.npu.simulated:
        return
    tool = machine.npu_smi
    if tool.state != "answered":
        yield Finding(
            name="npu-smi",
            severity=Severity.WARNING,
            observed="npu-smi is not installed" if tool.state == "missing" else f"npu-smi failed: {tool.complaint}",
            expected="a table of cards; without it health and other jobs cannot be seen",
            next_step="In a container mount /usr/local/bin/npu-smi, /usr/local/dcmi and the driver's lib64."
            + (" -8005 and -8020 often mean that another container holds the card." * (tool.state == "failed")),
        )
        return
    ill = [chip for chip in tool.chips if chip.health != "OK"]
    busy = [chip for chip in tool.chips if chip.processes or chip.load_percent]
    for chip in ill:
        yield Finding(
            name="health",
            severity=Severity.WARNING,
            changes_numbers=True,
            observed=f"card {chip.card} chip {chip.chip} ({chip.name}) is in health {chip.health}",
            expected="OK",
            next_step=f"npu-smi info -t health -i {chip.card}; use another card until it is well.",
        )
    for chip in busy:
        yield Finding(
            name="busy",
            severity=Severity.WARNING,
            observed=f"card {chip.card} chip {chip.chip}: {chip.processes} process{'es' * (chip.processes != 1)}, "
            f"AI cores {chip.load_percent} %, {chip.used_mb} of {chip.total_mb} MB in use",
            expected="an idle card: other jobs take memory and spoil timings",
            next_step="Wait for it, or take another card with --device npu:N.",
        )
    if not ill and not busy:
        count = len(tool.chips)
        observed = f"npu-smi {tool.version}: {count} chip{'s' * (count != 1)}, all well and idle"
        yield Finding(name="cards", severity=Severity.OK, observed=observed)


def memory(machine: Machine) -> Iterator[Finding]:
    """A card holds DeepGen-1.0, as far as that is known."""
    need = f"{_gib(WEIGHT_BYTES)} for the weights of DeepGen-1.0, and more on top: its peak is not known"
    totals = list(machine.npu.memory_bytes) or [chip.total_mb * 2**20 for chip in machine.npu_smi.chips]
    free = [(chip.total_mb - chip.used_mb) * 2**20 for chip in machine.npu_smi.chips]
    if not totals:
        return
    small, full = min(totals) < WEIGHT_BYTES, bool(free) and max(free) < WEIGHT_BYTES
    if small or full:
        what = f"a card has {_gib(min(totals))}" if small else f"no card has more than {_gib(max(free))} free"
        yield Finding(
            name="memory",
            severity=Severity.WARNING,
            observed=what,
            expected=need,
            next_step="Take a larger card, or a smaller model." if small else "Wait until the other jobs have ended.",
        )
    else:
        yield Finding(
            name="memory", severity=Severity.OK, observed=f"every card has {_gib(min(totals))} or more", expected=need
        )


def known_warnings(machine: Machine) -> Iterator[Finding]:
    """What torch_npu prints that looks like a fault and is none."""
    if "torch_npu" not in machine.packages:
        return
    foreign = [f"{place.path} belongs to {place.owner}" for place in machine.ascend_folders if place.owner != "you"]
    yield Finding(
        name="collect_env",
        severity=Severity.HARMLESS,
        observed="the warning 'owner does not match the current owner' of torch_npu's collect_env.py"
        + (f" ({foreign[0]})" if foreign else ""),
        expected="it only says that CANN was installed by somebody else, root as a rule",
    )
    yield Finding(
        name="internal_format",
        severity=Severity.HARMLESS,
        observed="the warning 'Cannot create tensor with internal format while allow_internel_format=False'",
        expected="private layouts are off, which is the default on A2 and A3 and what the harness asks for",
    )


EVERYWHERE: tuple[Callable[[Machine], Iterator[Finding]], ...] = (device, simulated, torch, libraries, switches)
"""Checks of every machine."""

FOR_THE_NPU: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    *(torch_npu, cann, missing_library, folders, driver, cards, memory, known_warnings),
)
"""Checks where an NPU is meant to be used."""


def _base(version: str) -> str:
    """Release that a version belongs to: torch_npu's names the torch it is made for.

    >>> _base("2.9.0.post1"), _base("2.9.0+cpu"), _base("2.5.1rc1")
    ('2.9.0', '2.9.0', '2.5.1')
    """
    return ".".join(map(str, _numbers(version)[:3]))


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
