"""Begin a project: the verb init."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

_STARTER = {
    "scenarios/example.yaml": "example.yaml",
    ".github/workflows/accuracy.yml": "github.yml",
    ".gitlab-ci.yml": "gitlab.yml",
}
"""Where the files of a new project go, and what they are called among the files of the package."""


def init(folder: Path) -> list[Path]:
    """Write an example scenario and two CI files that check every scenario; gives their paths.

    Raises:
        UsageError: one of the files is there already; nothing was written.
    """
    files = {folder / place: resources.files("harness") / "starter" / name for place, name in _STARTER.items()}
    if there := [str(path) for path in files if path.exists()]:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already and nothing is ever overwritten; "
            "nothing was written. Move it away, or give another folder."
        )
    for path, starter in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, starter.read_text(encoding="utf-8"))
    return list(files)
