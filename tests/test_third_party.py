"""A package of somebody else adds an adapter with options, a metric, a format and a language."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import plugins
from harness.errors import ScenarioError
from harness.jobs.report import require_formats
from harness.language import languages, name_of, say, spoken
from harness.records import Arm, Case, ModelRef, Record, Scenario
from harness.records.base import Later, LaterRecord
from harness.scenario import load
from tests.command_line import job_folder
from translations.extract import catalogues

if TYPE_CHECKING:
    from tests.command_line import RunHarness

HERE = Path(__file__).parent
KIT = HERE / "third_party"
SCENARIO = """\
name: painted
summary: Noise in one tone of a palette.
task: text_to_image
model:
  adapter: palette
  source: builtin:tiny-deepgen-random
  trust_remote_code: true
  options: {options}
cases:
  - id: blue
    prompt: a blue circle
seeds: [7]
width: 64
height: 64
steps: 2
switches: as_shipped
repeats: {{in_process: 2, processes: 1}}
formats: [lines]
limits:
  - metric: share_equal
    scope: repeat
    at_least: 1
    reason: The same noise has the same tones.
"""


@pytest.fixture(autouse=True)
def kit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, installed."""
    monkeypatch.syspath_prepend(str(KIT))


def write(folder: Path, options: str = "{tone: blue, levels: 16}") -> Path:
    path = folder / "painted.yaml"
    path.write_text(SCENARIO.format(options=options), encoding="utf-8")
    return path


def test_all_four_are_found() -> None:
    assert "palette" in plugins.names("adapters")
    assert "share_equal" in plugins.names("metrics")
    assert "lines" in plugins.names("render")
    assert "tlh" in languages()
    assert name_of("tlh") == "tlhIngan Hol"
    with spoken("tlh"):
        assert (say("none"), say("not measured")) == ("pagh", "not measured")


@pytest.mark.slow
def test_a_check_uses_all_four(tmp_path: Path, run_harness: RunHarness) -> None:
    path = write(tmp_path)
    kit = os.pathsep.join([str(KIT), os.environ.get("PYTHONPATH", "")])
    ended = run_harness("check", path, "--device", "cpu", "--format", "markdown", "--lang", "tlh", PYTHONPATH=kit)
    assert ended.code == 0, ended.err
    job = job_folder(tmp_path / "runs")
    assert (job / "report" / "lines.txt").read_text(encoding="utf-8") == "pagh candidate repeat identical\n"
    run = json.loads((job / "candidate" / "run.json").read_text(encoding="utf-8"))
    assert run["loaded"]["notes"] == ["palette: blue, 16 levels"]
    assert run["plan"]["model"]["options"] == {"tone": "blue", "levels": 16}
    comparison = json.loads((job / "comparison-repeat-candidate.json").read_text(encoding="utf-8"))
    values = {found["metric"]: found["value"] for pair in comparison["pairs"] for found in pair["measurements"]}
    assert values["share_equal"] == 1
    assert "levels" in (job / "report" / "report.md").read_text(encoding="utf-8")


REFUSED = {
    "another tone": ("{tone: mauve}", "8:19", "one of red, green, blue"),
    "a tone nearly right": ("{tone: bleu}", "8:19", "Did you mean 'blue'?"),
    "too many levels": ("{levels: 999}", "8:21", "a whole number from 2 to 255"),
    "a number as a text": ("{levels: '16'}", "8:21", "Write it without quotes"),
    "an unknown key": ("{level: 16}", "8:13", "Did you mean 'levels'?"),
    "what its own rule refuses": ("{levels: 3, softer: true}", "8:12", "softer needs at least 4 levels"),
    "no mapping": ("[red]", "8:12", "a mapping with the keys tone, levels, softer"),
}


@pytest.mark.parametrize(("options", "place", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_option_that_is_refused_is_named_with_its_place(
    options: str, place: str, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path, options)
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert f"painted.yaml:{place}: " in str(caught.value)
    assert "model.options" in str(caught.value)
    assert words in str(caught.value)


def test_the_catalogue_of_a_package_is_not_ours_to_write() -> None:
    assert "tlh" in languages()
    assert catalogues().keys() == {"zh"}


def test_options_that_fit_are_accepted(tmp_path: Path) -> None:
    assert load(write(tmp_path, "{levels: 8, softer: true}")).scenario.model.options == {"levels": 8, "softer": True}
    assert load(write(tmp_path, "{}")).scenario.model.options == {}


def test_options_for_an_adapter_that_takes_none_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(
        path.read_text(encoding="utf-8").replace("adapter: palette", "adapter: diffusers"), encoding="utf-8"
    )
    with pytest.raises(ScenarioError, match=r"model\.options: found with the adapter diffusers, which takes none"):
        load(path)


def test_a_format_under_both_of_its_names_is_written_once() -> None:
    assert list(require_formats(["md", "html", "markdown", "lines"])) == ["markdown", "html", "lines"]


def test_a_format_that_nobody_writes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("[lines]", "[linse]"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"formats\[0\]: no report format is called 'linse'. Did you mean 'lines'"):
        load(path)


# --- digests ---------------------------------------------------------------------------------------------------------

FOUNDING = json.loads((HERE / "golden" / "version_1" / "founding_fields.json").read_text(encoding="utf-8"))


def families() -> dict[str, type[Record]]:
    """Every kind of record that a scenario consists of."""
    kinds: dict[str, type[Record]] = {}
    queue: list[Any] = [Scenario]
    while queue:
        kind = queue.pop()
        if isinstance(kind, type) and issubclass(kind, Record) and kind.__name__ not in kinds:
            kinds[kind.__name__] = kind
            queue += [field.annotation for field in kind.model_fields.values()]
        else:
            queue += list(getattr(kind, "__args__", ()))
    return kinds


def test_a_field_that_scenarios_did_not_have_at_first_is_marked_as_later() -> None:
    """Otherwise every scenario would have another digest, and every baseline would be that of an edited one."""
    unmarked = [
        f"{name}.{key}"
        for name, kind in families().items()
        for key, field in kind.model_fields.items()
        if key not in FOUNDING.get(name, []) and Later not in field.metadata and not issubclass(kind, LaterRecord)
    ]
    assert unmarked == ["Scenario.translations"], "which no digest holds"
    marked = [
        key for kind in families().values() for key, field in kind.model_fields.items() if Later in field.metadata
    ]
    assert set(marked) >= {"threads", "against", "expect", "differs_in", "options", "formats"}


def minimal(**changes: Any) -> Scenario:
    values: dict[str, Any] = {
        "name": "small",
        "summary": "As small as it can be.",
        "task": "text_to_image",
        "model": ModelRef(source="builtin:tiny-deepgen-random"),
        "cases": [Case(id="sky", prompt="a blue sky")],
        "seeds": [1],
        "arms": [Arm(name="candidate")],
    }
    return Scenario.model_validate(values | changes)


def test_only_a_later_field_that_is_set_makes_another_scenario() -> None:
    plain = minimal()
    assert plain.digest == minimal(formats=["lines"]).digest, "a format changes no image"
    assert plain.digest == minimal(threads=None, arms=[Arm(name="candidate", threads=None)]).digest
    others = [
        minimal(threads=2),
        minimal(arms=[Arm(name="candidate", threads=2)]),
        minimal(model=ModelRef(source="builtin:tiny-deepgen-random", options={"tone": "red"})),
        minimal(cases=[Case(id="sky", prompt="a blue sky", expect={"flat": "The sky has one colour."})]),
    ]
    assert len({plain.digest, *(other.digest for other in others)}) == len(others) + 1
