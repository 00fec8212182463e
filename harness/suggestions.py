"""Commands that messages suggest, worded so that they work when pasted where the user stands."""

from __future__ import annotations

import shlex
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_CONSTRAINTS = Path("constraints/ci.txt")


def from_here(path: Path) -> str:
    """A path as a word of a command line: relative where it lies below the current folder, else absolute.

    >>> from_here(Path("my port.yaml"))
    "'my port.yaml'"
    """
    whole = path.absolute()
    here = Path.cwd()
    return shlex.quote(str(whole.relative_to(here) if whole.is_relative_to(here) else whole))


def install(extra: str) -> str:
    """The command that installs an extra: from the checkout with its tested versions, else by the package's name."""
    constraints = _PROJECT / _CONSTRAINTS
    if not constraints.is_file():
        return f"pip install 'accuracy-harness[{extra}]'"
    project = "." if Path.cwd() == _PROJECT else str(_PROJECT)
    return f"pip install -c {from_here(constraints)} {shlex.quote(f'{project}[{extra}]')}"
