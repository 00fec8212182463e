from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from harness.records import Acceptance, Comparison, NpuOps, Pair, Report, Role, Run, Scope
from harness.render import _references
from harness.render._viewer import viewer
from tests.render import sample_reports
from tests.render.readers import readable, rendered, rows
from tests.render.sample_reports import CPU, NPU, Host, trace, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READABLE = ["html", "markdown"]
BOTH = pytest.mark.parametrize("name", READABLE)


def text(name: str, report: Report, folder: Path) -> str:
    """What is to be read, without the backslashes of Markdown."""
    return readable(name, rendered(name, report, folder)).replace("\\", "")


def found(name: str, report: Report, folder: Path) -> dict[str, list[str]]:
    shown = rows(name, rendered(name, report, folder).replace("\\", ""))
    return {row[0]: row[1:] for row in shown}


def with_runs(report: Report, change: Callable[[Run], Run]) -> Report:
    return report.model_copy(update={"runs": [change(run) for run in report.runs]})


def with_pairs(report: Report, change: Callable[[Comparison], Comparison]) -> Report:
    """The report with a change in every comparison against a reference."""
    comparisons = [change(each) if each.scope is Scope.REFERENCE else each for each in report.comparisons]
    return report.model_copy(update={"comparisons": comparisons})


def between(report: Report, **sides: dict[str, object]) -> str:
    """What is said about the first reference when its sides are changed so."""
    compared = next(each for each in report.comparisons if each.scope is Scope.REFERENCE)
    update = {side: getattr(compared, side).model_copy(update=changes) for side, changes in sides.items()}
    return _references.reading(report, compared.model_copy(update=update))


# --- how fused operators were answered --------------------------------------------------------------------------------

FUSED = "Fused operators of torch_npu"


@BOTH
def test_arms_say_how_fused_operators_were_answered(name: str, tmp_path: Path) -> None:
    assert found(name, sample_reports.npu(tmp_path), tmp_path)[FUSED] == [
        "answered by the card (SIMULATED)",
        "answered by the harness's CPU kernels",
        "not called: torch_npu is hidden from the libraries",
    ]


@BOTH
@pytest.mark.parametrize("answer", [None, NpuOps.ABSENT])
def test_arms_say_nothing_of_operators_that_no_arm_could_call(name: str, answer: NpuOps | None, tmp_path: Path) -> None:
    def without(run: Run) -> Run:
        assert run.environment is not None
        return run.model_copy(update={"environment": run.environment.model_copy(update={"npu_ops": answer})})

    assert FUSED not in text(name, with_runs(sample_reports.npu(tmp_path), without), tmp_path)


# --- what a reference is ---------------------------------------------------------------------------------------------


@BOTH
def test_each_cpu_reference_says_what_it_is_and_what_a_difference_means(name: str, tmp_path: Path) -> None:
    shown = text(name, sample_reports.npu(tmp_path), tmp_path)
    for sentence in (
        "cpu-kernels is a CPU reference: the harness's CPU kernels answered the fused operators",
        "npu took the same branches, so a difference comes from the card's own arithmetic (kernel error), not from",
        "cpu-plain is a CPU reference: torch_npu was hidden, so libraries took their plain formulas.",
        "also contains what the branches differ in, such as tanh against erf GELU or where RMSNorm rounds.",
        "Calls answered for each picture: npu_geglu 24 to 26, npu_rms_norm 320.",
    ):
        assert shown.count(sentence) == 1


@BOTH
def test_a_reference_from_before_says_nothing_of_operators(name: str, tmp_path: Path) -> None:
    shown = text(name, sample_reports.drift(tmp_path), tmp_path)
    assert "is a CPU reference" not in shown
    assert "Read together" not in shown


ARITHMETIC = "comes from arithmetic, not from another branch"
CARD = "comes from the card's own arithmetic (kernel error), not from another branch"
BRANCHES = "also contains what the branches differ in"
UNKNOWN = "was not recorded, so a difference may also come from branches"


