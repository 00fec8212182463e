"""The table of all answers about a simulated card's faults, as a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.npu.exam import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.npu.exam import Answer

_HEAD = """# Faults of a simulated card that `harness explain` was tried on

Written by `nox -s card_faults`; do not edit it. **The card is simulated**: the real torch_npu ran on a stand-in for the
libraries below it, with values of the CPU behind its operators ([design/testing.md](design/testing.md)). What is shown
here is that a wrong operator of a card is named; nothing is shown about an Ascend chip.

Each fault is put into one operator of the card (`tests/ascend_sim/faults.py`) and met by the embedded DeepGen model
(64x64, 2 steps, one case and seed). The reference is the CPU of the same machine with reference kernels, in the same
type. Faults in operators that this model does not call on a card are not here; `tests/npu/test_operator_faults.py`
shows that they strike.

- **Module**: what `explain` names first. **Operator**: the first that this module calls and that is more than eight
  floors from the CPU in float64 on the inputs that it really had; where pictures do not repeat, the first that gives
  two results for the same inputs. **Why**: the causes that are named; a dash where it says "not among the known ones".
- **Harmless**: the CPU's own values, rounding as it is documented for a card, and a cache that is only asked for what
  it holds. Of these, every operator of a picture is held against the CPU.
- `old_result`, and `mask_inverted` where hidden rows give zeros, were written with these faults in sight. That
  `rope_angle_half` is right for angles that are summed in float16, and `next_step` for a convolution that answers with
  its first result, was judged after they had been named: they say what the values are, not which code made them.
- In bfloat16 most faults that are missed change no place by more than eight floors of that type, so no module is named
  and no operator is looked at.
"""


def page(answers: Sequence[Answer]) -> str:
    """Totals first, then a row for each fault."""
    figures = ["## In numbers", "", *_totals(answers)]
    return "\n".join([_HEAD, *figures, "", "## Each fault", "", *_rows(answers), ""])


def _totals(answers: Sequence[Answer]) -> Iterable[str]:
    types = list(dict.fromkeys(answer.dtype for answer in answers))
    yield "| | " + " | ".join(types) + " |"
    yield "| --- |" + " ---: |" * len(types)
    for words, count in _COUNTS:
        yield f"| {words} | " + " | ".join(count([a for a in answers if a.dtype == t]) for t in types) + " |"


def _share(answers: Sequence[Answer], test: Callable[[Answer], bool]) -> str:
    return f"{sum(map(test, answers))} of {len(answers)}"


def _faults(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.name not in HARMLESS]


def _known(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in _faults(answers) if answer.expected.causes]


def _harmless(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.name in HARMLESS]


_COUNTS: list[tuple[str, Callable[[Sequence[Answer]], str]]] = [
    ("faults found", lambda made: _share(_faults(made), lambda a: a.found)),
    ("operator with the fault named", lambda made: _share(_faults(made), lambda a: a.operator_is_right)),
    (
        "another operator named",
        lambda made: _share(_faults(made), lambda a: bool(a.operator) and not a.operator_is_right),
    ),
    (
        "right cause named, of those that have a known one",
        lambda made: _share(_known(made), lambda a: a.cause_is_right),
    ),
    ("a wrong cause named", lambda made: _share(_faults(made), lambda a: bool(a.causes) and not a.cause_is_right)),
    ("harmless changes named", lambda made: _share(_harmless(made), lambda a: a.found or bool(a.operator))),
    (
        "calls of operators looked at in harmless pictures, none of them named",
        lambda made: str(sum(a.checked for a in _harmless(made) if not a.operator)),
    ),
]


def _rows(answers: Sequence[Answer]) -> Iterable[str]:
    yield "| fault | type | module | operator | times its floor | why |"
    yield "| --- | --- | --- | --- | ---: | --- |"
    for answer in answers:
        ratio = "-" if answer.operator_ratio is None else f"{answer.operator_ratio:.3g}"
        named = "-" if answer.path in {"", "state"} else f"`{answer.path}`"
        operator = f"`{answer.operator}`" if answer.operator else answer.error or "-"
        causes = ", ".join(answer.causes) or "-"
        yield f"| {answer.name} | {answer.dtype} | {named} | {operator} | {ratio} | {causes} |"
