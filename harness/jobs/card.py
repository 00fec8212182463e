"""The card of a release: what a porter publishes, with the scripts that make its numbers again."""

from __future__ import annotations

import json
import posixpath
import shutil
from typing import TYPE_CHECKING, Any, cast

from harness import __version__, plugins
from harness.answers import answers
from harness.compare.gates import judge
from harness.contracts import is_outside
from harness.errors import UsageError
from harness.files import write_text
from harness.images import array_digest, read_picture
from harness.jobs.compare import today
from harness.language import spoken
from harness.readings import ladder
from harness.records import MANIFEST_FILE, Role, Scope
from harness.scenario import place as scenario_place
from harness.store import releases
from harness.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.contracts import CardRenderer
    from harness.records import Comparison, Limit, Release, Report, Run, Scenario, Status

FOLDER = "card"
"""Folder of the card inside the folder of a release."""


def write_card(
    release: Release, folders: Mapping[str, Path], scenarios: Mapping[Path, Scenario], folder: Path
) -> list[Path]:
    """Write the card of a release into ``folder``: text in every language, scripts, logs, results and images.

    ``folders`` are the job folders by the names of the jobs, ``scenarios`` what was asked for, by the scenario files.
    Gives all its files, the manifest last.

    Raises:
        UsageError: there is nothing that a card could claim, or a record does not hold what its measurements give.
    """
    require_claims(release)
    texts = {**_texts(release), **_results(release), **_scripts(release)}
    copies = {**_pictures(release, folders), **_sources(scenarios)}
    names = [*texts, *copies]
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    for name, path in copies.items():
        shutil.copyfile(path, folder / name)
    releases.forget(folder, names)
    releases.seal(folder, release, names)
    return [folder / name for name in (*names, MANIFEST_FILE)]


def problems(release: Release, folder: Path) -> list[str]:
    """Files of a card that are not what the records of its release give, a sentence for each.

    A manifest can be written anew over a changed number; the records behind it cannot be made to say it.
    """
    texts = {**_texts(release), **_results(release)}
    altered = [
        name
        for name, text in texts.items()
        if (folder / name).is_file() and (folder / name).read_text(encoding="utf-8") != text
    ]
    return [
        *(f"{FOLDER}/{name} is not what harness {__version__} makes of the records" for name in altered),
        *(f"{FOLDER}/{name} is not the image that was recorded" for name in _altered_pictures(release, folder)),
    ]


def _altered_pictures(release: Release, folder: Path) -> Iterator[str]:
    recorded = {(run.id, sample.image.path): sample.image.digest for run in _runs(release) for sample in run.samples}
    for name, place in _renderer().card_pictures(release).items():
        if (folder / name).is_file() and array_digest(read_picture(folder / name)) != recorded[place]:
            yield name


def _renderer() -> CardRenderer:
    return cast("CardRenderer", plugins.load("render", "markdown"))


# --- what may be claimed ---------------------------------------------------------------------------------------------


def require_claims(release: Release) -> None:
    """Refuse a card that would claim what nothing shows.

    Raises:
        UsageError: no candidate ran, no repeats were compared, jobs are of several models, or a stored verdict is not
            what its measurements give.
    """
    reports = [job.report for job in release.jobs]
    runs = [run for report in reports for run in report.runs]
    if not any(run.plan.arm.role is Role.CANDIDATE for run in runs):
        raise _refusal(release, "no run of a candidate", "the run of an arm that is to be validated", "Check one first")
    if not any(_is_repeated(report) for report in reports):
        raise _refusal(
            release, "no repeats", "repeats of the candidate, which determinism rests on", "Check with repeats"
        )
    models = dict.fromkeys(report.scenario.model.source for report in reports)
    if len(models) > 1:
        raise _refusal(
            release, f"jobs of {len(models)} models ({', '.join(models)})", "one model", "Name its scenarios alone"
        )
    for job in release.jobs:
        for comparison in job.report.comparisons:
            if not _as_judged(comparison):
                raise _refusal(
                    release,
                    f"a comparison of {comparison.actual.id} with {comparison.expected.id} in job {job.job} whose "
                    "verdicts are not what its measurements give",
                    "records as they were written",
                    "Compare the runs again",
                )


