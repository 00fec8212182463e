"""Reports of two models that differ: which files and keys, and why they are compared, in every format and language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.compare import models
from harness.jobs.concluding import conclusion
from harness.language import spoken
from harness.message import joined
from harness.records import FileDifference, FileIdentity, ModelDifference, OnPurpose, Scope, Status
from tests.render import sample_reports
from tests.render.readers import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Comparison, Report, Run

REASON = "Weights in 8 bits against the original ones."
DIFFERENCE = ModelDifference(
    actual=sample_reports.sha("8 bits"),
    expected=sample_reports.sha("original"),
    files=[
        FileDifference(name="transformer/config.json", keys=["quantization_config", "text/width"]),
        FileDifference(name="transformer/model.safetensors"),
        FileDifference(name="transformer/quant_map.json", missing="expected"),
        FileDifference(name="vae/extra|`tick`.json", missing="actual"),
    ],
)


def of_two_models(folder: Path) -> Report:
    """A candidate with quantised weights, within limits of the original that the scenario compares it with."""
    made = sample_reports.within_limits(folder)
    scenario = made.scenario.model_copy(update={"differs_in": {OnPurpose.MODEL: REASON}})
    return made.model_copy(
        update={
            "scenario": scenario,
            "runs": [_listed(run) for run in made.runs],
            "comparisons": [_meant(each) for each in made.comparisons],
        }
    )


def _listed(run: Run) -> Run:
    files = {"vae/config.json": FileIdentity(sha256=sample_reports.sha("config"), keys={"shift": "0123456789ab"})}
    other = {"README.md": sample_reports.sha("readme"), "teaser.png": sample_reports.sha("teaser")}
    changes = {"loaded": sample_reports.sha("loaded"), "files": files, "other_files": other}
    return run.model_copy(update={"model": run.model.model_copy(update=changes)})


def _meant(each: Comparison) -> Comparison:
    if each.scope is Scope.REPEAT:
        return each
    note = models.on_purpose(DIFFERENCE, REASON)
    changes = {"model": DIFFERENCE, "differs_in": {OnPurpose.MODEL: REASON}, "notes": [note]}
    return each.model_copy(update={**changes, "message": joined([each.message, note])})


def refused(folder: Path) -> Report:
    """The same where nothing says that it is meant."""
    made = sample_reports.not_comparable(folder)
    words = models.barring(DIFFERENCE)
    changes = {"model": DIFFERENCE, "differences": [words], "message": words, "missing": [], "unexpected": []}
    return made.model_copy(update={"comparisons": [each.model_copy(update=changes) for each in made.comparisons]})


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_report_names_every_file_and_key_and_the_reason(form: str, tmp_path: Path) -> None:
    text = rendered(form, of_two_models(tmp_path), tmp_path)
    for words in (
        f"The models of the two sides differ on purpose: {REASON}",
        "transformer/config.json",
        "text/width",
        "transformer/model.safetensors",
        "transformer/quant_map.json",
        "missing on the expected side",
        "missing on the actual side",
        "Digest of what is loaded",
        sample_reports.sha("loaded"),
        "README.md, teaser.png",
        "their models differ on purpose",
    ):
        assert words in text
    plain = rendered(form, sample_reports.within_limits(tmp_path / "plain"), tmp_path / "plain")
    assert "on purpose" not in plain
    assert "Digest of all files" in plain, "a record from before knows no other"


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_report_of_models_that_may_not_differ_names_them_too(form: str, tmp_path: Path) -> None:
    text = rendered(form, refused(tmp_path), tmp_path)
    assert "transformer/quant_map.json" in text
    assert "differs_in of the scenario" in text.replace("\\", "")
    assert "differ on purpose" not in text


def test_the_reason_is_said_in_the_reader_s_language(tmp_path: Path) -> None:
    made = of_two_models(tmp_path)
    said = "8 位权重与原始权重对比。"
    own = made.scenario.model_copy(update={"translations": {"zh": {REASON: said}}})
    with spoken("zh"):
        text = rendered("markdown", made.model_copy(update={"scenario": own}), tmp_path)
    assert f"两侧模型有意不同：{said}" in text
    assert REASON.removesuffix(".") not in text


def test_the_last_sentence_says_that_the_other_side_has_another_model(tmp_path: Path) -> None:
    made = of_two_models(tmp_path)
    assert "within limits against cpu-fp32, another model on purpose" in conclusion([made], [])
    assert "another model" not in conclusion([sample_reports.within_limits(tmp_path / "plain")], [])
    assert made.comparisons[-1].outcome in {Status.WITHIN_LIMITS, Status.IDENTICAL}
