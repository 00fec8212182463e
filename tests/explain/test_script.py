"""``harness.trace`` in a script: a block that keeps what passes, and one that forces a candidate with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import harness
from harness.explain.verdict import explained
from harness.records import CaseKey
from harness.records.explanation import Explanation, InputKind, Trouble
from harness.records.investigation import TRACE_FILE
from harness.trace_files import read_records
from tests.command_line import run_command
from tests.explain.toy import WIDTH, Toy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


OPTIONS: dict[str, Any] = {"denoiser": "denoiser", "steps": [0, 1, 3]}


def said(
    folder: Path,
    change: Callable[[Toy], object],
    *,
    joints: tuple[str, ...] = (),
    passes: Any = ((0, 1),),
    seed: int = 0,
) -> Explanation:
    """What is said of a changed toy against a healthy one."""
    reference, candidate = folder / "reference.trace", folder / "candidate.trace"
    right, wrong = Toy(), Toy(passes)
    with harness.trace(right, to=reference, joints=joints, **OPTIONS):
        right.picture()
    change(wrong)
    with harness.trace(wrong, to=candidate, against=reference, joints=joints, denoiser="denoiser"):
        wrong.picture(seed)
    trace, forced = read_records(candidate)
    assert forced is not None
    return explained("script", None, trace, forced)


def replace(module: Any, forward: Any) -> None:
    module.forward = forward


def wrong_layer(toy: Toy) -> None:
    layer = toy.denoiser.first.linear
    replace(layer, lambda x: torch.nn.functional.linear(x, layer.weight * 1.001, layer.bias))


def other_gelu(toy: Toy) -> None:
    replace(toy.denoiser.second.act, lambda x: torch.nn.functional.gelu(x, approximate="tanh"))


def other_sum(toy: Toy) -> None:
    layer, order = toy.denoiser.first.linear, torch.randperm(WIDTH, generator=torch.Generator().manual_seed(3))
    replace(layer, lambda x: torch.nn.functional.linear(x[..., order], layer.weight[:, order], layer.bias))


def more_guidance(toy: Toy) -> None:
    toy.mix = lambda without, with_text: without + 3.01 * (with_text - without)  # type: ignore[method-assign]


def wrong_scheduler(toy: Toy) -> None:
    toy.scheduler.step = lambda model_output, sample: sample - 0.1001 * model_output  # type: ignore[method-assign]


def other_weight(toy: Toy) -> None:
    with torch.no_grad():
        toy.denoiser.first.linear.weight[0, 0] += 1e-3


@pytest.mark.parametrize(
    ("change", "trouble", "path"),
    [
        (lambda _: None, Trouble.FORCED_ALONE, None),
        (other_sum, Trouble.FORCED_ALONE, None),
        (wrong_layer, Trouble.PLACE, "denoiser.first.linear"),
        (other_gelu, Trouble.PLACE, "denoiser.second.act"),
        (more_guidance, Trouble.PLACE, "pipeline"),
        (wrong_scheduler, Trouble.PLACE, "scheduler.step"),
        (other_weight, Trouble.INPUTS, "denoiser.first.linear"),
    ],
)
def test_what_is_wrong_by_itself_is_named_and_nothing_else(
    tmp_path: Path, change: Callable[[Toy], object], trouble: Trouble, path: str | None
) -> None:
    explanation = said(tmp_path, change)
    assert explanation.trouble is trouble, explanation.culprits
    assert {culprit.path for culprit in explanation.culprits} == ({path} if path else set())


def test_a_function_between_modules_is_named_where_the_script_names_it(tmp_path: Path) -> None:
    explanation = said(tmp_path, more_guidance, joints=("mix",))
    assert {culprit.path for culprit in explanation.culprits} == {"mix"}


def test_a_cause_is_named_too(tmp_path: Path) -> None:
    explanation = said(tmp_path, other_gelu)
    assert {(cause.path, cause.hypothesis) for cause in explanation.causes} == {("denoiser.second.act", "gelu_tanh")}


def test_a_trace_of_the_inside_of_one_module_says_nothing_of_the_others(tmp_path: Path) -> None:
    key = CaseKey(case="toy", seed=0)
    Toy().investigator("reference").trace(key, tmp_path, ["first"], 1 << 30, "denoiser.first")
    toy = Toy()
    wrong_layer(toy)
    other_gelu(toy)
    with harness.trace(toy, against=tmp_path / TRACE_FILE, to=tmp_path / "candidate.trace", denoiser="denoiser"):
        toy.picture()
    trace, forced = read_records(tmp_path / "candidate.trace")
    assert forced is not None
    explanation = explained("script", None, trace, forced)
    assert {culprit.path for culprit in explanation.culprits} == {"denoiser.first.linear"}
    assert explanation.additional == []


@pytest.mark.parametrize("passes", [((0,), (1,)), ((1,), (0,))])
def test_predictions_in_two_passes_are_matched_with_one(tmp_path: Path, passes: Any) -> None:
    assert said(tmp_path, lambda _: None, passes=passes).trouble is Trouble.FORCED_ALONE
    assert said(tmp_path, wrong_layer, passes=passes).culprits[0].path == "denoiser.first.linear"


def test_other_noise_is_the_answer_where_the_script_begins_with_it(tmp_path: Path) -> None:
    explanation = said(tmp_path, lambda _: None, seed=1)
    assert explanation.trouble is Trouble.INPUTS
    (noise,) = (check for check in explanation.checks if check.kind is InputKind.NOISE)
    assert (noise.compared, noise.different_count) == (1, 1)


def test_a_block_that_keeps_changes_nothing_and_leaves_no_hook(tmp_path: Path) -> None:
    toy = Toy()
    alone = toy.picture()
    with harness.trace(toy, to=tmp_path / "reference.trace", **OPTIONS):
        traced = toy.picture()
    assert torch.equal(traced, alone)
    assert "step" not in vars(toy.scheduler)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in toy.denoiser.modules())


def block(pipe: Any, call: Callable[[], object] = lambda: None, **options: Any) -> None:
    """A whole block."""
    with harness.trace(pipe, **options):
        call()


def failing(_: Any) -> None:
    raise ZeroDivisionError


def test_a_block_that_fails_writes_nothing_and_its_error_goes_on(tmp_path: Path) -> None:
    toy = Toy()
    with pytest.raises(ZeroDivisionError):
        block(toy, lambda: failing(toy.picture()), to=tmp_path / "reference.trace", **OPTIONS)
    assert list(tmp_path.iterdir()) == []
    assert not any(module._forward_hooks for module in toy.denoiser.modules())


@pytest.mark.parametrize(
    ("pipe", "options", "message"),
    [
        (Toy(), {"to": None}, "found neither to nor against"),
        (Toy(), {}, r"no module of Toy was called inside the block \(denoiser\)"),
        (object(), {}, r"object has no torch\.nn\.Module among its attributes"),
        (Toy(), {"joints": ["mixed"]}, "no function of Toy is called 'mixed'. Did you mean 'mix'"),
        (Toy(), {"denoiser": "denoise"}, "no module of Toy is called 'denoise'. Did you mean 'denoiser'"),
        (Toy(), {"against": "none.trace"}, "there is no such trace file"),
    ],
)
def test_what_cannot_be_traced_is_refused_and_says_what_to_do(
    tmp_path: Path, pipe: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        block(pipe, **{"to": tmp_path / "reference.trace", **options})
    assert list(tmp_path.iterdir()) == []


def test_more_than_is_allowed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    toy = Toy()
    with pytest.raises(harness.HarnessError, match="the trace is larger than"):
        block(toy, toy.picture, to=tmp_path / "reference.trace", denoiser="denoiser", max_gib=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_of_another_type_or_model_is_refused(tmp_path: Path) -> None:
    options: Any = {"against": tmp_path / "reference.trace", "to": tmp_path / "c.trace", "denoiser": "denoiser"}
    right, half, other = Toy(), Toy(), Toy()
    block(right, right.picture, to=options["against"], **OPTIONS)
    half.denoiser.bfloat16()
    with pytest.raises(harness.HarnessError, match="the model is bfloat16, the trace is of float32"):
        block(half, **options)
    other.denoiser = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(9)))  # type: ignore[assignment]
    with pytest.raises(harness.HarnessError, match="the trace is of another model"):
        block(other, **options)


def test_the_command_makes_a_page_of_a_candidates_trace_and_refuses_a_references(tmp_path: Path) -> None:
    said(tmp_path, other_gelu)
    ended = run_command(tmp_path, "explain", "candidate.trace", "--lang", "zh")
    assert ended.code == 1, ended.err
    assert "DRIFT: denoiser.second.act is the first that is wrong by itself" in ended.out
    assert "cause: denoiser.second.act: GELU is computed by" in ended.out
    (page,) = tmp_path.glob("runs/*/index.html")
    text = page.read_text(encoding="utf-8")
    assert "自身出错" in text
    assert "个只是受影响的模块" not in text, "nothing was seen running free"
    refused = run_command(tmp_path, "explain", "reference.trace")
    assert refused.code == 2
    assert "which says nothing of a candidate" in refused.err
    named = run_command(tmp_path, "explain", "candidate.trace", "--arm", "npu")
    assert named.code == 2
    assert "which has no arms" in named.err


def test_the_record_of_a_script_has_no_case(tmp_path: Path) -> None:
    said(tmp_path, lambda _: None)
    ended = run_command(tmp_path, "explain", "candidate.trace", "--json")
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)
    assert (record["trouble"], record["key"], record["scenario"]) == ("forced_alone", None, "candidate")
