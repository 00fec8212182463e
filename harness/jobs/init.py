"""Begin a project: the verb init."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any

from harness.files import write_text
from harness.jobs.drafts import SCENARIOS, draft

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "accuracy-harness"
_REQUIREMENT = f"'{_NAME}[run]'"
"""What the starters tell pip to install, as it stands in them."""
_CHECK = "harness check scenarios/*.yaml --retries 1"
_IGNORED = ".gitignore"
_STARTERS = {
    ".github/workflows/accuracy.yml": "github.yml",
    ".gitlab-ci.yml": "gitlab.yml",
    ".gitcode/workflows/accuracy.yml": "gitcode.yml",
    _IGNORED: "gitignore",
}
"""Where the files of a new project go, and what they are called among the files of the package."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """What a new project has got."""

    scenario: Path
    """The scenario that was asked for."""
    written: list[Path]
    """Files that were written."""
    left: list[Path]
    """Files that were there already and are as they were."""
    notes: list[str]
    """What was not clear, what was left out, and what is left to do."""
    options: str
    """What ``harness check`` needs behind the scenario; empty where it needs nothing."""


def init(folder: Path, adapter: str | None = None, source: str | None = None) -> Started:
    """Write a scenario for a source, CI files that check every scenario, and a ``.gitignore``; overwrites nothing.

    Raises:
        UnknownName: there is no such adapter.
        UsageError: no scenario can be drafted for the source; nothing was written.
    """
    drafted = draft(folder, adapter, source)
    options = "--allow-command" if drafted.adapter == "command" else ""
    requirement, doubt = required(*_installed())
    scenario = folder / SCENARIOS / f"{drafted.name}.yaml"
    files = {scenario: drafted.text}
    for place, name in _STARTERS.items():
        text = (resources.files("harness") / "starter" / name).read_text(encoding="utf-8")
        text = text.replace(_REQUIREMENT, json.dumps(requirement) if requirement else _REQUIREMENT)
        files[folder / place] = text.replace(_CHECK, f"{_CHECK} {options}".rstrip())
    left = [path for path in files if path.exists()]
    for path, text in files.items():
        if path not in left:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    written = [path for path in files if path not in left]
    if drafted.input_size is not None:
        picture = scenario.with_name(f"{drafted.name}-input.png")
        (left if picture.exists() else written).append(picture)
        _draw(picture, drafted.input_size)
    notes = [*drafted.notes, *([doubt] if doubt else [])]
    return Started(
        scenario=scenario, written=written, left=left, notes=[*notes, *_not_ignored(folder, left)], options=options
    )


def required(direct_url: str | None, version: str) -> tuple[str, str]:
    """What pip on another machine installs to get this harness, and what is doubtful about it.

    Either may be no text: nothing is known that another machine could install, or nothing is doubtful. ``direct_url``
    is what pip wrote down about where the package came from (PEP 610), None where it was an index.

    >>> required(None, "1.2")[0]
    'accuracy-harness[run]==1.2'
    >>> git = '{"url": "https://example.org/h.git", "vcs_info": {"vcs": "git", "commit_id": "0123abcd"}}'
    >>> required(git, "1.2")[0]
    'accuracy-harness[run] @ git+https://example.org/h.git@0123abcd'
    """
    if direct_url is None:
        return f"{_NAME}[run]=={version}", ""
    origin: dict[str, Any] = json.loads(direct_url)
    url = str(origin["url"])
    if url.startswith("file:"):
        return "", (
            f"the harness was installed from {url}, which a CI machine does not have; ACCURACY_HARNESS in the CI files "
            f"is {_NAME}[run], a name for pip. Where its index has no such package, give the address of a wheel, "
            f"{_NAME}[run] @ git+https://..., or a path in the repository"
        )
    if repository := origin.get("vcs_info"):
        return f"{_NAME}[run] @ {repository['vcs']}+{url}@{repository['commit_id']}", ""
    return f"{_NAME}[run] @ {url}", ""


def _installed() -> tuple[str | None, str]:
    """Where pip had this package from, and its version; a checkout on the path was installed from nowhere."""
    try:
        package = distribution(_NAME)
    except PackageNotFoundError:
        return json.dumps({"url": "file:"}), ""
    return package.read_text("direct_url.json"), package.version


def _draw(path: Path, size: tuple[int, int]) -> None:
    """A picture to edit, with edges, flat parts and a slope, unless there is one."""
    import numpy as np

    from harness.images import write_picture

    if path.exists():
        return
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([255 * columns // width, 255 * rows // height, np.full_like(rows, 96)], axis=2)
    picture[height // 4 : height // 2, width // 4 : width // 2] = (220, 40, 40)
    picture[height // 2 : 3 * height // 4, width // 2 : 3 * width // 4] = (40, 60, 200)
    write_picture(path, picture.astype(np.uint8))


def _not_ignored(folder: Path, left: list[Path]) -> list[str]:
    """Lines that a ``.gitignore`` which was there already has not, in a sentence."""
    if (folder / _IGNORED) not in left:
        return []
    lines = (folder / _IGNORED).read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = (resources.files("harness") / "starter" / "gitignore").read_text(encoding="utf-8").splitlines()
    missing = [line for line in wanted if not line.startswith("#") and line not in lines]
    return (
        [f"{_IGNORED} lacks {', '.join(missing)}; what the harness makes is not meant to be committed"]
        if missing
        else []
    )
