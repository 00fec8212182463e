"""The folder is the registry: parts are found by looking, and loaded by name when they are asked for.

Other packages add parts through Python entry points in the groups ``harness.metrics``, ``harness.scores``,
``harness.backends``, ``harness.adapters``, ``harness.render``, ``harness.models`` and ``harness.kernels``; the entry
point names a module.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Literal, overload

from harness.contracts import KINDS
from harness.errors import RunError, UnknownName

if TYPE_CHECKING:
    from types import ModuleType

    from harness.contracts import Adapter, Backend, EmbeddedModel, Kernel, Metric, Renderer, Score


def names(kind: str) -> list[str]:
    """Names of all parts of a kind, own and foreign, sorted, without importing any of them.

    >>> "psnr_db" in names("metrics")
    True
    """
    return sorted({*_own(kind), *_foreign(kind)})


@overload
def load(kind: Literal["metrics"], name: str) -> Metric: ...
@overload
def load(kind: Literal["scores"], name: str) -> Score: ...
@overload
def load(kind: Literal["backends"], name: str) -> Backend: ...
@overload
def load(kind: Literal["adapters"], name: str) -> Adapter: ...
@overload
def load(kind: Literal["render"], name: str) -> Renderer: ...
@overload
def load(kind: Literal["models"], name: str) -> EmbeddedModel: ...
@overload
def load(kind: Literal["kernels"], name: str) -> Kernel: ...
def load(kind: str, name: str) -> ModuleType:
    """Import the part of that name.

    Raises:
        UnknownName: no part of the kind has that name; the message brings the nearest one.
        RunError: two packages offer the same name, so it is not clear which one is meant.
    """
    return _module(kind, name)


def _module(kind: str, name: str) -> ModuleType:
    own, foreign = _own(kind), _foreign(kind)
    offers = ([own[name]] if name in own else []) + foreign.get(name, [])
    if not offers:
        raise UnknownName(KINDS[kind], name, names(kind))
    if len(offers) > 1:
        raise RunError(
            f"the {KINDS[kind]} {name!r} is offered {len(offers)} times ({', '.join(offers)}); uninstall all but one."
        )
    return import_module(offers[0])


def summary(kind: str, name: str) -> str:
    """First line of a part's docstring, for listings."""
    return (_module(kind, name).__doc__ or "").strip().partition("\n")[0]


def _own(kind: str) -> dict[str, str]:
    package = import_module(f"harness.{kind}")
    return {
        module.name.replace("_", "-") if kind == "models" else module.name: f"{package.__name__}.{module.name}"
        for module in iter_modules(package.__path__)
        if not module.name.startswith("_")
    }


def _foreign(kind: str) -> dict[str, list[str]]:
    return _entry_points(kind, tuple(sys.path))


@cache
def _entry_points(kind: str, search_path: tuple[str, ...]) -> dict[str, list[str]]:
    """Modules offered by other packages; looked up once per search path, as it reads every installed package."""
    del search_path
    offers: dict[str, list[str]] = {}
    for point in entry_points(group=f"harness.{kind}"):
        if point.value not in offers.setdefault(point.name, []):
            offers[point.name].append(point.value)
    return offers