def _is_repeated(report: Report) -> bool:
    """Whether any candidate was run more than once and compared with itself."""
    candidates = {run.id for run in report.runs if run.plan.arm.role is Role.CANDIDATE}
    return any(
        repetition.runs > 1
        for comparison in report.comparisons
        if comparison.actual.id in candidates
        for repetition in comparison.repetitions
    )


def _refusal(release: Release, observed: str, allowed: str, next_step: str) -> UsageError:
    return UsageError(f"release {release.name}: found {observed}; a card needs {allowed}. {next_step}.")


def _as_judged(comparison: Comparison) -> bool:
    """Whether judging the stored measurements again gives the stored verdicts."""
    return _judged(judge(comparison, today=comparison.judged_on or today())) == _judged(comparison)


def _judged(comparison: Comparison) -> tuple[Status, list[tuple[Limit, float | None, Status]]]:
    verdicts = [verdict for pair in comparison.pairs for verdict in pair.verdicts]
    return comparison.outcome, [(verdict.limit, verdict.measured, verdict.status) for verdict in verdicts]


# --- texts -----------------------------------------------------------------------------------------------------------


def _texts(release: Release) -> dict[str, str]:
    renderer, texts = _renderer(), {}
    for language in release.languages:
        with spoken(language):
            texts[release.file_name(renderer.CARD_FILE_NAME, language)] = renderer.render_card(release)
    return texts


def _results(release: Release) -> dict[str, str]:
    return {
        "logs/accuracy_eval.log": _log(release),
        "results/accuracy_eval.json": json.dumps(results(release), indent=2, ensure_ascii=False) + "\n",
    }


def _log(release: Release) -> str:
    """The last lines of every run's log."""
    parts = [
        f"== {run.id}: {len(run.samples)} images, {len(run.failures)} failures, {run.seconds:.1f} s\n"
        f"{redact(printable(run.log_tail), environment={}).strip()}\n"
        for run in _runs(release)
    ]
    return "\n".join(parts)


def _runs(release: Release) -> Iterator[Run]:
    for job in release.jobs:
        yield from job.report.runs


def results(release: Release) -> dict[str, Any]:
    """What a machine reads of a card: the answers, every judged limit, every reading of "within 1 %", times."""
    reports = [job.report for job in release.jobs]
    return {
        "release": release.name,
        "outcome": release.outcome.value,
        "jobs": [job.job for job in release.jobs],
        "answers": [
            {
                "question": answer.question.value,
                "answered": answer.answered.value if answer.answered else None,
                "reason": str(answer.reason),
            }
            for answer in answers(reports, release.missing)
        ],
        "comparisons": [_comparison(report, comparison) for report in reports for comparison in report.comparisons],
        "runs": [_run(run) for run in _runs(release)],
    }


def _comparison(report: Report, comparison: Comparison) -> dict[str, Any]:
    found = ladder(comparison)
    return {
        "scenario": report.scenario.name,
        "arm": comparison.actual.arm,
        "against": comparison.expected.arm,
        "scope": comparison.scope.value,
        "simulated": comparison.actual.simulated or comparison.expected.simulated,
        "outcome": comparison.outcome.value,
        "pairs": len(comparison.pairs),
        "limits": [
            {
                "case": pair.key.case,
                "seed": pair.key.seed,
                **{name: number for name in ("image", "frame") if (number := getattr(pair.key, name))},
                "metric": verdict.limit.metric,
                "subject": verdict.limit.subject,
                "rule": str(verdict.limit.rule),
                "measured": verdict.measured,
                "verdict": verdict.status.value,
            }
            for pair in comparison.pairs
            for verdict in pair.verdicts
            if comparison.scope is Scope.REFERENCE
        ],
        "readings_of_1_percent": [
            {
                "metric": read.reading.metric,
                "subject": read.reading.subject,
                "worst": read.worst,
                "mean": read.mean,
                "other_noise": min(read.other_noise, default=None),
                "passed": read.passed,
            }
            for read in (found.readings if found else ())
        ],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "arm": run.plan.arm.name,
        "device": run.environment.device if run.environment else None,
        "device_name": str(run.environment.device_name) if run.environment else None,
        "simulated": bool(run.environment and run.environment.simulated),
        "packages": run.environment.packages if run.environment else {},
        "load_seconds": run.loaded.seconds if run.loaded else None,
        "image_seconds": [sample.seconds["total"] for sample in run.samples if "total" in sample.seconds],
    }


# --- scripts ---------------------------------------------------------------------------------------------------------


