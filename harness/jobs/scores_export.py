"""Lay the pictures of a run out as a benchmark wants them: the verb scores export."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from harness import plugins, store
from harness.errors import NothingSelected, RecordError, UsageError
from harness.files import is_safe_path
from harness.images import read_kept
from harness.message import listed
from harness.progress import counted
from harness.records import CaseKey, Export, ExportedPicture
from harness.suggestions import from_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.benchmark_contract import Benchmark, Item
    from harness.records import Case, Run, Sample

EXPORT_FILE = "export.json"
"""Record of what was laid out; it lies beside the folder of pictures, in which a benchmark would take it for one."""

IMAGES_FOLDER = "images"
"""Folder that the benchmark is given."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What laying pictures out gave."""

    folder: Path
    """Folder with the record and the pictures."""
    run: Path
    """Folder of the run."""
    export: Export
    """The record."""

    @property
    def lines(self) -> list[str]:
        """What was done, for people, and what is to be done next."""
        export, lines = self.export, []
        cases = len({picture.key.case for picture in export.pictures})
        lines.append(
            f"{len(export.pictures)} pictures of {export.arm}, {cases} of {export.items} items of {export.benchmark}: "
            f"{self.folder / IMAGES_FOLDER}"
        )
        if export.left_out:
            lines.append(f"left out, because the run has no picture: {listed(export.left_out)}")
        words = f"--run {from_here(self.run)} --export {from_here(self.folder)}"
        return [*lines, f"Give that folder to the benchmark; then: harness scores import RESULTS {words}"]


def export(run_folder: Path, benchmark_name: str, items: Path, out: Path, seeds: Sequence[int] = ()) -> Exported:
    """Write the pictures of a run, one for each case and seed, and a record of which is which, into ``out``.

    Raises:
        UnknownName: there is no such benchmark.
        UsageError: ``out`` holds something, or the benchmark cannot read such pictures.
        RecordError: the run is damaged or unfinished, or a case asks what the benchmark does not.
        NothingSelected: no case has a picture.
    """
    benchmark = plugins.load("benchmarks", benchmark_name)
    _refuse_full(out)
    run = store.load_run(run_folder)
    known = benchmark.items(items)
    chosen = _chosen_seeds(run, seeds, benchmark)
    asked = [(case, _item_of(case, known, items)) for case in run.plan.cases]
    _refuse_twice(asked)
    pictures: list[ExportedPicture] = []
    for case, item in counted(asked, f"laying out {run.plan.arm.name}", len(asked), "items"):
        samples = [sample for key in _keys(run, case, chosen) if (sample := _first(run, key))]
        if samples:
            pictures += _laid_out(benchmark, item, samples, run_folder, run.plan.arm.name, out / IMAGES_FOLDER)
    if not pictures:
        raise NothingSelected(f"{run_folder} has no picture of the seeds {chosen}.")
    made = {picture.key for picture in pictures}
    keys = [key for case in run.plan.cases for key in _keys(run, case, chosen)]
    record = Export(
        benchmark=benchmark_name,
        scenario=run.plan.scenario,
        arm=run.plan.arm.name,
        run=run.id,
        items=len(known),
        pictures=pictures,
        left_out=[key for key in keys if key not in made],
    )
    store.save(record, out / EXPORT_FILE)
    return Exported(folder=out, run=run_folder, export=record)


def _refuse_full(out: Path) -> None:
    """A benchmark reads whatever lies in the folder, so pictures of two runs must not meet there."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out} is not empty, and a benchmark would read what lies there too; give a new folder.")


def _chosen_seeds(run: Run, seeds: Sequence[int], benchmark: Benchmark) -> list[int]:
    strange = [seed for seed in seeds if seed not in run.plan.seeds]
    if strange:
        raise UsageError(f"the run has no seed {strange[0]}; it has {', '.join(map(str, run.plan.seeds))}.")
    chosen = [seed for seed in run.plan.seeds if not seeds or seed in seeds]
    most = benchmark.MOST_PICTURES
    images = run.plan.samples_per_call
    if most is not None and len(chosen) * images > most:
        made = f"{len(chosen)} seeds" + (f" with {images} images of each" if images > 1 else "")
        raise UsageError(
            f"the benchmark reads at most {most} pictures of one item, and the run has {made}; choose with --seed."
        )
    return chosen


def _keys(run: Run, case: Case, seeds: Sequence[int]) -> list[CaseKey]:
    """The images of a case, in the order of seeds and then of their numbers."""
    return [key for seed in seeds for key in run.plan.keys_of(CaseKey(case=case.id, seed=seed))]


def _item_of(case: Case, known: Sequence[Item], place: Path) -> Item:
    """The item that a case asks: the one that names it, else the only one with its prompt.

    Raises:
        RecordError: there is none, or more than one.
    """
    named = [item for item in known if item.case == case.id]
    matching = named or [item for item in known if not item.case and item.prompt == case.prompt]
    if not matching:
        near = get_close_matches(case.prompt, [item.prompt for item in known], n=1)
        hint = f" The nearest prompt there is {near[0]!r}." if near else ""
        raise RecordError(
            f"{place} has no item with the prompt of case {case.id}, {case.prompt!r}.{hint} A case is matched by its "
            "prompt, word for word."
        )
    same = len({item.data for item in matching}) == 1 and bool(matching[0].data)
    if len(matching) > 1 and not same:
        raise RecordError(
            f"{place} has {len(matching)} items for case {case.id}: {', '.join(item.name for item in matching)}. Name "
            "the case of each in a column 'case'."
        )
    return matching[0]


def _refuse_twice(asked: Sequence[tuple[Case, Item]]) -> None:
    """Two cases of one item would write one file."""
    counts = Counter((item.group, item.name) for _, item in asked)
    for case, item in asked:
        if counts[item.group, item.name] > 1:
            raise RecordError(
                f"two cases, {case.id} one of them, ask the item {item.name}; one would take the other's file."
            )


def _first(run: Run, key: CaseKey) -> Sample | None:
    return next(iter(run.samples_of(key)), None)


def _laid_out(  # noqa: PLR0913, PLR0917 - what is written, of what, and where
    benchmark: Benchmark, item: Item, samples: Sequence[Sample], run_folder: Path, arm: str, images: Path
) -> Iterator[ExportedPicture]:
    """Write the files of one item; a picture that is not the one of its record is refused."""
    for sample in samples:
        read_kept(run_folder, sample.image)
    waiting = iter(samples)
    for file in benchmark.lay_out(item, [run_folder / sample.image.path for sample in samples], arm):
        if not is_safe_path(file.path):
            raise RecordError(f"the item {item.name} would be written to {file.path!r}, outside the folder.")
        path = images / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)  # the record is written last, so half an export is none
        for place in file.places:
            sample = next(waiting)
            yield ExportedPicture(place=place, key=sample.key, sample=sample.label, image_digest=sample.image.digest)
