"""What a record says of the machine and its packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.host import describe_host

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_package_that_changes_prompts_is_recorded_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wan's pipeline works with and without ftfy, and reads a prompt with full-width letters differently."""
    device = "a card"
    before = describe_host()
    for name in ("ftfy", "a-package-of-no-concern"):
        metadata = tmp_path / f"{name}-1.2.3.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    now = describe_host()
    assert now.packages == before.packages | {"ftfy": "1.2.3"}
    assert now.digest(device) != before.digest(device)
