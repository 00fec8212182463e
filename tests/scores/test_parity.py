"""Scores of stored runs, and what they say of two arms: pictures of the small world, taken by the adapter images."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from harness.images import write_picture
from harness.records import ArmScores, Comparison, EquivalenceVerdict, from_json
from harness.scores.shapes_prompt_score.drawing import draw_scene
from tests.command_line import Ended, environment, job_folder, patience_seconds
from training.world import draw_example

if TYPE_CHECKING:
    from pathlib import Path

    from harness.scores.shapes_prompt_score.world import Scene

SCORE = "shapes_prompt_score"
KINDS = ("single", "two", "count", "background", "reasoning")
CASES = 40
MARGIN = 0.07
"""Forty pairs that agree leave 6.3 points open."""
LIMIT = {"metric": SCORE, "scope": "reference", "at_most": MARGIN, "reason": "For this test only."}


@dataclass(frozen=True)
class Workplace:
    """A folder with a scenario, and the command line in it."""

    folder: Path

    def harness(self, *words: str | Path, cwd: str = ".") -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            cwd=self.folder / cwd,
            env=environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=patience_seconds(),
            check=False,
        )
        return Ended(code=done.returncode, out=" ".join(done.stdout.split()), err=done.stderr)

    def scenario(self, name: str, **changes: Any) -> Path:
        values = {
            "name": name,
            "summary": "Pictures of the small world, drawn by rules.",
            "task": "text_to_image",
            "model": {"adapter": "images", "source": "pictures", "pictures": "{arm}/{case}/{seed}.png"},
            "seeds": [1],
            "width": 128,
            "height": 128,
            "steps": 1,
            "repeats": {"in_process": 1, "processes": 1},
            "scores": [SCORE],
            **changes,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    def put(self, arm: str, case: str, scene: Scene) -> None:
        path = self.folder / "pictures" / arm / case / "1.png"
        path.parent.mkdir(parents=True)
        write_picture(path, draw_scene(scene))

    def comparison(self, arm: str) -> Comparison:
        path = job_folder(self.folder / "runs") / f"comparison-reference-{arm}-against-reference.json"
        return from_json(Comparison, path.read_text(encoding="utf-8"), place=path)

    def scores(self, arm: str) -> ArmScores:
        path = job_folder(self.folder / "runs") / f"scores-{arm}.json"
        return from_json(ArmScores, path.read_text(encoding="utf-8"), place=path)


def miscoloured(scene: Scene) -> Scene:
    first, *others = scene.things
    colour = next(name for name in ("green", "blue", "red") if name not in {first.colour, scene.ground})
    return replace(scene, things=(replace(first, colour=colour), *others))


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Ended]:
    """A checked scenario: ``same`` has the reference's pictures, ``planted`` draws 5 % in a wrong colour."""
    place, rng, cases = Workplace(tmp_path_factory.mktemp("parity")), Random("parity"), []
    for number in range(CASES):
        example, case = draw_example(KINDS[number % len(KINDS)], rng), f"c{number}"
        cases.append({"id": case, "prompt": example.prompt})
        wrong = miscoloured(example.scene) if number < CASES // 20 else example.scene
        for arm, scene in (("same", example.scene), ("planted", wrong), ("reference", example.scene)):
            place.put(arm, case, scene)
    arms = [{"name": "same"}, {"name": "planted"}, {"name": "reference", "role": "reference"}]
    path = place.scenario("parity", cases=cases, arms=arms, parity_margin=MARGIN, limits=[LIMIT])
    return place, place.harness("check", path)


def test_equal_arms_are_equivalent_within_an_honest_interval(checked: tuple[Workplace, Ended]) -> None:
    place, ended = checked
    compared = place.comparison("same")
    (parity,) = compared.parities
    assert (parity.pairs, parity.difference, parity.standing) == (CASES, 0, EquivalenceVerdict.EQUIVALENT)
    assert (parity.low, parity.high) == pytest.approx((-0.0634, 0.0634), abs=1e-4), "no differing pair, and yet a width"
    assert parity.message == (
        "shapes_prompt_score of same 100.0 %, of reference 100.0 %: equivalent within 7 points (90 % interval -6.34 to "
        "+6.34, 40 pairs; noise unverified)"
    )
    assert [each.status.value for each in compared.verdicts] == ["within_limits"]
    assert parity.message in ended.out


