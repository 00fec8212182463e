"""What a worker runs on: allow-listed names only, so that a record can be published."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from harness.records import Environment

if TYPE_CHECKING:
    from harness.contracts import Device

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
)


def describe(backend: str, device: Device) -> Environment:
    """Everything about machine, packages and settings that bears on a number."""
    return Environment(
        backend=backend,
        device=device.torch_device,
        device_name=device.name,
        simulated=device.simulated,
        facts=dict(device.facts()),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        switches=list(device.switches()),
        python=platform.python_version(),
        os=f"{_distribution()}, {platform.system()} {platform.release()}, {platform.machine()}",
        cpu=_processor(),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        commit=_commit(),
    )


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


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - read line by line, stopped early
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Commit of the working folder; None outside a git checkout."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
