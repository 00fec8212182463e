"""The folder is the registry: modules are found by looking, and imported by name when they are asked for.

Other packages add modules through Python entry points in the group ``harness.FOLDER``; the entry point names a module.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from harness.errors import RunError, UnknownName

if TYPE_CHECKING:
    from types import ModuleType


def names(folder: str) -> list[str]:
    """Names of all modules of a folder, own and foreign, sorted, without importing any of them.

    >>> "psnr_db" in names("metrics")
    True
    """
    return sorted({*_own(folder), *_foreign(folder)})


def module(folder: str, what: str, name: str) -> ModuleType:
    """Import the module of that name; ``what`` is the word for one of the folder's modules.

    Raises:
        UnknownName: the folder has no such name; the message brings the nearest one.
        RunError: two packages offer the same name, so it is not clear which one is meant.
    """
    own, foreign = _own(folder), _foreign(folder)
    offers = ([own[name]] if name in own else []) + foreign.get(name, [])
    if not offers:
        raise UnknownName(what, name, names(folder))
    if len(offers) > 1:
        raise RunError(
            f"the {what} {name!r} is offered {len(offers)} times ({', '.join(offers)}); uninstall all but one."
        )
    return import_module(offers[0])


def _own(folder: str) -> dict[str, str]:
    package = import_module(f"harness.{folder}")
    return {
        part.name.replace("_", "-") if folder == "models" else part.name: f"{package.__name__}.{part.name}"
        for part in iter_modules(package.__path__)
        if not part.name.startswith("_")
    }


def _foreign(folder: str) -> dict[str, list[str]]:
    return _entry_points(folder, tuple(sys.path))


@cache
def _entry_points(folder: str, search_path: tuple[str, ...]) -> dict[str, list[str]]:
    """Modules offered by other packages; looked up once per search path, as it reads every installed package."""
    del search_path
    offers: dict[str, list[str]] = {}
    for point in entry_points(group=f"harness.{folder}"):
        if point.value not in offers.setdefault(point.name, []):
            offers[point.name].append(point.value)
    return offers
