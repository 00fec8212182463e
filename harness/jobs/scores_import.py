"""Read what a benchmark says of a run's pictures into the run's scores: the verb scores import."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from harness import plugins, store
from harness.compare.parity import with_parities
from harness.compare.scores import firsts, total
from harness.errors import RecordError, UsageError
from harness.jobs.compare import kept_runs, kept_scores
from harness.jobs.scores_export import EXPORT_FILE
from harness.language import recorded
from harness.records import (
    MANIFEST_FILE,
    ArmScores,
    CaseKey,
    Export,
    Id,
    ImportedScores,
    Score,
    ScoreTotal,
    StoredFile,
)
from harness.score_files import rows
from harness.store.baselines import sha256_of
from harness.suggestions import from_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.benchmark_contract import ItemResult
    from harness.records import Comparison, Run, Sample
    from harness.score_files import Row


@dataclass(frozen=True, kw_only=True)
class Table:
    """How a table of values is read."""

    score: str
    """What the score is called."""
    column: str = "score"
    """Column of the values."""
    lowest: float = 0.0
    """Worst value of its scale."""
    highest: float = 1.0
    """Best value of its scale."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a file says about one picture."""

    value: float | None
    """From 0 to 1; None where the file has none."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Numbers behind it."""
    words: str = ""
    """Why it is not 1."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What reading scores gave."""

    path: Path
    """File with the scores of the arm."""
    arm: str
    """Name of the arm."""
    total: ScoreTotal
    """The score over all cases and seeds."""
    without: list[CaseKey]
    """Cases and seeds that the files have no value for."""
    statements: list[str]
    """What is now said of this arm and the ones that it is compared with, or why nothing is."""
    comparisons: list[Path]
    """Comparisons of the job that now hold it."""

    @property
    def lines(self) -> list[str]:
        """How it ended, for people, and what shows it."""
        lines = [f"{self.total.score} of {self.arm}: {self.total.words}", *self.statements, from_here(self.path)]
        if self.comparisons:
            job = self.path.parent
            files = " ".join(from_here(path) for path in self.comparisons)
            formats = "html,md,json,junit,csv,summary"
            out = from_here(job / store.REPORT_FOLDER)
            lines.append(f"To see it in the report: harness report {files} --out {out} --format {formats}")
        return lines

    @property
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {
            "score": self.total.score,
            "arm": self.arm,
            "total": self.total.model_dump(mode="json"),
            "without_value": [key.model_dump(mode="json") for key in self.without],
            "statements": [str(statement) for statement in self.statements],
            "file": str(self.path),
        }


def import_results(files: Sequence[Path], run_folder: Path, export_folder: Path, judge: str = "") -> Imported:
    """Read what a benchmark wrote about pictures that were laid out for it.

    Raises:
        RecordError: the export is of another run, or a file speaks of a picture that is not in it, or twice of one.
    """
    run = _run(run_folder)
    export = store.load(Export, export_folder / EXPORT_FILE)
    if export.run != run.id:
        raise RecordError(
            f"{export_folder} holds pictures of {export.run}, and the run is {run.id}; scores of other pictures say "
            "nothing about it. Export this run, or give --run its folder."
        )
    benchmark = plugins.load("benchmarks", export.benchmark)
    keys = {picture.place: picture.key for picture in export.pictures}
    for picture in export.pictures:
        made = [sample for sample in run.samples_of(picture.key) if sample.label == picture.sample]
        if not made or made[0].image.digest != picture.image_digest:
            raise RecordError(
                f"{export_folder / EXPORT_FILE} and {run_folder} disagree about the picture of {picture.key}: one of "
                "the two was changed after the export. Export the run again."
            )
    judged: dict[CaseKey, Judged] = {}
    for path in files:
        for result in benchmark.results(path):
            key = _exported(result, keys, path)
            if key in judged:
                raise RecordError(f"{path} speaks of {result.place} again; allowed is one result for each picture.")
            judged[key] = Judged(value=result.value, parts=result.parts, words=result.words)
    origin = ImportedScores(benchmark=export.benchmark, judge=judge, files=[_stored(path) for path in files])
    return _kept(run, run_folder, export.benchmark, benchmark.SPEC, judged, origin)


