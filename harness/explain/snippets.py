"""Lines of Python that show the operators below what an explanation names, to be pasted into a script."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.explain.places import is_in_a_block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records.explanation import Culprit, Explanation

PICTURE = "...  # make the picture"
"""Line that stands for the script's own call."""


def snippets(explanation: Explanation) -> list[str]:
    """For the first module that is wrong: PyTorch's DebugMode, and on an NPU also Ascend's msprobe (mindstudio-probe).

    Empty where nothing in a numbered block is named. ``pipe`` stands for the loaded pipeline.
    """
    first = next(iter(explanation.culprits), None)
    if first is None or not is_in_a_block(first.path):
        return []
    component, _, name = first.path.partition(".")
    lines = ["\n".join(_debug_mode(component, name))]
    if explanation.devices.get(explanation.arm) == "npu":
        lines.append("\n".join(_msprobe(component, _operator(explanation, first))))
    return lines


def _debug_mode(component: str, name: str) -> Iterator[str]:
    yield "from torch.utils._debug_mode import DebugMode"
    yield f'module, given = pipe.{component}.get_submodule("{name}"), []'
    yield "hook = module.register_forward_pre_hook(lambda _, *call: given.append(call), with_kwargs=True)"
    yield PICTURE
    yield "hook.remove()"
    yield "with DebugMode() as called:"
    yield "    module(*given[0][0], **given[0][1])"
    yield "print(called.debug_string())"


def _msprobe(component: str, operator: str) -> Iterator[str]:
    wanted = {"scope": [], "list": [operator], "data_mode": ["all"]}
    config = {"task": "tensor", "dump_path": "dump", "rank": [], "step": [], "level": "mix", "tensor": wanted}
    yield "import pathlib"
    yield "from msprobe.pytorch import PrecisionDebugger"
    yield f"pathlib.Path('msprobe.json').write_text('{json.dumps(config)}')"
    yield 'debugger = PrecisionDebugger(config_path="msprobe.json")'
    yield f"debugger.start(model=pipe.{component})"
    yield PICTURE
    yield "debugger.stop()"
    yield "debugger.step()"


def _operator(explanation: Explanation, first: Culprit) -> str:
    """Name of the first wrong operator as msprobe filters by it, else the last word of the module's path."""
    wrong = explanation.operators.wrong if explanation.operators else []
    return wrong[0].name.rpartition("::")[2] if wrong else first.path.rpartition(".")[2]
