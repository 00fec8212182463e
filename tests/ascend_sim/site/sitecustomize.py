"""Simulates Ascend cards in every Python process that has this folder on PYTHONPATH and ASCEND_SIM_DEVICES set.

It loads the stand-in for CANN before anything imports torch, and gives torch_npu its kernels as soon as it is
imported. A ``sitecustomize`` further down the path runs first.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def run_the_next_sitecustomize() -> None:
    """Run the one that this one hides."""
    rest = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


class InstallAfterImport:
    """Finds ``torch_npu`` as Python would, and installs the kernels once its module has run.

    It stays in place: libraries ask for the spec to see whether torch_npu is there, long before they import it.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The ordinary spec, with an import that installs the kernels at its end; None for any other name."""
        if name != "torch_npu":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_install(module: ModuleType) -> None:
                run(module)
                # Without a card torch_npu runs nothing on it, and its operators on CPU must fail as they do there.
                if os.environ["ASCEND_SIM_DEVICES"] != "0":
                    cards.install()

            spec.loader.exec_module = run_and_install  # type: ignore[method-assign]
        return spec


if __name__ == "sitecustomize":  # Python's start, not a tool that imports every file
    run_the_next_sitecustomize()
    if os.environ.get("ASCEND_SIM_DEVICES"):
        sys.path.insert(0, str(ROOT))
        try:
            from tests.ascend_sim import cards
        finally:
            sys.path.remove(str(ROOT))
        cards.preload()
        sys.meta_path.insert(0, InstallAfterImport())
