"""The card of a release: its figures are from records alone, and one that was changed is refused."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import store
from harness.errors import UsageError
from harness.jobs.card import FOLDER, _scripts, require_claims
from harness.jobs.release import ReleaseRequest, release, verify_release
from harness.records import MANIFEST_FILE, CommandRef, NoiseMode, Release, Role, Scope
from harness.render.markdown import CARD_BYTES, render_card
from harness.store import releases
from tests.command_line import environment, patience_seconds
from tests.release_jobs import stored
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.records import Comparison, Verdict
    from tests.command_line import MadeOnce, WriteScenario

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "reports" / "example"
CARDS = ("README.md", "README.zh.md")


def asked(place: Path, *, card: bool = True) -> ReleaseRequest:
    return ReleaseRequest(
        name="r1",
        languages=["en", "zh"],
        runs_folder=place / "runs",
        scenarios_folder=place / "scenarios",
        card=card,
    )


def write_release(place: Path) -> None:
    """A release with a card, of one job of a CPU and one of a card, both with references."""
    stored(place, "passes", sample_reports.within_limits)
    stored(place, "drifts", sample_reports.drift)
    release(asked(place), place / "reports")


@pytest.fixture
def made(tmp_path: Path, made_once: MadeOnce) -> Path:
    """Folder of the release, to be changed."""
    shutil.copytree(made_once("a release with a card", write_release), tmp_path / "made")
    return tmp_path / "made" / "reports" / "r1"


def sealed(folder: Path) -> None:
    """Write both manifests anew over what the files hold now."""
    records = store.load(Release, folder / "report.json")
    for part in (folder / FOLDER, folder):
        names = [path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file()]
        releases.seal(part, records, [name for name in names if name != MANIFEST_FILE])


# --- what it holds ---------------------------------------------------------------------------------------------------


def test_a_card_has_what_is_handed_in_and_is_whole(made: Path) -> None:
    names = {path.relative_to(made / FOLDER).as_posix() for path in (made / FOLDER).rglob("*") if path.is_file()}
    assert names >= {
        *CARDS,
        *("inference.py", "eval/eval_accuracy.py", "eval/eval_performance.py", "eval/scenarios/passes.yaml"),
        *("logs/accuracy_eval.log", "results/accuracy_eval.json", MANIFEST_FILE),
    }
    assert len([name for name in names if name.startswith("assets/")]) == 2
    assert verify_release(made) == []


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("folder", ["made", "the example"])
def test_a_card_is_short_and_has_no_empty_cell(name: str, folder: str, made: Path) -> None:
    card = (made if folder == "made" else EXAMPLE) / FOLDER / name
    assert card.stat().st_size <= CARD_BYTES
    rows = [line for line in card.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert len(rows) > 40
    assert [row for row in rows if not all(cell.strip() for cell in row.strip("|").replace("\\|", "").split("|"))] == []


def on_simulated_cards(records: Release) -> Release:
    """The release as if a stand-in library had played every device."""
    return Release.model_validate_json(records.model_dump_json().replace('"simulated":false', '"simulated":true'))


def test_a_card_gives_the_platforms_words_only_to_what_really_ran(made: Path) -> None:
    text = (made / FOLDER / "README.md").read_text(encoding="utf-8")
    front = text.split("---\n")[1].splitlines()
    assert front[:5] == ["hardware: NPU", "tags:", "- NPU", "- Ascend", "- ascend-npu"]
    assert "\n#+NPU\n" in text
    played = render_card(on_simulated_cards(store.load(Release, made / "report.json")))
    assert played.split("---\n")[1].startswith("hardware: CPU\n")
    assert not {"#+NPU", "- NPU", "- Ascend"} & set(played.splitlines())
    example = (EXAMPLE / FOLDER / "README.md").read_text(encoding="utf-8")
    assert example.split("---\n")[1].startswith("hardware: CPU\n"), "its cards are simulated"
    assert "#+NPU" not in example


def test_the_figures_of_a_card_are_those_of_the_records(made: Path) -> None:
    text = (made / FOLDER / "README.md").read_text(encoding="utf-8")
    records = store.load(Release, made / "report.json")
    values = [
        measured.value
        for job in records.jobs
        for comparison in job.report.comparisons
        for pair in comparison.pairs
        if comparison.scope is Scope.REFERENCE and (measured := pair.measurement("psnr_db", "image"))
    ]
    assert f"{min(value for value in values if value is not None):.4g} dB" in text
    results = json.loads((made / FOLDER / "results" / "accuracy_eval.json").read_text(encoding="utf-8"))
    assert [run["image_seconds"] for run in results["runs"]] == [
        [sample.seconds["total"] for sample in run.samples] for job in records.jobs for run in job.report.runs
    ]
    assert results["jobs"] == [job.job for job in records.jobs]


def test_the_card_of_the_example_shows_a_reading_that_other_noise_passes() -> None:
    text = (EXAMPLE / FOLDER / "README.md").read_text(encoding="utf-8")
    assert "another seed's noise would pass too" in text
    assert "| 8-bit image | float output | final latents |" in text


def test_a_release_without_a_card_takes_an_older_one_away(tmp_path: Path, made: Path) -> None:
    release(asked(tmp_path / "made", card=False), tmp_path / "made" / "reports")
    assert verify_release(made) == []
    assert not (made / FOLDER).exists()


# --- what is refused -------------------------------------------------------------------------------------------------


def other_number(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8", newline="")


def another_picture(card: Path) -> None:
    pictures = sorted((card / "assets").iterdir())
    shutil.copyfile(pictures[1], pictures[0])


CHANGES: dict[str, Callable[[Path], None]] = {
    "README.md": lambda card: other_number(card / "README.md", " dB", "9 dB"),
    "README.zh.md": lambda card: other_number(card / "README.zh.md", " dB", "9 dB"),
    "results/accuracy_eval.json": lambda card: other_number(
        card / "results" / "accuracy_eval.json", '"worst": 0', '"worst": 1'
    ),
    "logs/accuracy_eval.log": lambda card: other_number(
        card / "logs" / "accuracy_eval.log", "0 failures", "1 failures"
    ),
    "assets/": another_picture,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_card_in_which_one_number_was_changed_is_refused(name: str, made: Path) -> None:
    CHANGES[name](made / FOLDER)
    hashed = verify_release(made)
    assert any(text.startswith(f"{FOLDER}/{name}") and " is changed: SHA-256 " in text for text in hashed)
    sealed(made)
    problems = verify_release(made)
    assert [text for text in problems if " is changed: " in text] == [], "the manifests hide it"
    assert [text.startswith(f"card/{name}") for text in problems] == [True]


def test_a_card_whose_record_was_changed_is_refused(made: Path) -> None:
    path = made / "report.json"
    records = store.load(Release, path)
    old = max(sample.seconds["total"] for job in records.jobs for run in job.report.runs for sample in run.samples)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'"total": {old}', '"total": 0.5').replace(f'"total":{old}', '"total":0.5'), "utf-8")
    assert path.read_text(encoding="utf-8") != text
    sealed(made)
    assert {text.split()[0] for text in verify_release(made)} == {
        *(f"card/{name}" for name in CARDS),
        "card/results/accuracy_eval.json",
    }


def test_a_card_is_verified_without_torch_on_another_machine(made: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'diffusers', 'transformers'): sys.modules[name] = None\n"
        "from harness.cli import main\n"
        f"sys.exit(main(['release', 'r1', '--verify', '--out', {str(made.parent)!r}]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=made,
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert (ended.returncode, "every file is as its manifest says" in ended.stdout) == (0, True), ended.stderr


def without_candidate(records: Release) -> Release:
    return every_run(records, Role.REFERENCE)


def every_run(records: Release, role: Role) -> Release:
    text = records.model_dump_json().replace('"role":"candidate"', f'"role":"{role.value}"')
    return Release.model_validate_json(text)


def with_comparisons(records: Release, change: Callable[[Comparison], Iterator[Comparison]]) -> Release:
    jobs = [
        job.model_copy(
            update={
                "report": job.report.model_copy(
                    update={"comparisons": [new for old in job.report.comparisons for new in change(old)]}
                )
            }
        )
        for job in records.jobs
    ]
    return records.model_copy(update={"jobs": jobs})


def without_repeats(comparison: Comparison) -> Iterator[Comparison]:
    if comparison.scope is not Scope.REPEAT:
        yield comparison


def with_single_runs(comparison: Comparison) -> Iterator[Comparison]:
    single = [repetition.model_copy(update={"runs": 1}) for repetition in comparison.repetitions]
    yield comparison.model_copy(update={"repetitions": single})


def kinder(comparison: Comparison) -> Iterator[Comparison]:
    """The comparison with every verdict said to have passed."""
    pairs = [
        pair.model_copy(update={"verdicts": [passed(verdict) for verdict in pair.verdicts]})
        for pair in comparison.pairs
    ]
    yield comparison.model_copy(update={"pairs": pairs})


def passed(verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"measured": None})


def two_models(records: Release) -> Release:
    first, second = records.jobs
    model = second.report.scenario.model.model_copy(update={"source": "another/model"})
    scenario = second.report.scenario.model_copy(update={"model": model})
    report = second.report.model_copy(update={"scenario": scenario})
    return records.model_copy(update={"jobs": [first, second.model_copy(update={"report": report})]})


REFUSALS: dict[str, tuple[Callable[[Release], Release], str]] = {
    "no candidate": (without_candidate, "found no run of a candidate"),
    "no repeats": (lambda records: with_comparisons(records, without_repeats), "found no repeats"),
    "single runs": (lambda records: with_comparisons(records, with_single_runs), "found no repeats"),
    "two models": (two_models, "another/model"),
    "altered verdicts": (
        lambda records: with_comparisons(records, kinder),
        "verdicts are not what its measurements give",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_card_that_would_claim_what_nothing_shows_is_refused(name: str, made: Path) -> None:
    records = store.load(Release, made / "report.json")
    require_claims(records)
    alter, said = REFUSALS[name]
    with pytest.raises(UsageError, match=r"release r1: found .*; a card needs .*\. [A-Z]") as refused:
        require_claims(alter(records))
    assert said in str(refused.value)


def of_a_command(records: Release) -> Release:
    """The release as if a command had made the images."""
    first, *others = records.jobs
    model = first.report.scenario.model.model_copy(
        update={
            "adapter": "command",
            "source": "../port",
            "command": CommandRef(words=["{python}", "draw.py", "--text", "{prompt}"]),
        }
    )
    runs = [
        run.model_copy(
            update={
                "plan": run.plan.model_copy(
                    update={"arm": run.plan.arm.model_copy(update={"noise": NoiseMode.UNVERIFIED})}
                )
            }
        )
        for run in first.report.runs
    ]
    scenario = first.report.scenario.model_copy(update={"model": model})
    report = first.report.model_copy(update={"scenario": scenario, "runs": runs})
    return records.model_copy(update={"jobs": [first.model_copy(update={"report": report}), *others]})


def test_a_card_of_a_port_with_a_script_of_its_own_has_its_command_and_no_other_script(made: Path) -> None:
    records = store.load(Release, made / "report.json")
    assert "python inference.py --prompt " in render_card(records)
    altered = of_a_command(records)
    text = render_card(altered)
    assert "inference.py" not in text
    assert "'{python}' draw.py --text '{prompt}'" in text
    assert "eval/ needs the folder ../port, which its scenarios name relative to their file." in text
    assert set(_scripts(altered)) == {"eval/eval_accuracy.py", "eval/eval_performance.py"}


# --- scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inference.py", "eval/eval_accuracy.py", "eval/eval_performance.py"])
def test_the_scripts_of_a_card_are_python_and_say_what_they_do(name: str, made: Path) -> None:
    assert ast.get_docstring(ast.parse((made / FOLDER / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(("name", "said"), [("eval_accuracy.py", "PASS: "), ("eval_performance.py", "small cpu p50=")])
def test_the_evaluation_scripts_run_the_scenarios_beside_them(
    name: str, said: str, made: Path, write_scenario: WriteScenario
) -> None:
    scenarios = made / FOLDER / "eval" / "scenarios"
    shutil.rmtree(scenarios)
    scenarios.mkdir()
    path = write_scenario(
        model={"adapter": "planted-toy"},
        arms=[{"name": "cpu", "device": "cpu"}],
        repeats={"in_process": 3, "processes": 1},
    )
    shutil.move(path, scenarios / "small.yaml")
    ended = subprocess.run(
        [sys.executable, f"eval/{name}"],
        cwd=made / FOLDER,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert (ended.returncode, said in ended.stdout) == (0, True), ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_inference_script_of_the_example_makes_an_image(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / FOLDER / "inference.py", tmp_path)
    words = ["--prompt", "a red circle", "--num_inference_steps", "2", "--output_image", "out.png"]
    ended = subprocess.run(
        [sys.executable, "inference.py", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert (ended.returncode, (tmp_path / "out.png").is_file()) == (0, True), ended.stderr
