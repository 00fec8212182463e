"""The table of all answers, as a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.gates import GATES
from tests.planted.port_faults import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.faults.exam import Answer

_HEAD = """# Faults that `harness explain` was tried on

Written by `nox -s faults`; do not edit it. Each fault is what a port of a pipeline has had, planted into the embedded
DeepGen model (128x128, 20 steps, one case and seed, CPU) in the place of the right code; each harmless change is one
that a correct port may have. `explain` gets the healthy pipeline as its reference, in the same type.

- **Found**: `explain` says that something is wrong. **Where**: what it names first is where the fault is. **Why**: the
  right cause is named. Causes that cannot be told apart on these inputs are named together, and count where the right
  one is among them and the others have the same effect here. A fault for which no cause is named has a dash. Weights,
  noise and other inputs that differ are their own cause.
- **Stands for**: a public report, or a slip without one, of which the words say no more than what is planted.
- **By pictures**: float output or latents differ by more than eight of the floors of this case, or the pictures do not
  repeat.
- **Gates** are rules by which other projects accept pictures, on the very same pictures; `tests/faults/gates.py` has
  each with its limits and its source. CLIP scores are left out. Rules of three sides get a float32 picture as the third
  one, so they say nothing in float32. A gate says that something is wrong; none says where.
- The faults were planted by whoever wrote the harness, and the hypotheses were written with these faults in sight: of
  faults that nobody has seen, fewer causes will be named. Others exist.
- Harmless changes on a CPU compute what torch computes on a CPU; no accelerator was asked.
"""


def page(answers: Sequence[Answer]) -> str:
    """Totals first, then a row for each change."""
    figures = ["## In numbers", "", *totals(answers), "", "## Gates of other projects", "", *gates(answers)]
    return "\n".join([_HEAD, *figures, "", "## Each change", "", *rows(answers), ""])


def totals(answers: Sequence[Answer]) -> Iterable[str]:
    """How many faults were found, placed and explained, by type."""
    yield "| | " + " | ".join(_types(answers)) + " |"
    yield "| --- |" + " ---: |" * len(_types(answers))
    for words, count in _COUNTS:
        yield f"| {words} | " + " | ".join(count([a for a in answers if a.dtype == t]) for t in _types(answers)) + " |"


def gates(answers: Sequence[Answer]) -> Iterable[str]:
    """How many faults each gate finds, and how many harmless changes it flags, by type."""
    types = _types(answers)
    yield "| gate | " + " | ".join(f"faults found, {t} | harmless flagged, {t}" for t in types) + " |"
    yield "| --- |" + " ---: | ---: |" * len(types)
    for name in GATES:
        yield f"| {name} | " + " | ".join(" | ".join(_by_gate(answers, name, t)) for t in types) + " |"
    shares = [(_by_explain(_of(answers, t, benign=False)), _by_explain(_of(answers, t, benign=True))) for t in types]
    yield "| `explain` | " + " | ".join(" | ".join(pair) for pair in shares) + " |"


def _by_gate(answers: Sequence[Answer], name: str, dtype: str) -> list[str]:
    sides = [_of(answers, dtype, benign=benign) for benign in (False, True)]
    if any(answer.gates.get(name) is None for side in sides for answer in side if answer.gates):
        return ["-", "-"]
    return [_share(side, lambda answer: bool(answer.gates.get(name))) for side in sides]


def _by_explain(answers: Sequence[Answer]) -> str:
    return _share(answers, lambda answer: answer.found)


def _of(answers: Sequence[Answer], dtype: str, *, benign: bool) -> list[Answer]:
    return [answer for answer in answers if answer.dtype == dtype and answer.benign == benign]


def _types(answers: Sequence[Answer]) -> list[str]:
    return list(dict.fromkeys(answer.dtype for answer in answers))


def _share(answers: Sequence[Answer], test: Callable[[Answer], bool]) -> str:
    return f"{sum(map(test, answers))} of {len(answers)}"


def _faults(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.benign]


def _harmless(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.benign]


def _with_cause(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in _faults(answers) if catalogue.of_all_pipelines()[answer.name].causes]


def _cost(answers: Sequence[Answer]) -> str:
    times = sorted(answer.pictures for answer in answers)
    return f"{times[len(times) // 2]:.0f}" if times else "-"


def _reference_cost(answers: Sequence[Answer]) -> str:
    return f"{max((answer.reference_pictures for answer in answers), default=0.0):.0f}"


_COUNTS: list[tuple[str, Callable[[Sequence[Answer]], str]]] = [
    ("faults found by `explain`", lambda made: _share(_faults(made), lambda a: a.found)),
    ("faults found by pictures", lambda made: _share(_faults(made), lambda a: a.check)),
    ("right place named first", lambda made: _share(_faults(made), lambda a: a.right)),
    ("another place named first", lambda made: _share(_faults(made), lambda a: bool(a.named) and not a.right)),
    ("right cause named", lambda made: _share(_faults(made), lambda a: a.caused)),
    ("right cause named, of those that have a known one", lambda made: _share(_with_cause(made), lambda a: a.caused)),
    ("a wrong cause named", lambda made: _share(_faults(made), lambda a: bool(a.causes) and not a.caused)),
    ("harmless changes named by `explain`", lambda made: _share(_harmless(made), lambda a: a.found)),
    ("harmless changes flagged by pictures", lambda made: _share(_harmless(made), lambda a: a.check)),
    ("picture times of the candidate's measurements and of trying causes, median", _cost),
    ("picture times of the reference's trace and floors", _reference_cost),
]


def rows(answers: Sequence[Answer]) -> Iterable[str]:
    """A row for each change in each type."""
    yield "| change | what | stands for | type | found | named first | over floor | why | by pictures |"
    yield "| --- | --- | --- | --- | --- | --- | ---: | --- | --- |"
    changes = catalogue.of_all_pipelines()
    for answer in answers:
        change = changes[answer.name]
        cells = [
            answer.name,
            change.about.rstrip("."),
            change.report,
            answer.dtype,
            _found(answer),
            _where(answer),
            f"{answer.ratio:.3g}",
            _why(answer),
            "yes" if answer.check else "no",
        ]
        yield "| " + " | ".join(cells) + " |"


def _found(answer: Answer) -> str:
    if answer.error:
        return f"**failed**: {answer.error}"
    if answer.benign:
        return "**named**" if answer.found else "harmless"
    return "yes" if answer.found else "**no**"


def _where(answer: Answer) -> str:
    if answer.benign or answer.right or not answer.named:
        return f"`{answer.named}`" if answer.named else "-"
    return f"**`{answer.named}`**"


def _why(answer: Answer) -> str:
    causes = ", ".join(answer.causes)
    return (causes if answer.caused else f"**{causes}**") if causes else "-"
