"""Laws that every backend keeps, whoever wrote it: a new file in ``harness/backends`` is under them without an edit.

Devices are opened in fresh interpreters with the environment that the backend asks for, as workers do. What needs a
device that is not there is skipped, and says so; what holds without one is checked everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import plugins
from harness.records import SwitchMode
from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest.importorskip("torch")

BACKENDS = plugins.names("backends")
WITNESS = Path(__file__).with_name("backend_witness.py")
DETERMINISTIC, AS_SHIPPED = SwitchMode.DETERMINISTIC, SwitchMode.AS_SHIPPED
NEEDED_TO_START = {"TORCH_DEVICE_BACKEND_AUTOLOAD", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""Variables without which torch cannot be imported on some hosts, or spins on busy ones; they bear on no number."""
GENERATORS = ["torch", "torch on the device", "numpy", "python"]
AN_INDEX_THAT_IS_NOWHERE = 4096

every_backend = pytest.mark.parametrize("name", BACKENDS)
every_mode = pytest.mark.parametrize("mode", SwitchMode)
slow = pytest.mark.slow


def witness(*words: str, **variables: str) -> dict[str, Any]:
    """Answer of a fresh interpreter that has the variables of this one and those given."""
    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", **variables}
    done = subprocess.run(
        [sys.executable, str(WITNESS), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # torch_npu prints to the standard output when it is imported.
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@cache
def probed() -> dict[str, Any]:
    """What every backend says about this machine."""
    return witness("probe", *BACKENDS)


@cache
def opened(name: str, mode: SwitchMode) -> dict[str, Any]:
    """What the first device of a backend does; skips where there is none."""
    if not probed()[name]["available"]:
        pytest.skip(f"{name}: {probed()[name]['reason']}")
    return witness("open", name, mode, "0", **plugins.load("backends", name).start_environment(mode))


# --- without a device ------------------------------------------------------------------------------------------------


def test_ranks_put_every_backend_into_one_order() -> None:
    ranks = [plugins.load("backends", name).AUTO_RANK for name in BACKENDS]
    assert len(set(ranks)) == len(ranks)


@slow
@every_backend
def test_a_probe_gives_a_reason_and_counts_devices_only_where_there_are_some(name: str) -> None:
    found = probed()[name]
    assert found["reason"].strip()
    assert "\n" not in found["reason"]
    assert str(Path.home()) not in found["reason"]
    assert (found["device_count"] > 0) is found["available"]


@slow
@pytest.mark.parametrize("error", ["OSError", "ImportError", "RuntimeError", "ValueError", "AttributeError"])
def test_a_probe_does_not_raise_whatever_a_broken_library_raises(error: str, tmp_path: Path) -> None:
    for library in ("torch", "torch_npu"):
        plant_broken_library(tmp_path, library, error)
    answers = witness("probe", *BACKENDS, PYTHONPATH=str(tmp_path))
    assert [name for name in ("cuda", "npu") if answers[name]["available"]] == []
    for name in ("cuda", "npu"):
        assert f"cannot be used ({error}: planted: no driver)" in answers[name]["reason"]


def plant_broken_library(folder: Path, library: str, error: str) -> None:
    """A package that is installed by its metadata and fails when it is imported."""
    metadata = folder / f"{library}-99.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 99\n", encoding="utf-8")
    (folder / f"{library}.py").write_text(f"raise {error}('planted: no driver')\n", encoding="utf-8")


@every_backend
@every_mode
def test_the_environment_to_start_with_is_text_for_text(name: str, mode: SwitchMode) -> None:
    environment = plugins.load("backends", name).start_environment(mode)
    assert all(isinstance(text, str) for pair in environment.items() for text in pair)


@every_backend
def test_as_shipped_sets_nothing_that_bears_on_determinism(name: str) -> None:
    assert set(plugins.load("backends", name).start_environment(AS_SHIPPED)) <= NEEDED_TO_START


@every_backend
def test_deterministic_sets_something_before_the_start(name: str) -> None:
    assert set(plugins.load("backends", name).start_environment(DETERMINISTIC)) - NEEDED_TO_START


@slow
@every_backend
def test_an_index_that_is_not_there_is_refused_with_the_reason(name: str) -> None:
    message = witness("open", name, AS_SHIPPED, str(AN_INDEX_THAT_IS_NOWHERE))["unavailable"]
    assert f"{name}:{AN_INDEX_THAT_IS_NOWHERE}" in message
    if not probed()[name]["available"]:
        assert probed()[name]["reason"] in message


@slow
@every_backend
def test_a_device_that_is_not_there_is_refused_with_the_reason(name: str) -> None:
    found = probed()[name]
    if found["available"]:
        pytest.skip(f"{name} is there: {found['reason']}")
    assert found["reason"] in witness("open", name, DETERMINISTIC, "0")["unavailable"]


# --- with a device ---------------------------------------------------------------------------------------------------


@slow
@every_backend
@every_mode
def test_a_device_says_what_it_is(name: str, mode: SwitchMode) -> None:
    device = opened(name, mode)
    assert device["torch_device"].startswith(name)
    assert device["name"].strip()
    assert isinstance(device["simulated"], bool)


@slow
@every_backend
@every_mode
def test_facts_are_text_and_name_no_home_folder(name: str, mode: SwitchMode) -> None:
    facts = opened(name, mode)["facts"]
    assert all(isinstance(text, str) and text for text in facts.values())
    assert str(Path.home()) not in json.dumps(facts)


def refused(device: Mapping[str, Any]) -> list[str]:
    """Switches that were asked for and are not in force."""
    asked = [switch for switch in device["switches"] if switch["requested"] is not None]
    return [switch["name"] for switch in asked if switch["effective"] != switch["requested"]]


@slow
@every_backend
def test_every_switch_that_is_asked_for_is_in_force(name: str) -> None:
    device = opened(name, DETERMINISTIC)
    assert refused(device) == []
    asked = {switch["name"] for switch in device["switches"] if switch["requested"] is not None}
    assert set(plugins.load("backends", name).start_environment(DETERMINISTIC)) <= asked
    assert "torch.are_deterministic_algorithms_enabled" in asked


@slow
@every_backend
def test_as_shipped_asks_for_nothing(name: str) -> None:
    asked = [switch for switch in opened(name, AS_SHIPPED)["switches"] if switch["requested"] is not None]
    assert {switch["name"] for switch in asked} <= NEEDED_TO_START
    shipped = {switch["name"]: switch["effective"] for switch in opened(name, AS_SHIPPED)["switches"]}
    assert shipped["torch.are_deterministic_algorithms_enabled"] == "False"


@slow
@every_backend
def test_a_switch_that_was_not_set_before_the_start_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(name, DETERMINISTIC)  # skips where there is no device
    wanted = set(plugins.load("backends", name).start_environment(DETERMINISTIC)) - NEEDED_TO_START
    for variable in wanted:
        monkeypatch.delenv(variable, raising=False)
    assert set(refused(witness("open", name, DETERMINISTIC, "0"))) >= wanted


@slow
@every_backend
@every_mode
@pytest.mark.parametrize("generator", GENERATORS)
def test_a_seed_makes_every_generator_repeat(generator: str, name: str, mode: SwitchMode) -> None:
    seen = opened(name, mode)["generators"][generator]
    assert seen["values"] == seen["values again"]
    assert seen["values"] != seen["values of another seed"]


@slow
@every_backend
@every_mode
@pytest.mark.parametrize("generator", GENERATORS)
def test_the_state_changes_with_a_draw_and_comes_back_with_the_seed(
    generator: str, name: str, mode: SwitchMode
) -> None:
    states = opened(name, mode)["generators"][generator]["states"]
    assert states["seeded"] == states["seeded again"] != states["drawn"]


@slow
@every_backend
def test_two_interpreters_draw_and_digest_the_same_after_the_same_seed(name: str) -> None:
    if not probed()[name]["available"]:
        pytest.skip(f"{name}: {probed()[name]['reason']}")
    start = plugins.load("backends", name).start_environment(AS_SHIPPED)
    again = witness("open", name, AS_SHIPPED, "0", **start)
    assert again["generators"] == opened(name, AS_SHIPPED)["generators"]


@slow
@every_backend
@every_mode
def test_memory_has_the_exact_bytes_of_each_module_and_a_line_for_the_device(name: str, mode: SwitchMode) -> None:
    device = opened(name, mode)
    memory = device["memory"]
    expected = {"shared": 20 * 4, "half": 42 * 2, "buffers": 28 * 4 + 8, "empty": 0}
    assert {part: memory[part]["allocated_bytes"] for part in expected} == expected
    assert memory["shared"]["device"] == device["torch_device"]
    assert memory["empty"]["device"] is None
    assert memory["device"]["peak_bytes"] >= memory["device"]["allocated_bytes"] > 0


@slow
@every_backend
def test_a_reset_peak_covers_only_what_follows(name: str) -> None:
    peaks = opened(name, AS_SHIPPED)["peaks"]
    assert peaks["before"] - peaks["after"] > 200 * 2**20, "a tensor of 256 MiB was there, and is gone"
