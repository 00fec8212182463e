"""Changes planted into small SD3, Flux, SDXL and Qwen-Image pipelines, explained: ``python -m tests.faults.others``.

``--page`` replaces the section about them in a page that the exam of the embedded model has written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.adapters import diffusers
from harness.records import ModelRef
from tests.adapters.tiny_pipelines import saved
from tests.faults.exam import Answer, Exam, Subject, line
from tests.faults.page import rows, totals
from tests.planted.port_faults import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STEPS, SIDE = 6, 64
HEADING = "## Small pipelines of diffusers"
HEAD = f"""{HEADING}

Changes planted into SD3, Flux, SDXL and Qwen-Image with small random weights ({SIDE}x{SIDE}, {STEPS} steps, one case
and seed, CPU, float32), measured as above. They are of kinds that the hypotheses were written for, in pipelines that
they were not written for; no hypothesis was changed for them. A name begins with its pipeline.
"""


def answers(names: Sequence[str], folder: Path) -> Iterator[Answer]:
    """All answers, or those of the changes that are named; each pipeline is loaded and traced once."""
    chosen = [change for change in catalogue.of_other_pipelines().values() if not names or change.name in names]
    for pipeline, changes in groupby(chosen, key=lambda change: change.pipeline):
        exam = Exam("float32", folder / pipeline, subject(pipeline, folder))
        for change in changes:
            answer = exam.answer(change)
            sys.stderr.write(f"{line(answer)}\n")
            yield answer


def subject(pipeline: str, folder: Path) -> Subject:
    """A small random pipeline and what it is asked."""
    model = saved(pipeline, folder / f"{pipeline}-model")

    def load(dtype: Any, device: Any) -> Any:
        return diffusers.load(model, ModelRef(adapter="diffusers", source=str(model), dtype=dtype), device)

    negative = "a red square" if pipeline == "qwen" else None
    return Subject(load=load, prompt="a cup", steps=STEPS, side=SIDE, negative_prompt=negative)


def section(made: Sequence[Answer]) -> str:
    """Totals, then a row for each change."""
    return "\n".join([HEAD, *totals(made), "", *rows(made), ""])


def with_section(page: str, made: Sequence[Answer]) -> str:
    """A page whose last section is the one about these changes."""
    return f"{page.partition(HEADING)[0].rstrip()}\n\n{section(made)}"


def main() -> None:
    """Run the exam of the small pipelines, write its answers as JSON lines, and the section where a page is named."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("names", nargs="*", help="changes; all where none is named")
    reader.add_argument("--out", type=Path, help="file for the answers, JSON lines")
    reader.add_argument("--page", type=Path, help="page that gets the section")
    told = reader.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HF_MODULES_CACHE", f"{scratch}/modules")
        made = list(answers(told.names, Path(scratch)))
    if told.out:
        told.out.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in made), encoding="utf-8")
    if told.page:
        told.page.write_text(with_section(told.page.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
