"""GenEval: objects, their number, colours and places, judged by an object detector.

Folders and results are those of the benchmark's README and ``evaluation/evaluate_images.py``
(github.com/djghosh13/geneval; Ghosh, Hajishirzi and Schmidt 2023, arXiv 2310.11513).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.benchmark_contract import Item, ItemResult, LaidFile
from harness.errors import RecordError
from harness.score_files import rows
from harness.yaml_tree import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SPEC = "geneval:correct:1"
ITEMS = "GenEval's prompts/evaluation_metadata.jsonl"
MOST_PICTURES = None

_PLACE_PARTS = 3
"""Folder of the prompt, ``samples``, and the picture."""


def items(path: Path) -> list[Item]:
    """A prompt in each line; its number in the file is the name of its folder.

    Raises:
        RecordError: it is no file of JSON lines with ``prompt`` and ``tag``.
    """
    listed = []
    for number, row in enumerate(rows(path)):
        row.text("tag")  # the benchmark's program ends without it
        data = json.dumps(dict(row.values), ensure_ascii=False) + "\n"
        listed.append(Item(name=f"{number:05}", prompt=row.text("prompt"), data=data))
    return listed


def lay_out(item: Item, pictures: Sequence[Path], method: str) -> Iterator[LaidFile]:
    """A folder for each prompt: its line of the list, and its pictures by number."""
    del method
    yield LaidFile(path=f"{item.name}/metadata.jsonl", content=item.data.encode())
    for number, picture in enumerate(pictures):
        path = f"{item.name}/samples/{number:04}.png"
        yield LaidFile(path=path, content=picture.read_bytes(), places=[path])


def results(path: Path) -> Iterator[ItemResult]:
    """A picture in each line, with ``filename``, ``tag``, ``correct`` and ``reason``.

    Raises:
        RecordError: a line is no such result.
    """
    for row in rows(path):
        correct = row.value("correct")
        if correct not in {0, 1}:
            raise RecordError(f"{row.place}: correct: found {shown(correct)}; allowed is true or false.")
        names = row.text("filename").replace("\\", "/").split("/")
        yield ItemResult(
            place="/".join(names[-_PLACE_PARTS:]),
            value=float(correct),
            parts={row.text("tag"): float(correct)},
            words=str(row.values.get("reason") or ""),
        )
