"""The host's processor."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends._torch import host_rng_state, module_memory, seed_host, setting, variable
from harness.contracts import Availability
from harness.errors import DeviceUnavailable
from harness.host import processor_name
from harness.language import recordable
from harness.records import MemoryUse, Switch, SwitchMode
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO_RANK = 9

_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "MKL_CBWR",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "PYTHONHASHSEED",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
)


def probe() -> Availability:
    """The CPU can be used wherever torch can be imported."""
    if find_spec("torch") is None:
        return Availability(
            available=False,
            reason=f"torch is not installed; install the model side with: {install('run')}",
        )
    return Availability(available=True, reason=processor_name(), device_count=1)


FREE_TURNS, CROWDED_TURNS = "5000", "1000"
_WAITING_MILLISECONDS = "1"
_FREE_FROM = 0.85
_PROBE_SECONDS, _PROBES = 0.03, 3


def waiting() -> dict[str, str]:
    """How long threads of OpenMP turn a loop while they wait for each other, before they sleep.

    ``GOMP_SPINCOUNT`` is for GCC's runtime, which torch's own wheels bring, in turns of the loop; ``KMP_BLOCKTIME`` for
    Intel's and LLVM's, in milliseconds. As shipped they turn it hundreds of thousands of times, and where other
    processes keep the cores busy the thread that they wait for does not run meanwhile. Five thousand turns cost nothing
    on an idle machine; one thousand are quicker where others compute, and cost two fifths of an image's time where
    nobody does (docs/benchmarks-crowded.md). So the first call of a process measures how much of its cores it gets, and
    what it chose is kept for the process. Which thread computes what stays the same, and so does every bit. What the
    user has set is kept.
    """
    chosen = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT") or _turns_here()}
    return chosen | {"KMP_BLOCKTIME": os.environ.get("KMP_BLOCKTIME") or _WAITING_MILLISECONDS}


def turns(share: float) -> str:
    """Turns of the loop for a process that gets this share of its cores, 0 to 1."""
    return FREE_TURNS if share >= _FREE_FROM else CROWDED_TURNS


def share_of_cores() -> float:
    """Share of the cores this process may use that it gets now, 0 to 1: the largest of three short measurements."""
    return max(_measured_share(len(os.sched_getaffinity(0))) for _ in range(_PROBES))


@cache
def _turns_here() -> str:
    return turns(share_of_cores())


def _measured_share(cores: int) -> float:
    # So long a block that the interpreter's lock does not hold up even hundreds of cores.
    block = bytes(1 << 23)

    def compute(_: int) -> float:
        """Processor seconds for each second that goes by: the interpreter is free while a block is hashed."""
        begin, used = time.perf_counter(), time.thread_time()
        while (passed := time.perf_counter() - begin) < _PROBE_SECONDS:
            sha256(block)
        return (time.thread_time() - used) / passed

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(compute, range(cores))) / cores


def start_environment(switches: SwitchMode) -> dict[str, str]:
    """Fixed thread counts and strict arithmetic for ``deterministic``; in either mode nothing else that moves a bit.

    Autoloading of device extensions is off in either mode: with torch_npu installed and no CANN, importing torch
    fails otherwise. Threads do not wait busily for long in either mode: what that changes is time on a busy machine.
    """
    start = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    start |= waiting()
    if switches is SwitchMode.DETERMINISTIC:
        threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
        start |= {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "MKL_DYNAMIC": "FALSE",
            # AUTO promises equal results run to run on one processor; a named instruction set would be slower and is
            # only needed to equal another machine, which portable noise and limits deal with.
            "MKL_CBWR": "AUTO",
            "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
            "PYTHONHASHSEED": "0",
        }
    return start


def open(index: int, switches: SwitchMode) -> CpuDevice:  # noqa: A001 - the contract's word for it
    """Open the processor; there is only index 0.

    Raises:
        DeviceUnavailable: another index was asked for.
    """
    if index:
        raise DeviceUnavailable(f"there is no device cpu:{index}; the CPU is one device: use --device cpu.")
    return CpuDevice(switches)


class CpuDevice:
    """The host's processor, opened."""

    torch_device = "cpu"
    simulated = False

    def __init__(self, switches: SwitchMode) -> None:
        import torch

        self.name = processor_name()
        self._deterministic = switches is SwitchMode.DETERMINISTIC
        self._requested = start_environment(switches)
        self._peak_is_known = True
        if self._deterministic:
            torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
            torch.backends.mkldnn.deterministic = True  # type: ignore[assignment]

    def seed(self, seed: int) -> None:
        """Seed every generator of the process."""
        seed_host(seed)

    def rng_state(self) -> str:
        """Digest of the global generators."""
        return host_rng_state()

    def synchronize(self) -> None:
        """Nothing to wait for: the CPU works in order."""

    def switches(self) -> list[Switch]:
        """Environment variables and torch settings, asked for and in force."""
        import torch

        wanted = True if self._deterministic else None
        threads = self._requested.get("OMP_NUM_THREADS")
        return [
            *(variable(name, self._requested) for name in _VARIABLES),
            setting("torch.get_num_threads", threads, torch.get_num_threads()),
            setting("torch.are_deterministic_algorithms_enabled", wanted, torch.are_deterministic_algorithms_enabled()),
            setting("torch.backends.mkldnn.deterministic", wanted, torch.backends.mkldnn.deterministic),
            setting("torch.backends.mkldnn.enabled", None, torch.backends.mkldnn.enabled),
            setting("torch.backends.cpu.get_cpu_capability", None, torch.backends.cpu.get_cpu_capability()),
        ]

    def memory(self, modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
        """Bytes of each component, and the process's resident memory with its peak as ``device``."""
        return {**module_memory(modules), "device": self._resident_memory()}

    def _resident_memory(self) -> MemoryUse:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        kibibytes = {
            name: int(value.split()[0])
            for name, _, value in (line.partition(":") for line in lines)
            if name in {"VmRSS", "VmHWM"}
        }
        resident, peak = 1024 * kibibytes["VmRSS"], 1024 * kibibytes["VmHWM"]
        # The kernel updates its peak late.
        return MemoryUse(allocated_bytes=resident, peak_bytes=max(resident, peak) if self._peak_is_known else None)

    def reset_peak_memory(self) -> None:
        """Start a new peak of resident memory; where the kernel refuses, no peak is told from here on."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            self._peak_is_known = False

    def facts(self) -> dict[str, str]:
        """Architecture of the processor."""
        return {recordable("architecture"): platform.machine()}
