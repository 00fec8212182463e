"""Accepting a run as a baseline: the only way into the store, and what bars it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.errors import NotAcceptable, UsageError
from harness.fitness import shows_nothing
from harness.images import read_array, read_kept
from harness.noise import noise_digest
from harness.records import AcceptedCase, Manifest, StoredFile, Unfitness
from harness.store.baselines import Baseline, sha256_of, write_manifest, write_run
from harness.store.folders import load_any_run
from harness.store.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.records import CaseKey, Environment, Run, Sample

SHORTEST_REASON = 10
FEWEST_SAMPLES = 2


def accept(  # noqa: PLR0913 - what an acceptance says
    run_folder: Path,
    baselines_folder: Path,
    *,
    reason: str,
    who: str,
    commit: str | None,
    accepted_utc: str,
    modes: bool = False,
) -> Baseline:
    """Make a finished run the baseline of its scenario and arm, in place of the one before.

    With ``modes`` a run that is not deterministic is accepted too, with every outcome that was seen.

    Raises:
        UsageError: the reason is too short to be one.
        NotAcceptable: the run is unfinished, failed, unstable, or its pictures or noise cannot be relied on.
        RecordError: the folder holds no run, or its files are not those of its records.
        RunError: another process is accepting the same scenario's baselines.
    """
    if len(reason.strip()) < SHORTEST_REASON:
        raise UsageError(
            f"--reason {reason!r} has fewer than {SHORTEST_REASON} characters; say why these pictures are right, so "
            "that the next reader can judge it."
        )
    run, environment = _acceptable(run_folder, modes=modes)
    kept = run.model_copy(update={"samples": distinct(run)})
    with replaced(baselines_folder / run.plan.scenario / run.plan.arm.name) as folder:
        write_run(kept, run_folder, folder)
        manifest = Manifest(
            scenario=run.plan.scenario,
            scenario_digest=run.plan.scenario_digest,
            arm=run.plan.arm.name,
            model_digest=run.model.digest,
            code_digest=run.code_digest,
            environment=environment,
            run=run.id,
            accepted=[_accepted(run, key) for key in run.plan.keys],
            who=who,
            why=reason.strip(),
            accepted_utc=accepted_utc,
            commit=commit,
            files=_stored_files(folder),
        )
        write_manifest(manifest, folder)
    return Baseline(folder=baselines_folder / manifest.name, manifest=manifest, run=kept)


def distinct(run: Run) -> list[Sample]:
    """The first sample of each distinct outcome of each case and seed."""
    firsts: dict[tuple[CaseKey, str], Sample] = {}
    for sample in run.samples:
        firsts.setdefault((sample.key, sample.everything), sample)
    return list(firsts.values())


def _accepted(run: Run, key: CaseKey) -> AcceptedCase:
    samples = run.samples_of(key)
    return AcceptedCase(
        key=key,
        noise_digest=samples[0].noise_digest,
        modes=len({sample.everything for sample in samples}),
        runs=len(samples),
        processes=len({sample.process for sample in samples}),
    )


def _stored_files(folder: Path) -> list[StoredFile]:
    paths = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return [StoredFile(path=name, sha256=sha256_of(path), bytes=path.stat().st_size) for name, path in paths]


# --- what bars a run -------------------------------------------------------------------------------------------------


def _acceptable(folder: Path, *, modes: bool) -> tuple[Run, Environment]:
    """The run of a folder and what it ran on, when nothing bars it."""
    run = load_any_run(folder)
    barred = [*_state(run), *_repetition(run, modes=modes), *_noise(run)]
    barred += [] if barred else _contents(run, folder)
    if barred or run.environment is None:
        raise NotAcceptable(
            f"{folder} cannot become a baseline: {'; '.join(barred)}. Nothing was written; fix the cause, run again."
        )
    return run, run.environment


def _state(run: Run) -> Iterator[str]:
    if run.state != "finished":
        yield f"the run is unfinished ({len(run.samples)} samples were stored); give its command again to go on"
    if run.failures:
        first = run.failures[0]
        yield f"it has {len(run.failures)} failures, the first: {first.stage}: {first.error}: {first.message}"
    if run.plan.perturbation is not None:
        yield f"it was disturbed on purpose ({run.plan.perturbation.kind})"
    if run.environment is None:
        yield "what it ran on was not recorded"


def _repetition(run: Run, *, modes: bool) -> Iterator[str]:
    for key in run.plan.keys:
        samples = run.samples_of(key)
        outcomes = len({sample.everything for sample in samples})
        if len(samples) < FEWEST_SAMPLES:
            yield (
                f"{key} was made {len(samples)} time{'s' * (len(samples) != 1)}, which is no evidence that it repeats; "
                f"make it at least {FEWEST_SAMPLES} times (--repeats {FEWEST_SAMPLES})"
            )
        elif outcomes > 1 and not modes:
            yield (
                f"{key} is not deterministic: {outcomes} distinct outcomes in {len(samples)} runs; if each of them is "
                "right, --modes accepts them all"
            )


def _noise(run: Run) -> Iterator[str]:
    for key in run.plan.keys:
        samples = run.samples_of(key)
        if len({sample.noise_digest for sample in samples}) > 1:
            yield f"{key} did not have the same noise in all runs"
        if hidden := sorted({sign for sample in samples for sign in sample.hidden_draws}):
            yield f"{key} drew noise that is not known ({'; '.join(hidden)}), so no other machine can be given it"


def _contents(run: Run, folder: Path) -> list[str]:
    """What is wrong with the pictures, arrays and noise that would be kept."""
    kept = distinct(run)
    barred = [reason for sample in kept for reason in (*_picture(run, sample, folder), *_drawn(sample, folder))]
    seen: dict[str, CaseKey] = {}
    for sample in kept:
        first = seen.setdefault(sample.image.digest, sample.key)
        of_one_video = sample.key.frame is not None and first.call == sample.key.call
        if first != sample.key and not of_one_video and not _expected(run, sample, Unfitness.SAME_IMAGE):
            barred.append(f"{first} and {sample.key} gave the same image; one of the two cannot be right")
    return barred


def _expected(run: Run, sample: Sample, kind: Unfitness) -> bool:
    """Whether the scenario expects of the sample's case what would bar it elsewhere."""
    return any(case.id == sample.key.case and kind in (case.expect or {}) for case in run.plan.cases)


def _picture(run: Run, sample: Sample, folder: Path) -> Iterator[str]:
    why = shows_nothing(read_kept(folder, sample.image))
    if why and not _expected(run, sample, Unfitness.FLAT):
        yield f"the image of {sample.key} ({sample.label}) shows nothing: {why}"
    for what, ref in (("float output", sample.float_image), ("latents", sample.latents)):
        if ref is not None and (broken := int((~np.isfinite(read_kept(folder, ref))).sum())):
            yield f"the {what} of {sample.key} ({sample.label}) hold {broken} values that are NaN or infinite"


def _drawn(sample: Sample, folder: Path) -> Iterator[str]:
    """Noise that is to be injected elsewhere must be what was drawn here."""
    for number, draw in enumerate(sample.draws):
        values = read_array(folder / (sample.noise_path or ""), f"noise.{number}")
        if noise_digest(values) != draw.digest:
            yield f"the noise file of {sample.key} ({sample.label}) does not hold what was drawn: draw {number}"
