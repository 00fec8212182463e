"""Stored results as tables: the numbers of the records, from every kind of file, and nothing from any other."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import harness
from harness import store
from harness.errors import RecordError, UsageError
from harness.images import write_picture
from harness.jobs import compare, diff, report
from harness.results import COLUMNS
from tests.command_line import ROOT, environment, patience_seconds
from tests.compare.stored_runs import job_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job folder with the comparisons of two arms and a report."""
    folder = job_folder(tmp_path / "job", ("steady", "AAA AAA"), ("drifting", "AAB AAB"))
    files = [compare.compare(folder / arm, folder / arm, None)[0] for arm in ("steady", "drifting")]
    report.report(files, ["json", "csv"], folder / "report")
    return folder


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """What ``harness diff --out`` writes of two folders, with a pair that cannot be measured and one that is alone."""
    rng = np.random.default_rng(0)
    for side in ("mine", "theirs"):
        (tmp_path / side).mkdir()
        for name in ("cup", "cat"):
            write_picture(tmp_path / side / f"{name}.png", rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    (tmp_path / "mine" / "cat.png").write_bytes(b"damaged")
    write_picture(tmp_path / "theirs" / "sky.png", rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    out = tmp_path / "results.jsonl"
    reading = diff.Reading(jobs=1)
    bounds = diff.Bounds(at_least=["psnr_db=30"])
    diff.diff(tmp_path / "mine", tmp_path / "theirs", bounds=bounds, reading=reading, output=diff.Output(lines=out))
    return out


def test_a_job_folder_is_one_row_for_each_pair_and_metric(job: Path) -> None:
    table = harness.load_results(job)
    comparisons = [store.load_comparison(path) for path in sorted(job.glob("comparison-*.json"))]
    pairs = [pair for each in comparisons for pair in each.pairs]
    assert tuple(table.columns) == COLUMNS
    assert len(table) == sum(len(pair.measurements) for pair in pairs) > 20
    measured = [each for pair in pairs for each in pair.measurements]
    expected = [math.nan if each.value is None else each.value for each in measured]
    np.testing.assert_array_equal(table["value"].to_numpy(), expected)
    assert list(table["metric"]) == [each.metric for each in measured]
    assert table["value"].dtype == np.float64
    assert set(table["arm"]) == {"steady", "drifting"}


def test_a_report_and_its_comparisons_have_the_same_rows(job: Path) -> None:
    whole = harness.load_results(job)
    report = harness.load_results(str(job / "report" / "report.json"))
    pd.testing.assert_frame_equal(
        report.sort_values(["arm", "actual", "metric", "subject"], ignore_index=True),
        whole.sort_values(["arm", "actual", "metric", "subject"], ignore_index=True),
    )
    one = harness.load_results(job / "comparison-repeat-drifting.json")
    assert set(one["arm"]) == {"drifting"}
    assert len(one) == (whole["arm"] == "drifting").sum()


def test_it_has_the_numbers_of_the_csv_file(job: Path) -> None:
    written = pd.read_csv(job / "report" / "metrics.csv")
    table = harness.load_results(job / "report" / "report.json")
    numbers = pd.to_numeric(written["value"], errors="coerce")
    np.testing.assert_array_equal(table["value"].to_numpy(), numbers.to_numpy())
    for column in ("arm", "case", "seed", "metric", "subject", "spec"):
        assert list(table[column]) == list(written[column])


def test_lines_of_diff_have_names_verdicts_and_what_was_not_measured(lines: Path) -> None:
    table = harness.load_results(lines)
    judged = table[table["metric"] == "psnr_db"].set_index("actual")
    assert judged.loc["cup.png", "verdict"] == "drift"
    assert judged.loc["cup.png", "value"] < 30
    unmeasured = table[table["metric"].isna()].set_index("actual")
    assert set(unmeasured.index) == {"cat.png", "sky.png"}
    assert "not a picture" in unmeasured.loc["cat.png", "problem"]
    assert set(unmeasured["verdict"]) == {"error"}
    assert unmeasured["value"].isna().all()
    assert table["seed"].isna().all()


def test_lines_are_known_without_their_ending(lines: Path) -> None:
    other = lines.with_suffix(".json")
    lines.rename(other)
    assert len(harness.load_results(other)) > 5


def test_an_empty_file_of_lines_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    table = harness.load_results(tmp_path / "none.jsonl")
    assert (len(table), tuple(table.columns)) == (0, COLUMNS)


def test_what_holds_no_results_is_refused(job: Path, lines: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder; give a job folder"):
        harness.load_results(tmp_path / "nothing")
    with pytest.raises(RecordError, match="folder of one arm; give the job's folder"):
        harness.load_results(job / "steady")
    with pytest.raises(RecordError, match="holds no comparison"):
        harness.load_results(tmp_path / "mine")
    with pytest.raises(RecordError, match="not a Comparison"):
        harness.load_results(job / "job.json")
    first = lines.read_text(encoding="utf-8").splitlines()[0]
    lines.write_text(f'{first}\n{{"presence": 1}}\n', encoding="utf-8")
    with pytest.raises(RecordError, match=r"results.jsonl, line 2 is not"):
        harness.load_results(lines)
    for name, content in (
        ("cut.json", b'{"schema_version": 1, '),
        ("bytes.json", b"\xff\xfe\x00"),
        ("empty.json", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordError, match=name):
            harness.load_results(tmp_path / name)


def test_without_pandas_the_message_says_what_to_install(job: Path, tmp_path: Path) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir()
    (forbidden / "pandas.py").write_text("raise ImportError('planted')\n", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(forbidden)!r}); import harness\n"
    code += f"try:\n    harness.load_results({str(job)!r})\nexcept harness.HarnessError as error:\n    print(error)\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=True,
    )
    assert "a table needs pandas, which is not installed here; pip install" in done.stdout
    assert "[tables]" in done.stdout
    assert "metrics.csv" in done.stdout


def test_pandas_is_an_extra_of_its_own() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not [each for each in project["dependencies"] if each.startswith("pandas")]
    assert [each.partition(">")[0] for each in project["optional-dependencies"]["tables"]] == ["pandas"]


def test_every_row_is_json_as_tools_want_it(lines: Path) -> None:
    rows = json.loads(str(harness.load_results(lines).to_json(orient="records")))
    assert {row["metric"] for row in rows} >= {"psnr_db", None}
