"""Stored results as a table: one row for each pair and metric."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import store
from harness.errors import RecordError, UsageError
from harness.records import RUN_FILE, PicturePair, Report, from_json
from harness.results import COLUMNS, of_measurement, rows_of
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd


_WHAT = "a job folder, a comparison file, a report.json, or the lines that `harness diff --out` wrote"


def load_results(path: Path) -> pd.DataFrame:
    """One row for each pair and metric of stored results; ``value`` is a float, NaN where ``problem`` says why.

    Raises:
        UsageError: pandas is not installed, or there is no such file.
        RecordError: it holds no such results, or is damaged.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            f"a table needs pandas, which is not installed here; {install('tables')} installs it. Without it, "
            "report/metrics.csv of a job folder has the same numbers."
        ) from error
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder; give {_WHAT}.")
    table = pd.DataFrame(list(_rows(path)), columns=list(COLUMNS))
    return table.astype({"value": "float64", "seed": "Int64"})


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_dir():
        for file in _comparisons(path):
            yield from rows_of(store.load_comparison(file))
    elif path.suffix == ".jsonl" or _is_pairs(path):
        yield from _of_lines(path)
    elif _is_report(path):
        for comparison in store.load(Report, path).comparisons:
            yield from rows_of(comparison)
    else:
        yield from rows_of(store.load_comparison(path))


def _comparisons(folder: Path) -> Sequence[Path]:
    files = sorted(folder.glob("comparison-*.json"))
    if files:
        return files
    if (folder / RUN_FILE).is_file():
        next_step = f"It is the folder of one arm; give the job's folder, {folder.parent}"
    else:
        next_step = "Give the job folder itself, such as runs/JOB"
    raise RecordError(f"{folder} holds no comparison (comparison-*.json); allowed: {_WHAT}. {next_step}.")


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            return next((line for line in stream if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read: {error}. Give {_WHAT}.") from error


def _is_pairs(path: Path) -> bool:
    """Whether each line is a record: that of a file with indented JSON is a bracket."""
    try:
        content = json.loads(_first_line(path))
    except ValueError:
        return False
    return isinstance(content, dict) and "presence" in content


def _is_report(path: Path) -> bool:
    """Whether a file is a report, by a key that a comparison does not have."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # reading it as a comparison says in words what is wrong
    return isinstance(content, dict) and "comparisons" in content


def _of_lines(path: Path) -> Iterator[dict[str, Any]]:
    _first_line(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield from _of_pair(from_json(PicturePair, line, place=f"{path}, line {number}"))


def _of_pair(pair: PicturePair) -> Iterator[dict[str, Any]]:
    common = {
        "actual": pair.name,
        "expected": pair.expected_name or pair.name,
        "noise": pair.noise,
    }
    for measurement in pair.measurements:
        yield common | of_measurement(measurement, pair.verdicts)
    if not pair.measurements:  # a pair that was not measured is no pair that was left out
        yield common | {"problem": pair.problem, "verdict": pair.outcome.value}
