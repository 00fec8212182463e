"""Stored records give the stored report, byte for byte.

After a change of what reports say, ``python -m tests.render.test_golden`` writes the report anew; read its difference.
The records are written anew only with ``--records``, after a change of their format.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import store
from harness.jobs.release import write_release
from harness.records import Release
from tests.render import sample_reports
from tests.render.test_release import release_of

if TYPE_CHECKING:
    import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
JOBS = GOLDEN / "jobs"
REPORT = GOLDEN / "report"
RECORDS = REPORT / "report.json"
BUILDERS = {"error": sample_reports.error, "within": sample_reports.within_limits}


def made(out: Path) -> dict[str, bytes]:
    """Every file of the report of the stored records."""
    release = store.load(Release, RECORDS)
    write_release(release, {each.job: JOBS / each.job for each in release.jobs}, out)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_stored_records_give_the_stored_report(tmp_path: Path) -> None:
    found = made(tmp_path / "report")
    assert found.keys() == {path.name for path in REPORT.iterdir()}
    differing = [name for name, content in found.items() if content != (REPORT / name).read_bytes()]
    assert differing == [], "read the difference after: python -m tests.render.test_golden"


def test_another_number_in_a_record_is_another_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "release.json"
    text = RECORDS.read_text(encoding="utf-8")
    release = store.load(Release, RECORDS)
    value = next(each.mean for each in release.aggregates if each.metric == "ssim")
    changed.write_text(text.replace(f'"mean": {value}', '"mean": 0.123456'), encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "RECORDS", changed)
    found = made(tmp_path / "report")
    differing = {name for name, content in found.items() if content != (REPORT / name).read_bytes()}
    assert differing >= {"index.html", "index.zh.html", "report.md", "report.zh.md", "report.json", "manifest.json"}


def main() -> None:
    """Write the report anew, and with ``--records`` its records too."""
    if "--records" in sys.argv:
        shutil.rmtree(JOBS, ignore_errors=True)
        JOBS.mkdir(parents=True)
        REPORT.mkdir(exist_ok=True)
        release, _ = release_of(JOBS, BUILDERS)
        store.save(release, RECORDS)
    made(REPORT)


if __name__ == "__main__":
    main()