_INFERENCE = '''\
"""Make one image with the settings that were validated; further options are those of `harness generate`."""

import os
import subprocess
import sys

VALIDATED = {words}

words = [os.path.expandvars(word) for word in VALIDATED] + sys.argv[1:]
sys.exit(subprocess.run([sys.executable, "-m", "harness", "generate", *words]).returncode)
'''

_ACCURACY = '''\
"""Run the scenarios of this card again and judge them; further options are those of `harness check`."""

import subprocess
import sys
from pathlib import Path

SCENARIOS = sorted(map(str, (Path(__file__).parent / "scenarios").rglob("*.yaml")))

sys.exit(subprocess.run([sys.executable, "-m", "harness", "check", *SCENARIOS, *sys.argv[1:]]).returncode)
'''

_PERFORMANCE = '''\
"""Run the scenarios of this card again and print the latency of every arm in seconds."""

import statistics
from pathlib import Path

import harness

for scenario in sorted((Path(__file__).parent / "scenarios").rglob("*.yaml")):
    for run in harness.check(scenario).report.runs:
        seconds = [sample.seconds["total"] for sample in run.samples if "total" in sample.seconds]
        if len(seconds) > 1:
            shares = statistics.quantiles(seconds, n=100, method="inclusive")
            figures = " ".join(f"p{share}={shares[share - 1]:.3f}" for share in (50, 90, 95))
            print(scenario.stem, run.plan.arm.name, figures, f"images={len(seconds)}")
'''


def _scripts(release: Release) -> dict[str, str]:
    scripts = {"eval/eval_accuracy.py": _ACCURACY, "eval/eval_performance.py": _PERFORMANCE}
    scenario = release.jobs[0].report.scenario
    adapter = plugins.load("adapters", scenario.model.adapter)
    # Whoever made the images has a script of their own, and harness generate makes no videos.
    if is_outside(adapter) or scenario.frames is not None:
        return scripts
    return {"inference.py": _INFERENCE.format(words=json.dumps(_generate_words(release), indent=4)), **scripts}


def _generate_words(release: Release) -> list[str]:
    """Options of ``harness generate`` for the model and the settings of the first scenario and its candidate."""
    scenario = release.jobs[0].report.scenario
    candidate = next(arm for arm in scenario.arms if arm.role is Role.CANDIDATE)
    width, height = scenario.size_of(scenario.cases[0])
    options: dict[str, object] = {
        "--model_path": scenario.model.source,
        "--adapter": scenario.model.adapter,
        "--device": candidate.device,
        "--dtype": candidate.dtype or scenario.model.dtype,
        "--width": width,
        "--height": height,
        "--num_inference_steps": scenario.steps,
        "--guidance_scale": scenario.guidance_scale,
        "--seed": scenario.seeds[0],
    }
    if arguments := {**scenario.arguments, **scenario.cases[0].arguments, **candidate.arguments}:
        options["--arguments"] = json.dumps(arguments)
    words = [str(word) for pair in options.items() for word in pair]
    return [*words, "--trust_remote_code"] if scenario.model.trust_remote_code else words


# --- files that are copied -------------------------------------------------------------------------------------------


def _pictures(release: Release, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Images that the text shows, by their names in the card."""
    jobs = {run.id: (folders[job.job], run) for job in release.jobs for run in job.report.runs}
    found = {}
    for name, (run_id, path) in _renderer().card_pictures(release).items():
        folder, run = jobs[run_id]
        found[name] = folder / run.plan.arm.name / path
    return {name: path for name, path in found.items() if path.is_file()}


def _sources(scenarios: Mapping[Path, Scenario]) -> dict[str, Path]:
    """The scenario files and the images that they edit, by their names in the card.

    Raises:
        UsageError: an image lies outside the scenarios folder, so it could not be found beside a copy of its scenario.
    """
    files: dict[str, Path] = {}
    for path, scenario in scenarios.items():
        place = posixpath.join("eval", scenario_place(path))
        files[place] = path
        for case in scenario.cases:
            if case.input_image:
                name = posixpath.normpath(posixpath.join(posixpath.dirname(place), case.input_image))
                if not name.startswith("eval/scenarios/"):
                    raise UsageError(
                        f"{path}: found the input image {case.input_image} of case {case.id}; a card needs one "
                        "below the folder 'scenarios', which is copied with it. Move it there."
                    )
                files[name] = path.parent / case.input_image
    return files
