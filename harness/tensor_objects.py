"""Tensors of programs: NumPy arrays, tensors of torch, and mappings of names to either."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from harness.errors import TensorError
from harness.tensor_files import Tensor, of_array

_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
"""Types of torch that NumPy does not have, and the type that holds their bits."""
_ONE = "array"
"""Name of a tensor that stands alone, as that of an ``.npy`` file."""


def tensors_of_object(value: Any) -> dict[str, Tensor]:
    """Every tensor of an object by its name.

    >>> tensors_of_object({"hidden": np.zeros((2, 3), np.float32)})["hidden"].shape
    (2, 3)

    Raises:
        TensorError: it holds something else.
    """
    given = value if isinstance(value, Mapping) else {_ONE: value}
    return {str(name): _tensor(str(name), inner) for name, inner in given.items()}


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, np.ndarray):
        try:
            return of_array(partial(np.asarray, value))
        except ValueError as error:
            raise TensorError(f"{name}: {error}.") from error
    torch = sys.modules.get("torch")  # without it nothing can be a tensor of it
    if torch is None or not isinstance(value, torch.Tensor):
        raise TensorError(
            f"{name}: found {type(value).__name__}; allowed are NumPy arrays, tensors of torch, mappings of names to "
            "these, and files. Give one of them."
        )
    here = value.detach().cpu().contiguous()
    type_name = str(here.dtype).removeprefix("torch.")
    if type_name not in _BITS:
        return of_array(here.numpy)
    bits = here.view(getattr(torch, _BITS[type_name])).numpy()
    return Tensor(type=type_name, shape=tuple(value.shape), read=partial(np.reshape, bits, -1))
