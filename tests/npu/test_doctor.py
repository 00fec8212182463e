"""``harness doctor`` where two simulated Ascend cards are: usable, and never taken for real ones."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tests.command_line import ROOT

if TYPE_CHECKING:
    from tests.command_line import RunHarness


def test_two_simulated_cards_can_be_used_and_are_called_simulated(run_harness: RunHarness) -> None:
    # Only the simulation's folders beside our own: planted backends would be listed as well.
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = run_harness("doctor", "--json", PYTHONPATH=path)
    assert ended.code == 0, ended.out
    diagnosis = json.loads(ended.out)
    assert diagnosis["summary"].startswith("Usable here: npu, cpu; 1 warning (1 can change numbers)")
    worst = diagnosis["findings"][0]
    assert worst["name"] == "SIMULATED"
    assert worst["observed"].startswith("2 SIMULATED npu device(s): Ascend")
    assert "take no result for evidence" in worst["next_step"]
    found = {each["name"]: each for each in diagnosis["findings"]}
    assert found["device"]["observed"].startswith("npu can be used, 2 devices: ")
    assert found["torch"]["severity"] == found["memory"]["severity"] == "ok"

    assert run_harness("doctor", "--strict", PYTHONPATH=path).code == 1, "what is simulated changes numbers"
