"""A workplace in which commands are killed at random moments, and what must hold of it at every one of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np

from harness.errors import HarnessError
from harness.images import read_kept, write_picture
from harness.records import RUN_FILE, Report, Run, Sample, from_json
from harness.store import packs
from harness.store.baselines import names, problems, readable, unfinished
from harness.store.folders import JOB_FILE, Job, load
from tests.command_line import patience_seconds
from tests.processes import started, workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

VERBS = ("run", "accept", "pack", "report")
CASES = ("circle", "square", "star")
SEEDS = (7, 42)
SIZE = 64
PLACES = ("p0r0", "p0r1", "p1r0", "p1r1")
SCENARIO = f"""
name: small
summary: Pictures that were made before, so that nothing takes long but the keeping.
task: text_to_image
model: {{adapter: images, source: pictures, pictures: "{{case}}/{{seed}}-p{{process}}r{{repeat}}.png"}}
cases: [{", ".join(f"{{id: {case}, prompt: a {case}}}" for case in CASES)}]
seeds: {list(SEEDS)}
width: {SIZE}
height: {SIZE}
steps: 1
repeats: {{in_process: 2, processes: 2}}
limits: [{{metric: identical, scope: repeat, equals: 1, reason: All of them are the same.}}]
"""
NAME = "small/candidate"
FORMATS = {"index.html", "report.md", "report.json", "junit.xml", "metrics.csv", "summary.md"}
_LONGEST_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Workplace:
    """A folder with runs, a baseline, a pack and a report, all made by undisturbed commands first."""

    folder: Path
    changes: dict[str, int] = field(default_factory=dict)
    """How many files an undisturbed command of each verb writes."""
    finished: dict[Path, str] = field(default_factory=dict)
    """Digest of every file of every sample that was ever seen finished, by its path below the folder."""
    reports: dict[str, str] = field(default_factory=dict)
    """Digest of each report file as an undisturbed command writes it."""

    def prepare(self) -> None:
        """Make the pictures and give every command once."""
        generator = np.random.default_rng(4)
        for case in CASES:
            (self.folder / "pictures" / case).mkdir(parents=True)
            for seed in SEEDS:
                picture = generator.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
                for place in PLACES:
                    write_picture(self.folder / "pictures" / case / f"{seed}-{place}.png", picture)
        (self.folder / "small.yaml").write_text(SCENARIO, encoding="utf-8")
        (self.folder / "packs").mkdir()
        self._measure("run")
        self.give("compare", self.run_folder, self.run_folder)
        for verb in ("accept", "pack", "report"):
            self._measure(verb)
        self.reports.update({path.name: digest(path) for path in self.report_folder.iterdir()})
        assert set(self.reports) == FORMATS
        assert self.problems() == []

    def _measure(self, verb: str) -> None:
        before = self._written(verb)
        self.finish(verb)
        self.changes[verb] = len(self._written(verb) - before)

    def moved(self, folder: Path) -> Workplace:
        """A copy in another folder, to be spoiled."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder, finished=dict(self.finished))

    # --- commands ----------------------------------------------------------------------------------------------------

    @property
    def run_folder(self) -> Path:
        """The first run, which is accepted and reported."""
        return min((self.folder / "runs").glob("*/candidate"))

    @property
    def report_folder(self) -> Path:
        """Where the report of the first run is."""
        return self.run_folder.parent / "report"

    @property
    def pack(self) -> Path:
        """The packed baseline."""
        return self.folder / "packs" / "small.zip"

    def words(self, verb: str) -> list[str | Path]:
        """The command of a verb."""
        if verb == "run":
            return ["run", "small.yaml"]
        if verb == "accept":
            return ["baseline", "accept", self.run_folder, "--reason", "Accepted again and again."]
        if verb == "pack":
            return ["baseline", "pack", NAME, "--out", self.pack]
        comparison = self.run_folder.parent / "comparison-repeat-candidate.json"
        formats = "html,md,json,junit,csv,summary"
        return ["report", comparison, "--out", self.report_folder, "--format", formats]

    def give(self, *words: str | Path) -> None:
        """Give a command that must end in exit code 0."""
        with started(self.folder, *words) as process:
            _, said = process.communicate(timeout=patience_seconds())
            assert process.returncode == 0, f"{' '.join(map(str, words))}: {process.returncode}: {said}"

    def finish(self, verb: str) -> None:
        """Give the command of a verb and let it end; afterwards nothing may be left unfinished."""
        self.give(*self.words(verb))
        for path in sorted((self.folder / "runs").glob(f"*/*/{RUN_FILE}")):
            assert load(Run, path).state == "finished", f"{path} was not resumed"
            assert list(path.parents[1].rglob(".*.part")) == [], f"{path.parents[1]} holds what the killed command left"
        if verb == "accept":
            self.give("baseline", "verify")
            assert unfinished(self.folder / "baselines") == []
        if verb == "pack":
            assert [path.name for path in self.pack.parent.iterdir()] == [self.pack.name]

    def kill(self, verb: str, random: Random) -> bool:
        """Kill the command of a verb at a random moment, alone or with its worker; False when it had ended before."""
        moment = random.randint(0, self.changes[verb])
        pause_seconds = random.uniform(0, _LONGEST_PAUSE_SECONDS)
        with_worker = random.random() < 1 / 2
        before = self._written(verb)
        with started(self.folder, *self.words(verb)) as process:
            while process.poll() is None and len(self._written(verb) - before) < moment:
                time.sleep(0.001)
            time.sleep(pause_seconds)
            for worker in workers(self.folder) if with_worker else []:
                os.kill(worker, signal.SIGKILL)
            process.kill()
            return process.wait(timeout=patience_seconds()) == -signal.SIGKILL

    def _written(self, verb: str) -> set[tuple[str, int]]:
        """Every file in the place where a verb writes; one that was replaced is another file."""
        place = {
            "run": self.folder / "runs",
            "accept": self.folder / "baselines",
            "pack": self.pack.parent,
        }.get(verb) or self.report_folder
        found = set()
        for folder, _, files in os.walk(place):  # passes over a folder that has just gone, where rglob fails
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                with suppress(FileNotFoundError):  # it was a temporary file, or a folder that has just got its name
                    found.add((str(path), path.stat().st_ino))
        return found

    # --- what must hold ----------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What must hold at every moment and does not."""
        return [
            *self._lost_samples(),
            *self._damaged_runs(),
            *self._damaged_baselines(),
            *self._damaged_pack(),
            *self._damaged_reports(),
        ]

    def _lost_samples(self) -> Iterator[str]:
        """No finished sample is ever lost or changed."""
        for path, known in self.finished.items():
            if not (self.folder / path).is_file():
                yield f"{path} was finished and is lost"
            elif digest(self.folder / path) != known:
                yield f"{path} was finished and has changed"
        for record in (self.folder / "runs").glob("*/*/samples/*/*/p*.json"):
            try:
                sample = from_json(Sample, record.read_text(encoding="utf-8"), place=record)
                run_folder = record.parents[3]
                read_kept(run_folder, sample.image)
            except HarnessError as error:
                yield f"a sample that counts as finished is damaged: {error}"
                continue
            for path in (record, run_folder / sample.image.path):
                self.finished[path.relative_to(self.folder)] = digest(path)

    def _damaged_runs(self) -> Iterator[str]:
        """Every run can be read, and one that is called finished is."""
        for path in (self.folder / "runs").glob(f"*/*/{RUN_FILE}"):
            try:
                run = load(Run, path)
            except HarnessError as error:
                yield f"a run cannot be read: {error}"
                continue
            made = {(sample.key, sample.label) for sample in run.samples}
            planned = {(key, place) for key in run.plan.keys for place in PLACES}
            if run.state == "finished" and (made != planned or run.failures):
                yield f"{path} is taken for finished with {len(made & planned)} of {len(planned)} samples"
            if run.state == "unfinished" and self._job_state(path.parent.parent) == "finished":
                yield f"{path.parent.parent} is taken for finished with an unfinished run"

    def _job_state(self, folder: Path) -> str:
        return load(Job, folder / JOB_FILE).state

    def _damaged_baselines(self) -> Iterator[str]:
        """What was accepted once is there and whole; beside it is at most what a verify names as left by a kill."""
        store = self.folder / "baselines"
        if NAME not in names(store):
            yield f"the baseline {NAME} is lost"
            return
        if found := problems(readable(store, NAME), NAME):
            yield f"the baseline {NAME} is damaged: {found}"
        for path in store.glob("*/.*/"):
            if path not in unfinished(store):
                yield f"{path} is left over, and no verify names it"

    def _damaged_pack(self) -> Iterator[str]:
        """The pack is the old one or the new one."""
        with tempfile.TemporaryDirectory() as scratch:
            try:
                packs.unpack(self.pack, Path(scratch), replace=False)
            except HarnessError as error:
                yield f"the pack is damaged: {error}"

    def _damaged_reports(self) -> Iterator[str]:
        """Every report file is whole; the same records give the same bytes, so it is what it was."""
        for name, known in self.reports.items():
            if digest(self.report_folder / name) != known:
                yield f"{name} is not what the same records gave before"
        if self.reports:
            try:
                text = (self.report_folder / "report.json").read_text(encoding="utf-8")
                from_json(Report, text, place="report.json")
                ET.parse(self.report_folder / "junit.xml")
            except (HarnessError, ET.ParseError) as error:
                yield f"a report cannot be read: {error}"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
