"""What all kernels share: the type they compute in, and the words of a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import NotCovered

if TYPE_CHECKING:
    from torch import Tensor, dtype


def refusal(operator: str, argument: str, observed: object, allowed: str) -> NotCovered:
    """The error for a form of an operator that its kernel does not compute.

    >>> print(refusal("npu_geglu", "approximate", 2, "0 or 1"))
    npu_geglu: argument approximate is 2; its reference kernel computes only 0 or 1. Set npu_ops: hidden in the \
scenario's arm to run without fused operators, or offer a kernel for this form as an entry point in harness.kernels.
    """
    return NotCovered(
        f"{operator}: argument {argument} is {observed}; its reference kernel computes only {allowed}. "
        "Set npu_ops: hidden in the scenario's arm to run without fused operators, or offer a kernel for this form as "
        "an entry point in harness.kernels."
    )


def described(tensor: Tensor | None) -> str:
    """A tensor's type and shape, such as ``float16[2, 3]``.

    >>> import torch
    >>> described(torch.zeros(2, 3))
    'float32[2, 3]'
    """
    return "None" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def computing_type(operator: str, **tensors: Tensor | None) -> dtype:
    """Type to compute in: float64 where the first tensor is float64, float32 for all other real types.

    Raises:
        NotCovered: a tensor holds no real floating-point numbers.
    """
    import torch

    for name, tensor in tensors.items():
        if tensor is not None and not tensor.is_floating_point():
            raise refusal(operator, name, described(tensor), "real floating-point tensors")
    first = next(iter(tensors.values()))
    return torch.float64 if first is not None and first.dtype == torch.float64 else torch.float32


def refuse_given(operator: str, **arguments: object) -> None:
    """Refuse every argument that was given a value, where the kernel has nothing to do with it.

    Raises:
        NotCovered: one of the arguments is neither None nor empty.
    """
    for name, value in arguments.items():
        if value is None or (isinstance(value, str | list | tuple) and not value):
            continue
        observed = described(value) if hasattr(value, "dtype") else repr(value)  # type: ignore[arg-type]
        raise refusal(operator, name, observed, "the operator without it")
