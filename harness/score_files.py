"""Files of other programs with a row for each picture, CSV or JSON lines, each row with the place to name it by."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from harness.errors import RecordError, UnknownName
from harness.records import parse_json
from harness.yaml_tree import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a file."""

    place: str
    """File and line, for messages."""
    values: Mapping[str, Any]
    """Its values by column."""

    def value(self, column: str) -> Any:
        """What stands in a column.

        Raises:
            RecordError: the row has no such column; the message brings the nearest one.
        """
        if column not in self.values:
            raise RecordError(f"{self.place}: {UnknownName('column', column, [str(name) for name in self.values])}")
        return self.values[column]

    def text(self, column: str) -> str:
        """A text that is not empty.

        Raises:
            RecordError: the column is missing, empty or no text.
        """
        value = self.value(column)
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{self.place}: {column}: found {shown(value)}; allowed is a text that is not empty.")
        return value.strip()

    def number(self, column: str, lowest: float, highest: float) -> float:
        """A number on a scale; true and false are its ends.

        Raises:
            RecordError: the column is missing, or holds no number from ``lowest`` to ``highest``.
        """
        value = self.value(column)
        if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in _TRUTHS):
            return highest if value is True or str(value).strip().lower() == "true" else lowest
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not lowest <= number <= highest:
            raise RecordError(
                f"{self.place}: {column}: found {shown(value)}; allowed is a number from {lowest:g} to {highest:g}."
            )
        return number


_TRUTHS = {"true", "false"}


def rows(path: Path) -> Iterator[Row]:
    """Every row of a file of JSON lines (``.jsonl``) or CSV with a line of headings.

    Raises:
        RecordError: it cannot be read, has no row, or a row has other columns than the headings say.
    """
    text = read_text(path)
    every_row = list(_of_lines(path, text) if path.suffix in {".jsonl", ".json"} else _of_csv(path, text))
    if not every_row:
        raise RecordError(f"{path} holds no row; allowed is one for each picture.")
    yield from every_row


def read_text(path: Path) -> str:
    """The text of a file, without the mark that some editors put before it.

    Raises:
        RecordError: there is no such file, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} cannot be read: it is not UTF-8 text. Save it as UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no system allows
        raise RecordError(f"{path} cannot be read: {error}.") from error


def _of_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        values = parse_json(line, place=place)
        if not isinstance(values, dict):
            raise RecordError(f"{place}: found {shown(values)}; allowed is one JSON object in each line.")
        yield Row(place=place, values=values)


def _of_csv(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        headings = next(reader, [])
        if len(set(headings)) != len(headings):
            raise RecordError(f"{path}, line 1: a heading stands there twice; allowed is once.")
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(headings):
                raise RecordError(f"{place}: found {len(cells)} cells; allowed are {len(headings)}, as in line 1.")
            if cells:
                yield Row(place=place, values=dict(zip(headings, cells, strict=True)))
    except csv.Error as error:
        raise RecordError(f"{path}, line {reader.line_num}: {error}. It is damaged, or no CSV file.") from error