@pytest.mark.parametrize(
    ("actual", "expected", "meaning"),
    [
        (NpuOps.NATIVE, NpuOps.REFERENCE, CARD),
        (NpuOps.NATIVE, NpuOps.HIDDEN, f"took the branches with fused operators, so a difference {BRANCHES}"),
        (NpuOps.NATIVE, NpuOps.ABSENT, BRANCHES),
        (NpuOps.REFERENCE, NpuOps.HIDDEN, BRANCHES),
        (NpuOps.HIDDEN, NpuOps.REFERENCE, f"took the plain formulas, so a difference {BRANCHES}"),
        (NpuOps.REFERENCE, NpuOps.REFERENCE, ARITHMETIC),
        (NpuOps.ABSENT, NpuOps.ABSENT, ARITHMETIC),
        (NpuOps.ABSENT, NpuOps.HIDDEN, ARITHMETIC),
        (None, NpuOps.HIDDEN, UNKNOWN),
    ],
)
def test_what_a_difference_means_follows_from_both_sides(
    actual: NpuOps | None, expected: NpuOps, meaning: str, tmp_path: Path
) -> None:
    said = between(sample_reports.npu(tmp_path), actual={"npu_ops": actual}, expected={"npu_ops": expected})
    assert [each for each in (ARITHMETIC, CARD, BRANCHES, UNKNOWN) if each in said] == [
        each for each in (ARITHMETIC, CARD, BRANCHES, UNKNOWN) if each in meaning
    ]
    assert meaning in said