def test_an_arm_that_draws_wrong_colours_breaks_the_limit(checked: tuple[Workplace, Ended]) -> None:
    place, ended = checked
    assert ended.code == 1, ended.err
    compared = place.comparison("planted")
    (parity,) = compared.parities
    assert (parity.only_actual, parity.only_expected) == (0, 2)
    assert parity.difference == pytest.approx(-0.05)
    assert parity.standing is EquivalenceVerdict.NOT_SHOWN
    assert parity.low is not None
    assert parity.low < -0.1
    assert compared.outcome.value == "drift"
    assert "equivalence within 7 points not shown (90 % interval -1" in compared.message


def test_each_arm_has_its_scores_with_the_rule_that_fell(checked: tuple[Workplace, Ended]) -> None:
    place, ended = checked
    scores = place.scores("planted")
    (total,) = scores.totals
    assert (total.pictures, total.mean) == (CASES, 0.95)
    assert (total.low, total.high) == pytest.approx((0.835, 0.986), abs=1e-3)
    assert total.parts["colours"] == 0.95
    assert total.parts["count"] == 1
    wrong = [each for each in scores.scores if each.value == 0]
    assert [each.key.case for each in wrong] == ["c0", "c1"]
    assert all(each.words.startswith("breaks colours, objects: asked ") for each in wrong)
    assert "parity/planted: shapes_prompt_score 95.0 % (95 % interval 83.5 to 98.6, 40 pictures)" in ended.out


def test_the_report_has_totals_statements_and_what_is_wrong(checked: tuple[Workplace, Ended]) -> None:
    place, _ = checked
    page = (job_folder(place.folder / "runs") / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Scores" in page
    assert "equivalent within 7 points" in page
    assert "breaks colours, objects" in page
    assert "farther end of the 90 % interval" in page
    assert "beyond what shapes_prompt_score reads in them" in page
    assert "never judged" not in page
    junit = (job_folder(place.folder / "runs") / "report" / "junit.xml").read_text(encoding="utf-8")
    assert 'name="parity.image.shapes_prompt_score"' in junit


def test_too_few_pairs_show_nothing_and_it_is_said_how_many_would(checked: tuple[Workplace, Ended]) -> None:
    place, _ = checked
    stricter = place.folder / "stricter"
    stricter.mkdir()
    asked = json.loads((place.folder / "parity.yaml").read_text())
    asked["model"]["source"] = "../pictures"
    (stricter / "parity.yaml").write_text(json.dumps({**asked, "limits": [{**LIMIT, "at_most": 0.01}]}))
    job = job_folder(place.folder / "runs")
    ended = place.harness(
        "gate", job / "comparison-reference-same-against-reference.json", "--scenario", stricter / "parity.yaml"
    )
    assert ended.code == 1, ended.out + ended.err
    assert (
        "equivalence within 1 point not shown (90 % interval -6.34 to +6.34, 40 pairs; about 482 pairs are" in ended.out
    )


def test_runs_are_compared_again_with_the_scores_that_were_kept(
    checked: tuple[Workplace, Ended], tmp_path: Path
) -> None:
    place, _ = checked
    job = job_folder(place.folder / "runs")
    place.harness("compare", job / "planted", job / "reference", "--out", tmp_path / "again.json")
    again = from_json(Comparison, (tmp_path / "again.json").read_text(encoding="utf-8"), place=tmp_path)
    assert again.parities == place.comparison("planted").parities


def test_scores_of_edits_hold_the_input_picture_against_the_prompt(tmp_path: Path) -> None:
    place, rng = Workplace(tmp_path), Random("edits")
    cases: list[dict[str, Any]] = []
    for number, kind in enumerate(("recolour", "remove", "edit background")):
        example, case = draw_example(kind, rng), f"c{number}"
        assert example.source is not None
        write_picture(tmp_path / f"{case}.png", draw_scene(example.source))
        cases.append({"id": case, "prompt": example.prompt, "input_image": f"{case}.png"})
        place.put("candidate", case, example.source if kind == "remove" else example.scene)
    same = {"same_image": "It is the last picture again, under a prompt that no score knows."}
    cases.append({"id": "outside", "prompt": "make it look like winter", "input_image": "c0.png", "expect": same})
    place.put("candidate", "outside", example.scene)
    path = place.scenario("edits", task="image_editing", cases=cases)
    ended = place.harness("run", path)
    assert ended.code == 0, ended.err
    scores = place.scores("candidate")
    assert {each.key.case: each.value for each in scores.scores} == {"c0": 1, "c1": 0, "c2": 1, "outside": None}
    assert "is no edit of the small world" in scores.scores[-1].problem
    assert (scores.totals[0].pictures, scores.totals[0].without_value) == (3, 1)
    assert scores.totals[0].words.endswith("3 pictures, 1 without a value)")