def _exported(result: ItemResult, keys: Mapping[str, CaseKey], path: Path) -> CaseKey:
    if result.place not in keys:
        first = next(iter(keys), "nothing")
        raise RecordError(
            f"{path} speaks of {result.place}, which was not exported; names there are such as {first}. It is of other "
            "pictures, or of another benchmark."
        )
    return keys[result.place]


def import_table(files: Sequence[Path], run_folder: Path, table: Table, judge: str = "") -> Imported:
    """Read a table with a row for each picture: its case, its seed where the run has several, and its value.

    Raises:
        UsageError: the score cannot be called so, or its scale has no width.
        RecordError: a row speaks of a picture that the run does not have, or a value lies beyond the scale.
    """
    _refuse_table(table)
    run = _run(run_folder)
    judged: dict[CaseKey, Judged] = {}
    for path in files:
        for row in rows(path):
            key = _key(row, run)
            if key in judged:
                raise RecordError(f"{row.place}: {key} has a value already; allowed is one for each picture.")
            judged[key] = _judged(row, table)
    spec = f"imported:{table.score}:{table.column}:{table.lowest:g}..{table.highest:g}"
    origin = ImportedScores(benchmark=None, judge=judge, files=[_stored(path) for path in files])
    return _kept(run, run_folder, table.score, spec, judged, origin)


def _refuse_table(table: Table) -> None:
    try:
        TypeAdapter(Id).validate_python(table.score)
    except ValidationError as error:
        raise UsageError(
            f"{table.score!r} cannot be the name of a score; use small letters, digits, dots, hyphens and underscores, "
            "such as wise."
        ) from error
    if table.score in {*plugins.names("scores"), *plugins.names("metrics")}:
        raise UsageError(f"{table.score} is what the harness measures itself; give the score another name.")
    if not -math.inf < table.lowest < table.highest < math.inf:
        raise UsageError(
            f"found a scale from {table.lowest:g} to {table.highest:g}; allowed are numbers, --lowest below --highest."
        )


def _judged(row: Row, table: Table) -> Judged:
    """The value on a scale from 0 to 1; an empty cell is no value."""
    if row.value(table.column) in {None, ""}:
        return Judged(value=None)
    number = row.number(table.column, table.lowest, table.highest)
    return Judged(value=(number - table.lowest) / (table.highest - table.lowest))


def _key(row: Row, run: Run) -> CaseKey:
    """Case and seed of a row, and the image where a call made several; the seed may be left out where there is one."""
    case, seeds = row.text("case"), run.plan.seeds
    seed = str(row.value("seed") if "seed" in row.values or len(seeds) > 1 else seeds[0]).strip()
    image = str(row.value("image")).strip() if run.plan.samples_per_call > 1 else ""
    for key in run.plan.keys:
        if (key.case, str(key.seed), str(key.image or "")) == (case, seed, image) and run.samples_of(key):
            return key
    if image:
        made = next((run.plan.pictures_of(known) for known in run.plan.cases if known.id == case), 1)
        raise RecordError(
            f"{row.place}: the run has no picture of case {case!r}, seed {seed} and image {image!r}; "
            + (
                f"each of its calls made the images 1 to {made}."
                if made > 1
                else "its calls made one, without a number."
            )
        )
    cases = ", ".join(sorted({key.case for key in run.plan.keys})[:5])
    raise RecordError(
        f"{row.place}: the run has no picture of case {case!r} and seed {seed}; it has the cases {cases} and others, "
        f"with the seeds {', '.join(map(str, seeds))}."
    )


# --- what is kept ----------------------------------------------------------------------------------------------------


def _run(folder: Path) -> Run:
    if (folder / MANIFEST_FILE).exists():
        raise UsageError(f"{folder} is a baseline, which holds no scores; give the run of a job, runs/JOB/ARM.")
    return store.load_run(folder)


def _stored(path: Path) -> StoredFile:
    return StoredFile(path=path.name, sha256=sha256_of(path), bytes=path.stat().st_size)


