"""Faults of the simulated card's operators, explained one after the other: ``python -m tests.npu.exam``.

The embedded model is loaded once on the CPU, whose picture is the reference, and once on a card. Each fault is put
into a copy of the process, so that none sees another one; the measurements and the judgement are those of ``harness
explain``, without its swaps. ``nox -s card_faults`` starts it with the real torch_npu on simulated cards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch_npu  # noqa: F401 - gives the cards their kernels before a part of these is imported

from harness.adapters import deepgen
from harness.backends import npu
from harness.errors import RunError
from harness.explain.verdict import explained, with_operators
from harness.records import SwitchMode, read_record, to_json
from harness.records.explanation import Trouble
from harness.records.investigation import (
    FORCED_FILE,
    TRACE_FILE,
    TRIED_FILE,
    Forced,
    Investigation,
    InvestigationTask,
    OperatorCheck,
    Tried,
)
from harness.run.sources import locate
from harness.run.worker.investigator import Investigator
from harness.run.worker.npu_operators import answer_by_reference
from harness.run.worker.operator_check import Everywhere, Operators
from harness.run.worker.places import watched
from tests.ascend_sim import faults, rules, values
from tests.faults.exam import KEY, Exam, Subject, in_fork, named_by, named_causes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records.explanation import Explanation

HARMLESS = ("nothing", "documented", "stale_cache@embedding")
"""The CPU's values, rounding as is documented, and a cache that is only asked for what it holds."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a right explanation of a fault says."""

    operators: tuple[str, ...]
    """Names of the operator as torch's dispatcher shows it; one of them is right."""
    causes: tuple[str, ...] = ()
    """Hypotheses of which one at least is named, and no other one; empty where none is known."""


FAULTS = {
    "wrong_eps@npu_rms_norm": Expected(operators=("npu::npu_rms_norm",)),
    "wrong_eps@native_layer_norm": Expected(operators=("aten::native_layer_norm",)),
    "wrong_eps@native_group_norm": Expected(operators=("aten::native_group_norm",)),
    "gelu_form@gelu": Expected(operators=("aten::gelu",), causes=("gelu_erf",)),
    "mask_ignored": Expected(operators=("npu::npu_fusion_attention_v3",), causes=("mask_missing",)),
    "mask_inverted": Expected(operators=("npu::npu_fusion_attention_v3",), causes=("mask_inverted",)),
    "fp16_accumulation@addmm": Expected(operators=("aten::addmm",)),
    "fp16_accumulation@matmul": Expected(operators=("aten::matmul",), causes=("rope_angle_half",)),
    "changing_order@addmm": Expected(operators=("aten::addmm",), causes=("not_repeatable",)),
    "changing_order@matmul": Expected(operators=("aten::matmul",), causes=("not_repeatable",)),
    "changing_order@native_layer_norm": Expected(operators=("aten::native_layer_norm",), causes=("not_repeatable",)),
    "stale_cache": Expected(operators=("npu::npu_fusion_attention_v3",), causes=("old_result",)),
    "stale_cache@silu": Expected(operators=("aten::silu",), causes=("old_result",)),
    "stale_cache@convolution": Expected(operators=("aten::convolution",), causes=("next_step",)),
}
"""Every kind of fault, in operators that the embedded model calls on a card.

Angles of the rotary embedding are products of one term, so their sums in float16 are angles in float16; what a patch
embedding answered first is its value of the step before.
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said of one fault in one type."""

    name: str
    dtype: str
    trouble: str = ""
    path: str = ""
    """Module or function that was named first; empty where none was."""
    ratio: float = 0.0
    """Error over floor there."""
    operator: str = ""
    """The first wrong or changing operator; empty where none is."""
    operator_ratio: float | None = None
    """Error over floor of it; None where two results for the same inputs differ, or none is wrong."""
    checked: int = 0
    """Calls of operators that were looked at."""
    unchecked: tuple[str, ...] = ()
    """Operators that the CPU could not compute."""
    causes: tuple[str, ...] = ()
    """Hypotheses that were named."""
    struck: int = 0
    """How often the fault struck while the candidate was measured."""
    error: str = ""
    """Why there is no answer."""

    @property
    def expected(self) -> Expected:
        """What a right answer says."""
        return FAULTS[self.name]

    @property
    def found(self) -> bool:
        """Whether something is wrong, as far as was said."""
        return self.trouble not in {"equal", "rounding"}

    @property
    def operator_is_right(self) -> bool:
        """Whether the operator that was named has the fault."""
        return self.operator in self.expected.operators

    @property
    def cause_is_right(self) -> bool:
        """Whether right causes alone are named."""
        return bool(self.causes) and set(self.causes) <= set(self.expected.causes)


def read_answer(text: str) -> Answer:
    """An answer from a line of JSON."""
    said = json.loads(text)
    return Answer(**{**said, "causes": tuple(said["causes"]), "unchecked": tuple(said["unchecked"])})


def _load(dtype: str, device: Any) -> Any:
    source, _ = locate("builtin:tiny-deepgen")
    model: Any = SimpleNamespace(dtype=dtype, trust_remote_code=True, attention="sdpa", load=None)
    return deepgen.load(source, model, device)


QUICK = Subject(load=_load, prompt="a blue circle", steps=2, side=64)


