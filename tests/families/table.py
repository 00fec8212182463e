"""Families of pipelines through ``harness check``, and the page about it: ``python -m tests.families.table``.

Without names all families are tried. Results are printed as JSON lines; ``--results`` keeps them in a file, and those
that are in it already are not made again, so that a run that was ended can go on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tests.families.families import FAMILIES
from tests.families.trial import LEAST_PSNR_DB, SIDE, STEPS, WORDS, Trial, tried

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PACKAGES = ("torch", "diffusers", "transformers")

HEAD = """# Pipelines that `harness check` was tried on

Written by `nox -s families`; do not edit it. Each row is a small pipeline of diffusers with random weights, saved into
a folder and run by `harness check` with the adapter `diffusers`: an arm in bfloat16 (two processes, the picture twice
in each) and a reference in float32, on the CPU, with the determinism switches, {steps} steps, mostly {side}x{side}.
Limits are the same for all: the repeats are identical, and PSNR to float32 is at least {psnr} dB. Random weights show
how a pipeline is called, watched and judged; they show nothing about the accuracy of trained ones, and nothing about a
GPU or an NPU. The processor of transformers for Qwen-Image-Edit needs torchvision, which the tests do not have; a small
one in the model's folder takes its place, as code of the folder's own. Pipelines of videos make 9 frames, and the
first, the middle and the last are stored ([videos.md](videos.md)).

Made on {day} with {packages}: {passed} of {all} families passed.

- **Takes**: words of a scenario that become parameters of the call; what a pipeline does not take is crossed out.
- **Own arguments**: what the scenario says under `arguments:` ([arguments.md](arguments.md)).
- **Draws**: every random draw of one picture or video, as the record names it, with the number of equal ones.
- **Returns**: the picture or the frames, and whether the decoder's output was seen, which float metrics need.
- **Noise**: whether every draw was seen, came from the generator that the pipeline was given, and had the same values
  in both arms.
- **Repeats**: runs of the bfloat16 arm, and how many different outcomes (picture or all frames, decoder output and
  latents) they had.
- **PSNR, dB**: to float32; of a video, that of the worst stored frame.
- **s**: seconds of the whole row, with starts of three processes, on the machine that wrote this page.
"""


def page(trials: Sequence[Trial]) -> str:
    """The table, then what the records tell of each family, then what could not be tried."""
    done = [trial for trial in trials if not trial.error]
    told = [trial for trial in done if trial.told]
    failed = [trial for trial in trials if trial.error]
    head = HEAD.format(
        steps=STEPS,
        side=SIDE,
        psnr=LEAST_PSNR_DB,
        day=datetime.now(UTC).date().isoformat(),
        packages=", ".join(f"{name} {version(name)}" for name in PACKAGES),
        passed=sum(trial.code == 0 for trial in trials),
        all=len(trials),
    )
    parts = [head, *table(done), "", "## What the records tell", "", *sentences(told)]
    return "\n".join([*parts, "", "## What fails, and why", "", *failures(failed), ""])


def table(trials: Iterable[Trial]) -> Iterable[str]:
    """A row for each family that made pictures."""
    yield "| family | pipeline | takes | own arguments | draws | returns | noise | repeats | PSNR, dB | verdict | s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | ---: | --- | ---: |"
    for trial in trials:
        cells = [
            trial.title,
            f"`{trial.pipeline}`",
            words(trial),
            arguments(trial),
            draws(trial.draws),
            trial.returns,
            "yes" if trial.met_noise else "**no**",
            trial.repeats,
            "-" if trial.psnr_db is None else f"{trial.psnr_db:.1f}",
            trial.verdict.replace("_", " "),
            f"{trial.seconds:.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def words(trial: Trial) -> str:
    """Words of scenarios in the order of all, crossed out where the call does not take them."""
    return ", ".join(word if word in trial.takes else f"~~{word}~~" for word in WORDS.values())


def arguments(trial: Trial) -> str:
    """Arguments as a scenario has them; `-` where it has none."""
    return ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in trial.arguments.items()) or "-"


def draws(made: Iterable[str]) -> str:
    """Draws in their order, equal neighbours counted.

    >>> draws(["randn 1x4", "randn 1x4", "randn 2"]), draws([])
    ('2 x randn 1x4, randn 2', '-')
    """
    runs = [(draw, len(list(equal))) for draw, equal in groupby(made)]
    return ", ".join(draw if count == 1 else f"{count} x {draw}" for draw, count in runs) or "-"


def sentences(trials: Iterable[Trial]) -> Iterable[str]:
    """What was asked and not done, as the record of the bfloat16 arm says it."""
    for trial in trials:
        yield f"- {trial.title}: " + "; ".join(sentence.rstrip(".") for sentence in trial.told) + "."


def failures(trials: Iterable[Trial]) -> Iterable[str]:
    """Families without pictures, with the exit code and the words of the failure."""
    yield "| family | pipeline | exit code | why |"
    yield "| --- | --- | ---: | --- |"
    for trial in trials:
        code = "-" if trial.code is None else str(trial.code)
        pipeline = f"`{trial.pipeline}`" if trial.pipeline else "-"
        yield f"| {trial.title} | {pipeline} | {code} | {trial.error.replace('|', chr(92) + '|')} |"


def tried_alone(name: str) -> Trial:
    """A family in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return tried(name, FAMILIES[name], Path(folder))


def read_results(path: Path) -> dict[str, Trial]:
    """Results that a file has already, by the names of families."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {trial.name: trial for trial in (Trial(**json.loads(line)) for line in lines)}


def main() -> int:
    """Try families and write or print what came of it; 1 where one that was named failed."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("names", nargs="*", choices=[*FAMILIES, []], help="families; all where none is named")
    reader.add_argument("--page", type=Path, help="file for the page about all families")
    reader.add_argument("--results", type=Path, help="file that keeps the results, and may hold some")
    told = reader.parse_args()
    kept = read_results(told.results) if told.results else {}
    trials = []
    for name in told.names or FAMILIES:
        trial = kept.get(name) or tried_alone(name)
        trials.append(trial)
        line = json.dumps(asdict(trial), ensure_ascii=False) + "\n"
        sys.stdout.write(line)
        sys.stdout.flush()
        if told.results and name not in kept:
            with told.results.open("a", encoding="utf-8") as file:
                file.write(line)
    if told.page:
        told.page.write_text(page(trials), encoding="utf-8")
    return int(bool(told.names) and any(trial.code for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