def test_only_a_measured_cpu_reference_is_explained(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    assert between(report)
    assert not between(report, expected={"device": "npu:0"})
    assert not between(report, expected={"npu_ops": None})
    compared = report.comparisons[1].model_copy(update={"pairs": []})
    assert not _references.reading(report, compared)


def test_types_of_both_sides_are_named(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    assert "Weights and activations are float32 on both sides." in between(report)
    said = between(report, actual={"dtype": "bfloat16"})
    assert "bfloat16 in npu and float32 in cpu-kernels, so rounding to these types is part of the difference." in said


def test_other_versions_are_named(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    assert "versions" not in between(report)

    def newer(run: Run) -> Run:
        assert run.environment is not None
        packages = {"torch": "2.9.0+cpu", "diffusers": "0.39.0", "extra": "1"}
        changed = run.environment.model_copy(update={"packages": packages})
        return run.model_copy(update={"environment": changed}) if run.plan.arm.role is Role.REFERENCE else run

    said = between(with_runs(report, newer))
    assert "The sides have different versions of diffusers, which may add to the difference." in said


@BOTH
def test_who_accepted_a_baseline_and_why_is_said(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    why = "Every picture was looked at."
    acceptance = Acceptance(who="Tester", why=why, accepted_utc="2026-01-02T03:04:05+00:00")
    made = with_pairs(
        report,
        lambda each: each.model_copy(update={"expected": each.expected.model_copy(update={"acceptance": acceptance})}),
    )
    arms = sorted({each.expected.arm for each in report.comparisons if each.scope is Scope.REFERENCE})
    shown = rows(name, rendered(name, made, tmp_path).replace("\\", ""))
    assert sorted(row[0] for row in shown if row[1:] == [acceptance.who, acceptance.accepted_utc, why]) == arms
    assert "Accepted by" not in text(name, report, tmp_path)


def test_kernels_that_never_answered_are_said_to_have_been_silent(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    silent = "No fused operator was called in any of its pictures."

    def quiet(run: Run) -> Run:
        return run.model_copy(update={"samples": [each.model_copy(update={"npu_calls": {}}) for each in run.samples]})

    assert silent in between(with_runs(report, quiet))
    assert silent not in between(report)
    assert silent not in between(with_runs(report, quiet), expected={"npu_ops": NpuOps.HIDDEN})


@BOTH
def test_two_references_are_read_together(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    shown = text(name, report, tmp_path)
    assert (
        "Read together: npu (SIMULATED) against cpu-kernels shows the card's own arithmetic; what npu (SIMULATED) "
        "against cpu-plain shows beyond that points to the branches of the libraries." in shown
    )
    for left in (report.comparisons[:2], [report.comparisons[0], report.comparisons[2]]):
        alone = report.model_copy(update={"comparisons": left})
        assert "Read together" not in text(name, alone, tmp_path)


def test_references_of_one_type_are_read_together_where_there_are_any(tmp_path: Path) -> None:
    _, kernels, plain = sample_reports.npu(tmp_path).comparisons
    other = plain.model_copy(update={"expected": plain.expected.model_copy(update={"dtype": "bfloat16"})})
    (said,) = _references.read_together([kernels, other])
    assert said.endswith("the branches of the libraries and the types (bfloat16 against float32).")
    (said,) = _references.read_together([kernels, other, plain])
    assert said.endswith("the branches of the libraries.")
    on_cpu = kernels.model_copy(update={"actual": kernels.actual.model_copy(update={"npu_ops": NpuOps.REFERENCE})})
    assert not list(_references.read_together([on_cpu, plain]))


# --- on the way to the pictures --------------------------------------------------------------------------------------


@BOTH
def test_traces_are_shown_worst_first(name: str, tmp_path: Path) -> None:
    shown = rows(name, rendered(name, sample_reports.npu(tmp_path), tmp_path))
    title = ["Case", "Seed", "Tensor", "Relative difference", "Identical", "Pair"]
    tables = [index for index, row in enumerate(shown) if row == title]
    assert len(tables) == 2
    kernels, plain = (
        [(row[0], *row[2:5]) for row in shown[index + 1 : index + 6] if "encoding" in row[2]] for index in tables
    )
    assert kernels == [
        ("glove", "text encoding, padded rows", "1.4e-01", "no"),
        ("pizza", "text encoding, padded rows", "1.4e-01", "no"),
        ("glove", "text encoding, real rows", "6.2e-08", "no"),
        ("pizza", "text encoding, real rows", "6.2e-08", "no"),
    ]
    assert plain == [
        ("glove", "text encoding, padded rows", "undefined", "no"),
        ("pizza", "text encoding, padded rows", "undefined", "no"),
        ("glove", "text encoding, real rows", "0", "yes"),
        ("pizza", "text encoding, real rows", "0", "yes"),
    ]


@BOTH
def test_nothing_is_said_about_tensors_that_were_not_traced(name: str, tmp_path: Path) -> None:
    report = with_pairs(sample_reports.npu(tmp_path), traced)
    assert "intermediate tensors" not in text(name, report, tmp_path)
    assert "Padding:" not in text(name, report, tmp_path)


def test_a_large_comparison_shows_its_worst_traces_and_counts_the_rest(tmp_path: Path) -> None:
    compared = sample_reports.npu(tmp_path).comparisons[1]

    def moved(pair: Pair, seed: int) -> Pair:
        return pair.model_copy(
            update={"key": pair.key.model_copy(update={"seed": seed}), "traces": [trace("real", seed / 1000)]}
        )

    (first, *_) = compared.pairs
    pairs = [moved(first, seed) for seed in range(1, 14)]
    table = _references.traces(compared.model_copy(update={"pairs": [*pairs, pairs[-1]]}))
    assert table is not None
    assert [row[1].text for row in table.rows] == [str(seed) for seed in range(13, 3, -1)]
    assert table.rows[0][-1].text.endswith(", and 1 alike")
    assert table.note.endswith("3 more rows, none of them worse, left out.")
    table = _references.traces(compared.model_copy(update={"pairs": pairs[:10]}))
    assert table is not None
    assert "left out" not in table.note


@BOTH
@pytest.mark.parametrize(
    ("real", "padded", "warnings"),
    [
        (6.2e-8, 0.136, 2),
        (0.00136, 0.136, 2),
        (0.0, 1e-9, 2),
        (0.00137, 0.136, 0),
        (6.2e-8, 0.0, 0),
        (0.0, None, 0),
        (None, 0.136, 0),
    ],
)
def test_padded_rows_that_differ_alone_are_warned_of(
    name: str, real: float | None, padded: float | None, warnings: int, tmp_path: Path
) -> None:
    def padding(compared: Comparison) -> Comparison:
        return traced(compared, trace("real", real), trace("padded", padded))

    shown = text(name, with_pairs(sample_reports.npu(tmp_path), padding), tmp_path)
    assert shown.count("Padding: in 2 of 2 pairs the padded rows of text encoding differ") == warnings
    assert shown.count("connector reads padded rows without a mask") == warnings


# --- substitutions ---------------------------------------------------------------------------------------------------


@BOTH
def test_what_was_replaced_is_named(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    said = f"npu: {sample_reports.SUBSTITUTION}"
    not_shown = "The model exactly as it was asked for, in npu"
    shown = text(name, report, tmp_path)
    assert said in shown
    assert not_shown in shown
    attention = ["asked for: flash_attention_2; see below what was replaced", *["flash_attention_2"] * 2]
    assert found(name, report, tmp_path)["Attention"] == attention

    def without(run: Run) -> Run:
        assert run.loaded is not None
        return run.model_copy(update={"loaded": run.loaded.model_copy(update={"substitutions": []})})

    plain = with_runs(report, without)
    shown = text(name, plain, tmp_path)
    assert "replaced" not in shown
    assert not_shown not in shown
    assert found(name, plain, tmp_path)["Attention"] == ["flash_attention_2"]


# --- evidence --------------------------------------------------------------------------------------------------------

PEAK = "Largest peak of the whole device while it works"


def allocated(name: str, report: Report, folder: Path, arm: str) -> dict[str, list[str]]:
    shown = rows(name, rendered(name, report, folder))
    return {row[1]: row[2:] for row in shown if len(row) == 5 and row[0] == arm}


@BOTH
def test_each_component_has_device_memory_and_the_peak_while_it_works(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    assert PEAK in text(name, report, tmp_path)
    assert allocated(name, report, tmp_path, "npu (SIMULATED)") == {
        "vlm": ["npu:0 (SIMULATED)", "6.99 GiB", "17 GiB"],
        "connector": ["npu:0 (SIMULATED)", "825 MiB", "not measured"],
        "transformer": ["npu:0 (SIMULATED)", "4.6 GiB", "19 GiB"],
        "vae": ["npu:0 (SIMULATED)", "160 MiB", "18 GiB"],
        "whole device": ["npu:0 (SIMULATED)", "not measured", "19 GiB"],
    }
    assert allocated(name, sample_reports.npu(tmp_path, NPU), tmp_path, "npu")["vlm"][0] == "npu:0"


@BOTH
def test_the_whole_device_of_a_cpu_is_its_worker_process(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    plain = allocated(name, report, tmp_path, "cpu-plain")
    assert plain["transformer"] == ["cpu", "4.6 GiB", "25 GiB"]
    assert plain["whole device"] == ["cpu", "not measured", "25 GiB"]
    assert "the whole device is the worker process" in text(name, report, tmp_path)
    on_card = report.model_copy(update={"runs": report.runs[:1]})
    assert "the whole device is the worker process" not in text(name, on_card, tmp_path)


@BOTH
def test_peaks_of_stages_are_shown_where_they_are_those_of_the_stage(name: str, tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    shown = found(name, report, tmp_path)
    assert shown["Peak of the whole device in text encoding, largest"] == ["17 GiB", "23 GiB", "23 GiB"]
    assert shown["Peak of the whole device in denoising, largest"] == ["19 GiB", "25 GiB", "25 GiB"]
    assert shown["Peak of the whole device in VAE decode, largest"] == ["18 GiB", "24 GiB", "24 GiB"]

    def before(run: Run) -> Run:
        assert run.environment is not None
        assert run.loaded is not None
        surroundings = run.environment.model_copy(update={"npu_ops": None})
        loaded = run.loaded.model_copy(update={"components": {}})
        return run.model_copy(update={"environment": surroundings, "loaded": loaded})

    older = with_runs(report, before)
    assert "Peak of the whole device in" not in text(name, older, tmp_path)
    assert PEAK not in text(name, older, tmp_path)
    assert allocated(name, older, tmp_path, "npu (SIMULATED)")["vlm"][-1] == "not measured"


@BOTH
def test_size_and_steps_stand_beside_the_times(name: str, tmp_path: Path) -> None:
    shown = found(name, sample_reports.npu(tmp_path), tmp_path)
    assert shown["Size of the pictures"] == ["96 x 96 pixels"] * 3
    assert shown["Denoising steps"] == ["20"] * 3
    assert found(name, sample_reports.nothing_loaded(tmp_path), tmp_path)["Size of the pictures"] == ["not measured"]


# --- simulated devices -----------------------------------------------------------------------------------------------


def test_a_simulated_device_cannot_be_overlooked(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path)
    lines = text("markdown", report, tmp_path).splitlines()
    assert "> **SIMULATED DEVICE: not evidence about real hardware**" in lines[:3]
    headings = [line for line in lines if line.startswith("### ")]
    assert len(headings) == 3
    assert all("npu (SIMULATED)" in line for line in headings)
    for heading in ("Arm", "Model", "Environment", "Time"):
        assert f"| {heading} | npu (SIMULATED) | cpu-kernels | cpu-plain |" in lines
    page = text("html", report, tmp_path)
    for heading in ("Repeats of npu (SIMULATED)", "npu (SIMULATED) against cpu-plain"):
        assert heading in page
    case = next(each for each in viewer(report, tmp_path).cases if each.title == "pizza, seed 42")
    assert case.pictures[0].title == "npu (SIMULATED)"
    assert case.pairs[0].title == "npu (SIMULATED) p0r0 against cpu-kernels p0r0"
    assert case.pairs[0].actual.title == "Actual: npu (SIMULATED) p0r0"
    assert page.count("none of this is about a real card") == 2
    assert csv_marks(report, tmp_path) == {"yes"}


def test_a_real_device_has_no_mark(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path, NPU)
    for name in READABLE:
        shown = text(name, report, tmp_path)
        assert "SIMULATED" not in shown
        assert "real card" not in shown
    assert csv_marks(report, tmp_path) == {"no"}


def csv_marks(report: Report, folder: Path) -> set[str]:
    return {row["simulated"] for row in csv.DictReader(io.StringIO(rendered("csv", report, folder)))}


def test_a_simulated_reference_is_marked_on_its_own_side(tmp_path: Path) -> None:
    report = sample_reports.npu(tmp_path, CPU)
    compared = report.comparisons[1]
    swapped = compared.model_copy(update={"expected": compared.expected.model_copy(update={"simulated": True})})
    report = report.model_copy(update={"comparisons": [swapped]})
    assert "npu against cpu-kernels (SIMULATED)" in text("markdown", report, tmp_path)
    assert csv_marks(report, tmp_path) == {"yes"}


@pytest.mark.parametrize("host", [sample_reports.FAKE_NPU, NPU])
def test_junit_names_simulation_and_operators_of_both_sides(host: Host, tmp_path: Path) -> None:
    root = ET.fromstring(rendered("junit", sample_reports.npu(tmp_path, host), tmp_path))
    suite = list(root.iter("testsuite"))[1]
    properties = suite.find("properties")
    assert properties is not None
    values = {each.get("name"): each.get("value") for each in properties}
    assert values["actual.simulated"] == ("yes" if host.simulated else "no")
    assert values["expected.simulated"] == "no"
    assert (values["actual.npu_ops"], values["expected.npu_ops"]) == ("native", "reference")
    assert "npu_ops" not in rendered("junit", sample_reports.drift(tmp_path), tmp_path)