def _kept(  # noqa: PLR0913, PLR0917 - what is kept, under which name, of what
    run: Run, run_folder: Path, name: str, spec: str, judged: Mapping[CaseKey, Judged], origin: ImportedScores
) -> Imported:
    """Put the scores into the file of the arm's scores, and what follows from them into the job's comparisons."""
    job_folder = run_folder.resolve().parent
    path = job_folder / store.scores_file(run.plan.arm.name)
    before = _before(path, run, job_folder)
    made = [_score(name, run.samples_of(key), judged.get(key)) for key in run.plan.keys if run.samples_of(key)]
    summed = total(name, firsts(made, name).values())
    kept = before.model_copy(
        update={
            "specs": before.specs | {name: f"{spec}:{origin.judge}" if origin.judge else spec},
            "totals": [*(known for known in before.totals if known.score != name), summed],
            "scores": [*(score for score in before.scores if score.score != name), *made],
            "imported": before.imported | {name: origin},
        }
    )
    store.save(kept, path)
    changed = list(_changed_comparisons(job_folder, run.id))
    return Imported(
        path=path,
        arm=kept.arm,
        total=summed,
        without=[score.key for score in made if score.value is None],
        statements=_statements([comparison for _, comparison in changed], kept, name, job_folder),
        comparisons=[file for file, comparison in changed if _parity_of(comparison, name)],
    )


def _before(path: Path, run: Run, job_folder: Path) -> ArmScores:
    """The scores of the arm that are there already; none where they are of another run."""
    job = store.load(store.Job, job_folder / store.JOB_FILE)
    if path.is_file() and (kept := store.load(ArmScores, path)).run == run.id:
        return kept
    return ArmScores(
        scenario=run.plan.scenario,
        arm=run.plan.arm.name,
        run=run.id,
        task=run.plan.task,
        parity_margin=job.scenario.parity_margin,
        specs={},
        totals=[],
        scores=[],
    )


def _score(name: str, samples: Sequence[Sample], judged: Judged | None) -> Score:
    """The score of the first picture of a case and seed."""
    first = samples[0]
    fields = Judged(value=None) if judged is None else judged
    problem = recorded("the results that were imported have no value for this picture") if fields.value is None else ""
    return Score(
        score=name,
        key=first.key,
        image_digest=first.image.digest,
        samples=[sample.label for sample in samples if sample.image.digest == first.image.digest],
        value=fields.value,
        parts=dict(fields.parts),
        words=fields.words,
        problem=problem,
    )


def _changed_comparisons(job_folder: Path, run: str) -> Iterator[tuple[Path, Comparison]]:
    """Comparisons of a run with another, saved with what all scores now say about the two; nothing is judged again."""
    for path in sorted(job_folder.glob("comparison-reference-*.json")):
        comparison = store.load_comparison(path)
        if run in {comparison.actual.id, comparison.expected.id}:
            sides = kept_runs(comparison, job_folder)
            changed = with_parities(comparison, kept_scores(sides))
            store.save(changed, path)
            yield path, changed


def _parity_of(comparison: Comparison, name: str) -> str:
    return next((parity.message for parity in comparison.parities if parity.score == name), "")


def _statements(comparisons: Sequence[Comparison], kept: ArmScores, name: str, job_folder: Path) -> list[str]:
    """What the score says about each two sides, or why it says nothing."""
    if not comparisons:
        return [f"nothing in this job compares {kept.arm} with another arm; harness compare does"]
    return [_statement(comparison, kept, name, job_folder) for comparison in comparisons]


def _statement(comparison: Comparison, kept: ArmScores, name: str, job_folder: Path) -> str:
    if message := _parity_of(comparison, name):
        return message
    sides = comparison.actual.arm, comparison.expected.arm
    other = sides[0] if sides[1] == kept.arm else sides[1]
    if comparison.differences:
        return f"{sides[0]} against {sides[1]}: not comparable, so {name} says nothing about the two"
    path = job_folder / store.scores_file(other)
    specs = store.load(ArmScores, path).specs if path.is_file() else {}
    if name in specs:
        return (
            f"{sides[0]} against {sides[1]}: {name} was read as {kept.specs[name]} and as {specs[name]}, so nothing is "
            "said of the two; import both in one way"
        )
    return f"{sides[0]} against {sides[1]}: {other} has no {name} yet; import its results too"
