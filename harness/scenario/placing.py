"""What the variables, paths and images of a scenario stand for on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.errors import ImageError, UsageError
from harness.yaml_tree import Place, Problem, quoted

_SCHEMES = ("builtin", "hf", "modelscope")
"""What stands before the colon of a source that is no folder."""
_VARIABLE = re.compile(r"\$\{([^}]*)\}?")


class UnsetVariable(UsageError):
    """A variable is written as it ought to be, and has no value on this machine."""


class UnsetProblem(Problem):
    """A place whose variable has no value on this machine."""


def problem(place: Place, label: str, error: UsageError) -> Problem:
    """The problem of a place that stands for nothing here."""
    kind = UnsetProblem if isinstance(error, UnsetVariable) else Problem
    return kind(place, f"{label}: {error}")


def expanded(text: str) -> str:
    """The text with every ``${NAME}`` replaced by the value of that environment variable.

    Raises:
        UnsetVariable: a variable is not set.
        UsageError: a variable is not written as one.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if not match.group().endswith("}") or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"found {quoted(match.group())}; allowed is ${{NAME}} with letters, digits and '_' in the name. "
                "Fix the name, or the brackets."
            )
        if not os.environ.get(name):
            state = "empty" if name in os.environ else "not set"
            raise UnsetVariable(
                f"the environment variable {name} is {state}; allowed is the value that stands for ${{{name}}}. "
                f"Set it before the command: export {name}=VALUE"
            )
        return os.environ[name]

    return _VARIABLE.sub(value_of, text)


def names_a_folder(source: str) -> bool:
    """Whether a model's source is a folder, and neither an embedded model nor a repository of a hub.

    >>> names_a_folder("../models/sdxl"), names_a_folder("builtin:tiny-deepgen"), names_a_folder("hf:org/name@main")
    (True, False, False)
    """
    return source.partition(":")[0] not in _SCHEMES


def located(source: str, folder: Path, label: str = "model.source") -> tuple[str, str]:
    """A model's source with a folder by its absolute path, and what ought to be known of how it was found, or no text.

    A folder is relative to ``folder``, that of the scenario file; where only the current folder has it, it is that one.
    """
    if not names_a_folder(source) or "\0" in source:
        return source, ""
    # Unlike those of Path, these functions raise for no name, however long, and for no link.
    written = os.path.expanduser(source)  # noqa: PTH111
    beside, here = (os.path.realpath(base / written) for base in (folder, Path.cwd()))
    if beside == here or not os.path.isdir(here):  # noqa: PTH112
        return beside, ""
    if os.path.isdir(beside):  # noqa: PTH112
        return beside, (
            f"{label}: {quoted(source)} is {beside}, relative to the scenario file; {here}, relative to the "
            "current folder, is another and is not used"
        )
    right = os.path.relpath(here, os.path.realpath(folder))
    return here, (
        f"{label}: {quoted(source)} is {here}, relative to the current folder, because there is no {beside}, "
        f"relative to the scenario file. Write {right!r}, which holds wherever the command is given"
    )


def place(path: Path) -> str:
    """A scenario file below the nearest folder that is called scenarios, so that it holds on every machine.

    >>> place(Path("/home/ada/scenarios/release/text.yaml")), place(Path("text.yaml").absolute())
    ('scenarios/release/text.yaml', 'scenarios/text.yaml')
    """
    folders = path.absolute().parts[:-1]
    if "scenarios" not in folders:
        return f"scenarios/{path.name}"
    return "/".join(path.absolute().parts[len(folders) - 1 - folders[::-1].index("scenarios") :])


def existing_file(written: str, folder: Path, what: str) -> Path:
    """A file by its path as it is written, relative to the folder of the scenario file; links are not followed.

    ``what`` is allowed there, such as ``a picture``.

    Raises:
        UsageError: it is missing.
    """
    file = folder / os.path.expanduser(expanded(written))  # noqa: PTH111
    try:
        there = file.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise UsageError(
            f"there is no file {quoted(written)}, which is {str(file)!r}; allowed is {what}, relative to the folder of "
            "the scenario file. Check the path and its variables."
        )
    return file.absolute()


def existing_picture(written: str, folder: Path) -> Path:
    """A picture by its file as it is written, read once to know that it can be read.

    Raises:
        UsageError: it is missing, or not a picture.
    """
    picture = existing_file(written, folder, "a picture").resolve()
    check_picture(picture, written)
    return picture


def check_picture(picture: Path, written: str) -> None:
    """Read a picture once.

    Raises:
        UsageError: it is no picture.
    """
    from harness import images

    try:
        images.read_input_picture(picture)
    except ImageError as error:
        raise UsageError(f"{quoted(written)} cannot be used: {error}") from error
