"""What machine and packages there are: allow-listed names only, so that a record can be published; imports no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.records import json_digest

PACKAGES = (
    "accuracy-harness",
    "torch",
    "torch_npu",
    "diffusers",
    "transformers",
    "accelerate",
    "einops",
    "safetensors",
    "tokenizers",
    "numpy",
    "pillow",
    "ftfy",  # pipelines such as Wan's change the prompt by it where it is installed, and say nothing where it is not
)


@dataclass(frozen=True, kw_only=True)
class Host:
    """Machine and packages."""

    packages: dict[str, str]
    """Versions of the packages that matter."""
    python: str
    """Python version."""
    os: str
    """Operating system, kernel and architecture."""
    cpu: str
    """Processor name."""
    cpu_count: int
    """Processors this process may use."""
    memory_bytes: int
    """Main memory."""

    def digest(self, device: str) -> str:
        """SHA-256 of everything here and the name of a device."""
        return json_digest([asdict(self), device])


def describe_host() -> Host:
    """Look at this machine."""
    return Host(
        packages={name: installed for name in PACKAGES if (installed := _version(name))},
        python=platform.python_version(),
        os=f"{_distribution()}, {platform.system()} {platform.release()}, {platform.machine()}",
        cpu=processor_name(),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def available_memory_bytes() -> int:
    """Memory that this process could still use: what the kernel says, or what the container leaves where that is less.

    >>> 0 < available_memory_bytes() <= describe_host().memory_bytes
    True
    """
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kibibytes = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)
    left = [1024 * kibibytes]
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text("ascii") for name in ("memory.max", "memory.current"))
        left.append(int(limit) - int(used))
    except (OSError, ValueError):  # no container with a limit of its own; "max" is no number
        pass
    return max(min(left), 0)


def thread_variables(threads: int | None) -> dict[str, str]:
    """Variables that give a process its number of CPU threads, before it starts; none where nothing is asked.

    >>> thread_variables(1)
    {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
    """
    return {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def commit() -> str | None:
    """Git commit of the working folder, with ``-dirty`` when tracked files changed; None outside a checkout."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def processor_name() -> str:
    """Name of the processor as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
