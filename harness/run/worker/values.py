"""Tensors in what modules take and give: found, replaced, named, compared and moved by one unit in the last place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.run.worker.perturbation import bits_of, stepped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST_FLOOR = 2.0**-24
"""Smallest floor of a place: half a unit in the last place of float32."""
LEAST_FLOORS = {"bfloat16": 2.0**-10, "float16": 2.0**-13}
"""The same of half types, for values that a healthy rerun repeats exactly, such as tables: a quarter of a unit."""


def tensors(tree: Any) -> list[Any]:
    """All tensors of a tree of sequences and mappings; pictures and arrays count as tensors."""
    return [value for _, value in _walk(tree, "")]


def named_tensors(tree: Any, names: Sequence[str] | None) -> list[tuple[str, Any]]:
    """The same with names: of arguments where ``names`` are those of the parameters, else of the way to them."""
    if names is None:
        return list(_walk(tree, ""))
    positional, by_name = tree
    known = [*names[: len(positional)], *map(str, range(len(names), len(positional)))]
    return list(_walk(dict(zip(known, positional, strict=True)) | dict(by_name), ""))


def _walk(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, tuple | list):
        for index, part in enumerate(tree):
            yield from _walk(part, f"{name}[{index}]")
    elif isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from _walk(part, f"{name}.{key}" if name else str(key))
    elif (value := _tensor(tree)) is not None:
        yield name, value


def _tensor(leaf: Any) -> Any:
    import torch

    if isinstance(leaf, torch.Tensor):
        return leaf.detach()
    if leaf is None or isinstance(leaf, bool | int | float | str):
        return None
    return _array(leaf)


def _array(leaf: Any) -> Any:
    import numpy as np
    import torch
    from PIL import Image

    if isinstance(leaf, Image.Image):
        return torch.from_numpy(np.array(leaf))
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fiub":
        return torch.from_numpy(leaf)
    return None


def replaced(tree: Any, values: Sequence[Any]) -> Any:
    """The tree with other tensors, in the types and on the devices of its own; pictures and arrays stay."""
    return _rebuilt(tree, iter(values))


def _rebuilt(tree: Any, values: Iterator[Any]) -> Any:
    import torch

    if isinstance(tree, tuple | list):
        parts = [_rebuilt(part, values) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if isinstance(tree, Mapping):
        named = {key: _rebuilt(part, values) for key, part in tree.items()}
        return named if type(tree) is dict else type(tree)(**named)  # outputs of diffusers and transformers
    if _tensor(tree) is None:
        return tree
    value = next(values)
    return value.to(device=tree.device, dtype=tree.dtype) if isinstance(tree, torch.Tensor) else tree


def distance(actual: Any, expected: Any) -> float:
    """Relative L2 of a tensor, in float64 on the host; infinite for other shapes, NaN, and whole numbers that differ.

    >>> import torch
    >>> distance(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])), distance(torch.tensor([1]), torch.tensor([2]))
    (0.2, inf)
    """
    import torch

    if actual.shape != expected.shape:
        return math.inf
    actual, expected = actual.to("cpu"), expected.to("cpu")
    if expected.is_complex():
        actual, expected = torch.view_as_real(actual.to(expected.dtype)), torch.view_as_real(expected)
    if not expected.is_floating_point() and expected.dtype is not torch.uint8:
        return 0.0 if torch.equal(actual.to(expected.dtype), expected) else math.inf
    if actual.dtype is expected.dtype and actual.element_size() <= _SINGLE and actual.is_floating_point():
        quick = _distance_in_single(actual, expected)
        if quick is not None:
            return quick
    one, two = actual.double().flatten(), expected.double().flatten()
    if not bool(two.isfinite().all()):
        same = torch.equal(one.isfinite(), two.isfinite())
        one, two = one.nan_to_num(0.0, 0.0, 0.0), two.nan_to_num(0.0, 0.0, 0.0)
        if not same:
            return math.inf
    if not bool(one.isfinite().all()):
        return math.inf
    size = float(two.norm())
    gap = float((one - two).norm())
    return gap / size if size else (math.inf if gap else 0.0)


_SINGLE = 4
"""Bytes of a float32."""


def _distance_in_single(actual: Any, expected: Any) -> float | None:
    """The same with the difference in float32, which is exact to rounding; None where a value is not finite or none."""
    import torch

    two = expected.float()
    gap = float(torch.linalg.vector_norm(actual.float() - two, dtype=torch.float64))
    size = float(torch.linalg.vector_norm(two, dtype=torch.float64))
    return gap / size if math.isfinite(gap) and math.isfinite(size) and size else None


class Coins:
    """Random directions for tensors, cut from one stock at random places, so that they cost little."""

    def __init__(self, seed: int) -> None:
        import numpy as np
        import torch

        self._source = np.random.default_rng(seed)
        self._stock = torch.from_numpy(self._source.integers(0, 2, _STOCK, dtype=np.int8)) * 2 - 1
        self._stocks: dict[Any, Any] = {}

    def steps(self, shape: Sequence[int], dtype: Any) -> Any:
        """1 and -1 in whole numbers of a type, [shape]."""
        import torch

        if dtype not in self._stocks:
            self._stocks[dtype] = self._stock.to(dtype)
        stock, count = self._stocks[dtype], math.prod(shape)
        begin = int(self._source.integers(0, _STOCK))
        rolled = torch.cat([stock[begin:], stock[:begin]]) if begin + count > _STOCK else stock[begin:]
        while len(rolled) < count:
            rolled = torch.cat([rolled, stock])
        return rolled[:count].reshape(tuple(shape))


_STOCK = 1 << 22


def moved(values: Any, coins: Coins) -> Any:
    """A floating tensor one unit in the last place away, each value up or down by a coin; others and scalars stay."""
    if not values.is_floating_point() or values.ndim == 0:
        return values.clone()
    values = values.contiguous()
    return stepped(values, coins.steps(values.shape, bits_of(values.dtype)))
