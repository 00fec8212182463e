"""GEdit-Bench: edits that users asked for, judged by a vision-language model from 0 to 10.

Folders and results are those of ``GEdit-Bench/EVAL.md`` and ``run_gedit_score.py``
(github.com/stepfun-ai/Step1X-Edit; Liu and others 2025, arXiv 2504.17761). The value is the benchmark's overall one,
the root of semantics times quality, on a scale to 1.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from harness.benchmark_contract import Item, ItemResult, LaidFile
from harness.errors import RecordError
from harness.score_files import rows
from harness.yaml_tree import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.score_files import Row

SPEC = "gedit-bench:overall:1"
ITEMS = "a CSV or JSONL file with key, task_type, instruction_language and instruction of GEdit-Bench"
MOST_PICTURES = 1

_HIGHEST = 10.0
_PLACE_PARTS = 5
"""The method, ``fullset``, the task, the language, and the picture."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def items(path: Path) -> list[Item]:
    """An edit in each row, with its case in the column ``case`` where there is one.

    Raises:
        RecordError: a row lacks one of the columns, or a name in it cannot be a file's.
    """
    return [
        Item(
            name=_name(row, "key"),
            prompt=row.text("instruction"),
            case=str(row.values.get("case") or ""),
            group=f"{_name(row, 'task_type')}/{_name(row, 'instruction_language')}",
        )
        for row in rows(path)
    ]


def _name(row: Row, column: str) -> str:
    name = row.text(column)
    if not _NAME.fullmatch(name):
        raise RecordError(
            f"{row.place}: {column}: found {shown(name)}, which becomes the name of a file; allowed are letters, "
            "digits, dots, hyphens and underscores."
        )
    return name


def lay_out(item: Item, pictures: Sequence[Path], method: str) -> Iterator[LaidFile]:
    """A folder for each task and language, with a picture for each key."""
    path = f"{method}/fullset/{item.group}/{item.name}.png"
    yield LaidFile(path=path, content=pictures[0].read_bytes(), places=[path])


def results(path: Path) -> Iterator[ItemResult]:
    """An edit in each row; ``sementics_score`` is how the benchmark spells the column.

    Raises:
        RecordError: a row lacks a column, or a value is none from 0 to 10.
    """
    for row in rows(path):
        names = row.text("edited_image").replace("\\", "/").split("/")[-_PLACE_PARTS:]
        column = "semantics_score" if "semantics_score" in row.values else "sementics_score"
        semantics = row.number(column, 0, _HIGHEST) / _HIGHEST
        quality = row.number("quality_score", 0, _HIGHEST) / _HIGHEST
        value = math.sqrt(semantics * quality)
        task = {names[2]: value} if len(names) == _PLACE_PARTS else {}
        yield ItemResult(place="/".join(names), value=value, parts={"semantics": semantics, "quality": quality, **task})