class CardExam(Exam):
    """The embedded model in one type, on the CPU with its trace, and on a card."""

    def __init__(self, dtype: str, folder: Path) -> None:
        super().__init__(dtype, folder, QUICK)
        self._card = npu.open(0, SwitchMode.DETERMINISTIC)
        self._ported = _load(dtype, self._card)

    def answer_of(self, name: str) -> Answer:
        """Explain a fault, each part of the work in a process of its own."""
        try:
            struck = in_fork(lambda: self._forced(name))
            said = self._explained(name)
            operators = said.operators
            first = (operators.wrong or operators.changing)[0] if operators and said.notes else None
            return Answer(
                name=name,
                dtype=self.dtype,
                trouble=said.trouble.value,
                path=named_by(said),
                ratio=said.culprits[0].ratio if said.culprits else 0.0,
                operator=first.name if first else "",
                operator_ratio=first.ratio if first and first.floor else None,
                checked=operators.checked if operators else 0,
                unchecked=tuple(operators.unchecked) if operators else (),
                causes=named_causes(said),
                struck=struck,
            )
        except RunError as error:
            return Answer(name=name, dtype=self.dtype, error=str(error))

    def _explained(self, name: str) -> Explanation:
        forced = read_record(Forced, self.folder / name / FORCED_FILE)
        said = explained("exam", KEY, self.trace, forced)
        if name in HARMLESS:
            return with_operators(said, self._all_operators(name))
        if said.trouble is Trouble.NOT_REPEATABLE:
            return with_operators(said, self._operators(name, None))
        if said.trouble is not Trouble.PLACE:
            return said
        in_fork(lambda: self._tried(name, said))
        tried = read_record(Tried, self.folder / f"{name}-tried" / TRIED_FILE)
        said = explained("exam", KEY, self.trace, forced, tried)
        return with_operators(said, self._operators(name, said))

    def _forced(self, name: str) -> int:
        folder = self.folder / name
        folder.mkdir()
        self._faulty(name).force(folder, self.folder / TRACE_FILE, ["first"])
        return sum(faults.strikes.values())

    def _tried(self, name: str, said: Explanation) -> None:
        order = self._order(InvestigationTask.TRY, name, said)
        Path(order.folder).mkdir()
        self.investigator(self.pipeline).attempt(Path(order.folder), order)

    def _all_operators(self, name: str) -> OperatorCheck:
        """Every operator of a picture held against the CPU, where none may be named."""

        def look() -> str:
            window = Everywhere()
            looked = Operators(window, values=True)
            self._faulty(name)
            with looked.mode(), watched(self._ported, window):
                self.made(self._ported)
            return to_json(looked.record(""))

        return OperatorCheck.model_validate_json(in_fork(look))

    def _operators(self, name: str, said: Explanation | None) -> OperatorCheck:
        order = self._order(InvestigationTask.OPERATORS, name, said)
        Path(order.folder).mkdir()
        made = in_fork(lambda: self._faulty(name).operators(Path(order.folder), order).model_dump(mode="json"))
        return OperatorCheck.model_validate_json(json.dumps(made))

    def _order(self, task: InvestigationTask, name: str, said: Explanation | None) -> Investigation:
        first = said.culprits[0] if said else None
        return Investigation(
            task=task,
            key=KEY,
            folder=str(self.folder / f"{name}-{'tried' if task is InvestigationTask.TRY else 'operators'}"),
            trace_file=str(self.folder / TRACE_FILE),
            values_folder=str(self.folder / name),
            places=[first.place] if first else [],
            path=first.path if first else "",
        )

    def _faulty(self, name: str) -> Investigator:
        """Plant a fault for good, in a forked process, and measure the card from there on."""
        if name == "documented":
            rules.round_by(values.setting("documented"))
        elif name != "nothing":
            rules.inject(faults.rules_of(faults.parse(name)))
        self._device = self._card
        return Investigator(
            self._ported,
            lambda shift: self.made(self._ported, shift),
            arm="npu",
            dtype=self.dtype,
            backend="npu",
            steps=QUICK.steps,
            asked={"guidance_scale": QUICK.guidance},
            simulated=npu.is_simulated(),
        )


def answers(dtypes: Sequence[str], names: Sequence[str], folder: Path) -> list[Answer]:
    """All answers; progress goes to standard error."""
    made = []
    for dtype in dtypes:
        exam = CardExam(dtype, folder)
        for name in names or [*FAULTS, *HARMLESS]:
            made.append(exam.answer_of(name))
            sys.stderr.write(f"{json.dumps(asdict(made[-1]))}\n")
    return made


def main() -> None:
    """Explain faults and write all answers as JSON lines, and the page where one is asked for."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="faults; all where none is named")
    parser.add_argument("--dtype", action="append", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, help="file for the answers, JSON lines")
    parser.add_argument("--page", type=Path, help="file for the table, Markdown")
    words = parser.parse_args()
    torch.set_num_threads(1)
    answer_by_reference()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HF_MODULES_CACHE", f"{scratch}/modules")
        made = answers(words.dtype or ["float32", "bfloat16"], words.names, Path(scratch))
    if words.out:
        words.out.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in made), encoding="utf-8")
    if words.page:
        from tests.npu.page import page

        words.page.write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
