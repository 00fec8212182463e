"""NVIDIA GPUs through torch.cuda."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from harness.backends._torch import host_rng_state, module_memory, seed_host, setting, variable
from harness.contracts import Availability
from harness.errors import DeviceUnavailable
from harness.language import recordable
from harness.records import MemoryUse, Switch, SwitchMode

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO_RANK = 2

_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
)


def probe() -> Availability:
    """Say whether torch sees a GPU, and why not."""
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return Availability(available=False, reason="torch is not installed")
    if installed.endswith("+cpu"):  # known without the seconds that importing torch takes
        return Availability(available=False, reason=f"torch {installed} was built without CUDA")
    try:
        return _found()
    except Exception as error:  # noqa: BLE001 - a broken installation or driver raises whatever it likes
        reason = f"torch {installed} cannot be used ({type(error).__name__}: {error})"
        return Availability(available=False, reason=f"{reason}; check the driver with nvidia-smi")


def _found() -> Availability:
    import torch

    if torch.version.cuda is None:
        return Availability(available=False, reason=f"torch {torch.__version__} was built without CUDA")
    if not torch.cuda.is_available():
        return Availability(available=False, reason="torch has CUDA but finds no GPU; check the driver with nvidia-smi")
    count = torch.cuda.device_count()
    return Availability(
        available=True,
        reason=torch.cuda.get_device_name(0),
        device_count=count,
        facts={"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())},
        memory_bytes=[torch.cuda.get_device_properties(index).total_memory for index in range(count)],
    )


def start_environment(switches: SwitchMode) -> dict[str, str]:
    """A fixed cuBLAS workspace for ``deterministic``; it is read when the first handle is made.

    Autoloading of device extensions is off in either mode: with torch_npu installed and no CANN, importing torch
    fails otherwise.
    """
    start = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    if switches is SwitchMode.DETERMINISTIC:
        start |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONHASHSEED": "0"}
    return start


def open(index: int, switches: SwitchMode) -> CudaDevice:  # noqa: A001 - the contract's word for it
    """Open one GPU.

    Raises:
        DeviceUnavailable: there is no GPU of that index.
    """
    answer = probe()
    if not answer.available or not 0 <= index < answer.device_count:
        raise DeviceUnavailable(f"cuda:{index} is not there: {answer.reason} ({answer.device_count} devices).")
    return CudaDevice(index, switches)


class CudaDevice:
    """One GPU, opened."""

    simulated = False

    def __init__(self, index: int, switches: SwitchMode) -> None:
        import torch

        self.torch_device = f"cuda:{index}"
        self.name = torch.cuda.get_device_name(index)
        self._deterministic = switches is SwitchMode.DETERMINISTIC
        self._requested = start_environment(switches)
        torch.cuda.set_device(index)
        if self._deterministic:
            torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.allow_tf32 = False
            matmul = torch.backends.cuda.matmul
            matmul.allow_tf32 = False
            matmul.allow_fp16_reduced_precision_reduction = False
            matmul.allow_bf16_reduced_precision_reduction = False

    def seed(self, seed: int) -> None:
        """Seed every generator of the process and of all GPUs."""
        seed_host(seed)

    def rng_state(self) -> str:
        """Digest of the global generators of host and GPU."""
        import torch

        state = torch.cuda.get_rng_state(self.torch_device).numpy().tobytes()
        return hashlib.sha256(state + host_rng_state().encode()).hexdigest()

    def synchronize(self) -> None:
        """Wait until the GPU has done all queued work."""
        import torch

        torch.cuda.synchronize(self.torch_device)

    def switches(self) -> list[Switch]:
        """Environment variables and torch settings, asked for and in force."""
        import torch

        on, off = (True, False) if self._deterministic else (None, None)
        cuda, cudnn, matmul = torch.backends.cuda, torch.backends.cudnn, torch.backends.cuda.matmul
        return [
            *(variable(name, self._requested) for name in _VARIABLES),
            setting("torch.are_deterministic_algorithms_enabled", on, torch.are_deterministic_algorithms_enabled()),
            setting("torch.backends.cudnn.benchmark", off, cudnn.benchmark),
            setting("torch.backends.cudnn.deterministic", on, cudnn.deterministic),
            setting("torch.backends.cudnn.allow_tf32", off, cudnn.allow_tf32),
            *(
                setting(f"torch.backends.cuda.matmul.{name}", off, getattr(matmul, name))
                for name in (
                    "allow_tf32",
                    "allow_fp16_reduced_precision_reduction",
                    "allow_bf16_reduced_precision_reduction",
                )
            ),
            # Which attention kernel runs is torch's choice among these; a pipeline may narrow it.
            setting("torch.backends.cuda.flash_sdp_enabled", None, cuda.flash_sdp_enabled()),
            setting("torch.backends.cuda.mem_efficient_sdp_enabled", None, cuda.mem_efficient_sdp_enabled()),
            setting("torch.backends.cuda.math_sdp_enabled", None, cuda.math_sdp_enabled()),
            setting("torch.backends.cuda.cudnn_sdp_enabled", None, cuda.cudnn_sdp_enabled()),
        ]

    def memory(self, modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
        """Bytes of each component, and the GPU's allocated memory with its peak as ``device``."""
        import torch

        whole = MemoryUse(
            allocated_bytes=torch.cuda.memory_allocated(self.torch_device),
            peak_bytes=torch.cuda.max_memory_allocated(self.torch_device),
        )
        return {**module_memory(modules), "device": whole}

    def reset_peak_memory(self) -> None:
        """Start a new peak."""
        import torch

        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def facts(self) -> dict[str, str]:
        """CUDA, cuDNN and chip."""
        import torch

        properties = torch.cuda.get_device_properties(self.torch_device)
        return {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            recordable("compute capability"): f"{properties.major}.{properties.minor}",
            recordable("memory bytes"): str(properties.total_memory),
        }
