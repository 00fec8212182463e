"""What a scenario may ask of scores; everything else is refused with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness import scenario
from harness.errors import ScenarioError
from harness.jobs.calibrate import doubtful_limits

if TYPE_CHECKING:
    from tests.command_line import RunHarness, WriteScenario

SCORE = "shapes_prompt_score"
ARMS = [{"name": "candidate"}, {"name": "reference", "role": "reference"}]


def limit(**changes: Any) -> dict[str, Any]:
    return {"metric": SCORE, "scope": "reference", "at_most": 0.01, "reason": "Only for this test.", **changes}


def test_scores_and_a_limit_on_their_difference_are_taken(write_scenario: WriteScenario) -> None:
    asked = scenario.load(write_scenario(arms=ARMS, scores=[SCORE], limits=[limit()])).scenario
    assert (asked.scores, asked.parity_margin) == ([SCORE], 0.01)
    assert doubtful_limits(asked) == [], "a margin is a choice, nothing that calibration measures"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": ["shape_prompt_score"]}, r"scores\[0\]: no score is called .* Did you mean 'shapes_prompt_score'"),
        ({"scores": [SCORE, SCORE]}, "stands here again"),
        ({"scores": SCORE}, "scores: found"),
        ({"parity_margin": 0}, "parity_margin: found the number 0; allowed is a number above 0 and below 1"),
        ({"parity_margin": 1}, "parity_margin: found the number 1; allowed is a number above 0 and below 1"),
        ({"limits": [limit()]}, "for which the scenario does not ask"),
        ({"scores": [SCORE], "limits": [limit(scope="repeat")]}, "scope: repeat"),
        ({"scores": [SCORE], "limits": [limit(subject="latents")]}, "subject: latents"),
        ({"scores": [SCORE], "limits": [limit(at_most=None, at_least=0.9)]}, "allowed is at_most"),
        ({"scores": [SCORE], "limits": [limit(at_most=1)]}, "above 0 and below 1"),
    ],
)
def test_what_cannot_be_scored_or_judged_is_refused(
    changes: dict[str, Any], words: str, write_scenario: WriteScenario
) -> None:
    with pytest.raises(ScenarioError, match=words):
        scenario.load(write_scenario(arms=ARMS, **changes))


def test_scores_are_listed(run_harness: RunHarness) -> None:
    ended = run_harness("list", "scores")
    assert ended.code == 0, ended.err
    assert SCORE in ended.out
    assert "1 when every rule holds" in " ".join(ended.out.split())
