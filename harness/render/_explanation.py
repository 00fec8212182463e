"""What is said of an explanation: the answer, how it was found, whether it was proven, and the causes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records.explanation import InputKind, ProofWord, Trouble
from harness.records.investigation import Side
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import (
    Bullets,
    Document,
    Figure,
    Listing,
    Mark,
    Paragraph,
    Section,
    Table,
    clean,
    code,
    figure,
    plain,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records.explanation import Cause, Culprit, Explanation, Proof
    from harness.records.investigation import Gap, OperatorCheck, OperatorError
    from harness.render._document import Block, Cell

_MOST_ROWS = 40
_FIRST_ROWS = 5
"""Wrong places that are seen without a click."""

_CHECKS = {
    InputKind.WEIGHTS: marked("Weights and buffers"),
    InputKind.SETTINGS: marked("Settings of configurations and modules"),
    InputKind.NOISE: marked("Random draws"),
    InputKind.SCHEDULE: marked("Timesteps and noise levels"),
    InputKind.WHOLE_NUMBERS: marked("Token ids, masks and positions"),
}

_PROOFS = {
    ProofWord.PROVEN: marked(
        "Proven: the difference goes away with the reference's values at these places, and appears in the reference "
        "with what the candidate gave for the reference's values at the first of them."
    ),
    ProofWord.UNDECIDED: marked(
        "Undecided: the two swaps do not agree, so there is more than these places, or another reason."
    ),
    ProofWord.TOO_SMALL: marked("The results differ by no more than rounding, so a swap of values can show nothing."),
    ProofWord.NOT_TRIED: marked("No values were swapped, so nothing is proven."),
}


def document(explanation: Explanation) -> Document:
    """Everything the page says, in reading order."""
    sections = [
        Section("where", say("Where"), tuple(_where(explanation))),
        Section("operators", say("Operators"), tuple(_operators(explanation))),
        Section("why", say("Causes"), tuple(_why(explanation))),
        Section("equal", say("What has to be equal bit for bit"), tuple(_checks(explanation))),
        Section("how", say("How it was measured"), tuple(_how(explanation))),
        Section("next", say("Next commands"), tuple(_commands(explanation))),
    ]
    return Document(
        title=_title(explanation),
        summary=_summary(explanation),
        status=explanation.trouble.status,
        sentence=sentence(explanation),
        reasons=tuple(_reasons(explanation)),
        marks=tuple(_marks(explanation)),
        figures=tuple(_figures(explanation)),
        sections=tuple(section for section in sections if section.blocks),
        pictures_before=(),
    )


def _summary(explanation: Explanation) -> str:
    if explanation.key is None:
        return say("A script of your own; {dtype} on both sides", dtype=explanation.dtype)
    return say(
        "{scenario}: {case}; {dtype} on both sides",
        scenario=explanation.scenario,
        case=labels.key(explanation.key),
        dtype=explanation.dtype,
    )


def _title(explanation: Explanation) -> str:
    if explanation.against is None:
        return say("{arm} against its own formulas", arm=explanation.arm)
    return say("{arm} against {against}", arm=explanation.arm, against=explanation.against)


def sentence(explanation: Explanation) -> str:
    """The answer as one sentence."""
    return translated(explanation.message) + say(".")  # a path begins it, so no letter of it is made large


def in_short(explanation: Explanation) -> str:
    """Where, why and whether it was proven, for the first screen of a report."""
    return formats.running([sentence(explanation), *map(formats.sentence, _reasons(explanation))])


def _reasons(explanation: Explanation) -> Iterator[str]:
    """Operator, cause and proof, for the first screen."""
    yield from map(translated, explanation.notes)
    if explanation.culprits:
        first = [cause for cause in explanation.causes if cause.path == explanation.culprits[0].path]
        if first:
            yield say("cause: {causes}", causes=formats.listed([translated(cause.sentence) for cause in first]))
    if explanation.proof is not None and explanation.proof.word is ProofWord.PROVEN:
        yield say("proven by a swap of values")


def _marks(explanation: Explanation) -> Iterator[Mark]:
    if explanation.simulated:
        title = say("SIMULATED DEVICE: not evidence about real hardware")
        text = say(
            "A stand-in library plays the device of {arms}. No number here was made by such a chip.",
            arms=formats.listed(explanation.simulated),
        )
        yield Mark(title, text, "simulated")
    if all(backend == "cpu" for backend in explanation.devices.values()):
        yield Mark(say("CPU only"), say("No accelerator computed anything on this page."), "cpu")


def _figures(explanation: Explanation) -> Iterator[Figure]:
    if explanation.culprits:
        ratio = explanation.culprits[0].ratio
        times = formats.number(round(ratio)) if math.isfinite(ratio) else "∞"
        yield Figure(times, say("times its floor, the first wrong place"))
    yield Figure(str(explanation.places), say("places measured"))
    if explanation.key is not None and (
        explanation.culprits or explanation.innocent_count
    ):  # a script runs forced alone
        yield Figure(str(explanation.innocent_count), say("modules that only follow"))
    yield Figure(f"{sum(explanation.pictures.values()):.0f}", say("picture times for both sides, without loading"))


def _where(explanation: Explanation) -> Iterator[Block]:
    if explanation.culprits:
        yield Paragraph(
            say(
                "Each module and function got what the reference's got, so an error does not travel. A place above "
                "{limit} times its floor is wrong by itself; the first in order of execution is the answer.",
                limit=8,
            )
        )
        yield _places(explanation.culprits[:_FIRST_ROWS])
        if more := explanation.culprits[_FIRST_ROWS:]:
            yield replace(_places(more, title=say("Further wrong places")), open=False)
    if explanation.proof is not None:
        yield Paragraph(say(_PROOFS[explanation.proof.word]))
        yield _proof(explanation.proof)
    if explanation.innocent:
        yield Paragraph(
            many(
                "{count} module differs only because of what reached it:",
                "{count} modules differ only because of what reached them:",
                explanation.innocent_count,
            )
        )
        yield Listing("\n".join(map(clean, explanation.innocent)), say("The first of them"))
    if explanation.missing:
        yield Paragraph(say("Only the reference called these, so they were not compared by themselves:"))
        yield Bullets(tuple(map(clean, explanation.missing)))
    if explanation.not_finite is not None:
        place = explanation.not_finite
        yield Paragraph(
            say(
                "A value that is no number was first seen in what leaves {path}, step {step}.",
                path=place.path,
                step=place.step,
            )
        )


def _places(culprits: Sequence[Culprit], title: str = "") -> Table:
    shown = culprits[:_MOST_ROWS]
    left = len(culprits) - len(shown)
    return table(
        [
            say("Wrong"),
            say("Seen in"),
            say("Step"),
            say("Error there"),
            say("Floor there"),
            say("Times the floor"),
            say("Free error"),
        ],
        [
            (
                code(culprit.path),
                plain(_seen(culprit)),
                figure(culprit.place.step),
                figure(formats.scientific(culprit.error)),
                figure(formats.scientific(culprit.floor)),
                figure(formats.number(float(f"{culprit.ratio:.3g}"))),
                figure(labels.NONE if culprit.free_error is None else formats.scientific(culprit.free_error)),
            )
            for culprit in shown
        ],
        title=title,
        fold=bool(title),
        note=many("{count} more is in the record.", "{count} more are in the record.", left) if left else "",
    )


def _seen(culprit: Culprit) -> str:
    leaves = culprit.place.side is Side.OUTPUT
    text = (
        say("what leaves {path}", path=culprit.place.path)
        if leaves
        else say("what enters {path}", path=culprit.place.path)
    )
    return formats.with_remark(text, culprit.value)


def _proof(proof: Proof) -> Block:
    rows = [
        (say("Candidate from reference"), proof.gap),
        (say("The same with the reference's values at these places"), proof.patched),
        (say("Reference with what the candidate gave at the first of them, from itself"), proof.injected),
        (say("Reference with last bits moved, from itself"), proof.floor),
    ]
    return table(
        [say("Pictures"), say("Float output"), say("Final latents"), say("8-bit picture")],
        [(plain(name), *(figure(cell) for cell in _gap(gap))) for name, gap in rows],
        title=say("Swap of {names}", names=formats.listed(proof.paths[:5])),
        note=say("Relative L2: the norm of the difference over the norm of the reference."),
    )


def _gap(gap: Gap | None) -> tuple[str, str, str]:
    values = (None, None, None) if gap is None else (gap.float_image, gap.latents, gap.image)
    one, two, three = (labels.NONE if value is None else formats.scientific(value) for value in values)
    return one, two, three


def _operators(explanation: Explanation) -> Iterator[Block]:
    check = explanation.operators
    if check is None:
        if explanation.trouble is Trouble.PLACE and explanation.devices.get(explanation.arm) == "cpu":
            yield Paragraph(
                say(
                    "Operators were not looked at: {arm} ran on a CPU, and the CPU is what they are held against.",
                    arm=explanation.arm,
                )
            )
        return
    if check.against_cpu:
        yield Paragraph(
            say(
                "Each operator that {path} calls by itself was held against the same operator on the CPU in float64, "
                "on the inputs that it really had. Above {limit} times its floor it is wrong by itself.",
                path=check.path,
                limit=8,
            )
        )
    else:
        yield Paragraph(say("Each operator of the pipeline was called twice on the inputs that it really had."))
    if check.wrong:
        yield _table_of_operators(check.wrong, check.wrong_count)
    if check.changing:
        yield Paragraph(
            many(
                "{count} call gave two results for the same inputs:",
                "{count} calls gave two results for the same inputs:",
                check.changing_count,
            )
        )
        yield _table_of_operators(check.changing, check.changing_count)
    yield Paragraph(_what_operators_say(check))
    if check.unchecked:
        yield Paragraph(
            say(
                "The CPU cannot compute these, so they were not looked at: {names}.",
                names=formats.listed(check.unchecked),
            )
        )


def _what_operators_say(check: OperatorCheck) -> str:
    """What follows from all calls that were looked at."""
    if not check.checked:
        return say("No operator was looked at.")
    if check.wrong or check.changing:
        return many("{count} call was looked at.", "{count} calls were looked at.", check.checked)
    if check.against_cpu:
        return many(
            "{count} call was looked at and is right: what is wrong is which operator is called, or what it is given.",
            "{count} calls were looked at and all are right: what is wrong is which operators are called, or what they "
            "are given.",
            check.checked,
        )
    return many(
        "{count} call was looked at and repeats itself: look between operators.",
        "{count} calls were looked at and all repeat themselves: look between operators.",
        check.checked,
    )


def _table_of_operators(wrong: Sequence[OperatorError], count: int) -> Block:
    """Operators with what measured them: an error against the CPU, or one between two results."""
    left = count - len(wrong)
    note = many("{count} more was found.", "{count} more were found.", left) if left else ""
    if wrong[0].floor is None:
        return table(
            [say("Operator"), say("Called by"), say("Given"), say("Difference")],
            [
                (code(error.name), code(error.path), plain(_given(error)), figure(formats.scientific(error.error)))
                for error in wrong
            ],
            note=note,
        )
    return table(
        [say("Operator"), say("Given"), say("Error there"), say("Floor there"), say("Times the floor")],
        [
            (
                code(error.name),
                plain(_given(error)),
                figure(formats.scientific(error.error)),
                figure(formats.scientific(error.floor or 0.0)),
                figure(formats.number(float(f"{error.ratio:.3g}"))),
            )
            for error in wrong
        ],
        note=note,
    )


def _given(error: OperatorError) -> str:
    """Type and shapes of what an operator was given."""
    return f"{error.dtype} " + " ".join("x".join(map(str, shape)) or "1" for shape in error.shapes)


def _why(explanation: Explanation) -> Iterator[Block]:
    if explanation.causes:
        yield table(
            [say("Module"), say("Cause"), say("Shown by"), say("Known from")],
            [_cause(cause) for cause in explanation.causes[:_MOST_ROWS]],
            note=say(
                "A coefficient is 1 where a cause is present and 0 where it is not. What is left over is the relative "
                "L2 from the candidate's values to those that it would have with the cause. Causes that leave the same "
                "cannot be told apart on these inputs."
            ),
        )
    if explanation.wrong_constants:
        yield Bullets(tuple(translated(wrong.sentence) for wrong in explanation.wrong_constants))
    if not explanation.causes and not explanation.wrong_constants:
        yield Paragraph(say("Not among {count} known causes.", count=explanation.tried))
    if explanation.without_power:
        yield table(
            [say("Cause that these inputs cannot show"), say("Modules")],
            [(code(name), plain(formats.listed(paths))) for name, paths in explanation.without_power.items()],
            fold=True,
            title=say("No power"),
        )
    if explanation.constants:
        yield table(
            [say("Constant"), say("Asked"), say("In effect"), say("Standard error")],
            [
                (
                    code(constant.name),
                    figure(formats.number(constant.asked)),
                    figure(formats.number(constant.value)),
                    figure(formats.scientific(constant.standard_error)),
                )
                for constant in explanation.constants
            ],
            title=say("Constants that were estimated"),
        )


def _cause(cause: Cause) -> tuple[Cell, ...]:
    return (
        code(cause.path),
        plain(translated(cause.sentence)),
        plain(_evidence(cause)),
        plain(say(cause.source)),
    )


_MEASURED = marked("coefficient {value} +- {error}")
_PROBED = marked("coefficient {value} +- {error}, on inputs made to show it; those of the picture do not")


def _evidence(cause: Cause) -> str:
    error = f"{cause.standard_error or 0:.2g}"
    if cause.coefficient is not None:
        words = _PROBED if cause.probed else _MEASURED
        return say(words, value=f"{cause.coefficient:.3f}", error=error)
    if cause.probed:
        return say("inputs made to show it; those of the picture need not")
    if cause.residual is None or cause.without is None:
        return say("how the pictures repeat")
    left, without = formats.scientific(cause.residual), formats.scientific(cause.without)
    if cause.estimate is None:
        return say("left over {left}, without it {without}", left=left, without=without)
    return say(
        "left over {left}, without it {without}; estimate {value} +- {error}",
        left=left,
        without=without,
        value=f"{cause.estimate:.6g}",
        error=error,
    )


def _checks(explanation: Explanation) -> Iterator[Block]:
    if explanation.checks:
        yield table(
            [say("What"), say("Compared"), say("Different"), say("First that differ")],
            [
                (
                    plain(say(_CHECKS[check.kind])),
                    figure(check.compared),
                    figure(check.different_count),
                    plain(formats.listed(check.different[:3])) if check.different else plain(labels.NONE),
                )
                for check in explanation.checks
            ],
        )


def _how(explanation: Explanation) -> Iterator[Block]:
    rows = [
        (say("Device of {arm}", arm=arm), formats.with_mark(backend, simulated=arm in explanation.simulated))
        for arm, backend in explanation.devices.items()
    ]
    rows += [(say("Picture times of {arm}", arm=arm), f"{times:.1f}") for arm, times in explanation.pictures.items()]
    if explanation.trace_bytes:
        rows.append((say("Size of the trace"), formats.size(explanation.trace_bytes)))
    yield table([say("What"), say("Value")], [(plain(name), plain(value)) for name, value in rows])
    if explanation.trouble is Trouble.LOOKING:
        yield Paragraph(
            say("Watching changed the bytes of the picture, so what was measured may not be what users get.")
        )


def _commands(explanation: Explanation) -> Iterator[Block]:
    yield Listing("\n".join(explanation.commands), say("Paste these where you started this one."), fold=False)
    if explanation.snippets:
        yield Listing("\n\n".join(explanation.snippets), say(_IN_PYTHON))


_IN_PYTHON = marked(
    "In Python, with the loaded pipeline as pipe: the operators of the first wrong module, by PyTorch's DebugMode; on "
    "an NPU also by msprobe, of the package mindstudio-probe"
)
