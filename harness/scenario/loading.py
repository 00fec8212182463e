"""Reading a scenario file: the tree, what is wrong with it, and what its variables, paths and pictures mean here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import ImageError, UsageError
from harness.records import Case, Scenario, Task
from harness.records.arguments import images_in
from harness.scenario.argument_rules import (
    argument_images,
    argument_nodes,
    argument_problems,
    refusal_of_argument,
    unknown_arguments,
)
from harness.scenario.loaded import LoadedScenario
from harness.scenario.messages import allowed_by, definition_of, label_of, validated
from harness.scenario.picture_rules import picture_problems, unknown_count
from harness.scenario.rules import (
    adapter_problems,
    arm_problems,
    blank_problems,
    calibration_problems,
    format_problems,
    limit_problems,
    name_problems,
    refusal_of_size,
    repetition_problems,
    score_problems,
    translation_problems,
    valid_records,
    waiver_problems,
)
from harness.yaml_tree import Node, Place, Problem, quoted, read_tree, refusal, shown

if TYPE_CHECKING:
    from collections.abc import Collection


def load(path: Path) -> LoadedScenario:
    """Read and check a scenario file; loads no model and imports no torch.

    Raises:
        ScenarioError: the file breaks its contract; one line per problem, sorted by place, each with file, line,
            column, what was found, what is allowed and the next step.
    """
    root, scenario, problems = _read(path)
    source, notes, source_problems = _model_source(root, path)
    pictures, picture_problems = _input_images(root, path)
    of_arguments, image_problems = _argument_images(root, path)
    problems += source_problems + picture_problems + image_problems
    problems += [] if problems else [*unknown_arguments(root, source), *unknown_count(root, source)]
    if problems or scenario is None:
        raise refusal(path, problems)
    return LoadedScenario(
        scenario=scenario,
        path=path.absolute(),
        digest=scenario.digest,
        model_source=source,
        input_images=pictures,
        argument_images=of_arguments,
        notes=tuple(notes),
    )


def checked(path: Path) -> tuple[Scenario, list[str]]:
    """A scenario that passed every check, and sentences on what this machine makes of its variables and paths.

    A variable stands for what only the machine that runs the scenario knows, so where it is not set the place it
    stands in is not checked, and that is said.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    root, scenario, problems = _read(path)
    source, notes, source_problems = _model_source(root, path)
    on_this_machine = [*source_problems, *_input_images(root, path)[1], *_argument_images(root, path)[1]]
    unset = [problem for problem in on_this_machine if isinstance(problem, _UnsetProblem)]
    problems += [problem for problem in on_this_machine if not isinstance(problem, _UnsetProblem)]
    problems += [] if problems else [*unknown_arguments(root, source), *unknown_count(root, source)]
    if problems or scenario is None:
        raise refusal(path, problems)
    not_checked = [f"{problem.message}. What it stands for was not checked" for problem in unset]
    return scenario, [*notes, *not_checked]


def written(path: Path) -> Scenario:
    """A scenario as its file has it, checked but for variables and pictures, which only a machine that runs it needs.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    _, scenario, problems = _read(path)
    if problems or scenario is None:
        raise refusal(path, problems)
    return scenario


def names_a_folder(source: str) -> bool:
    """Whether a model's source is a folder, and neither an embedded model nor a repository of a hub.

    >>> names_a_folder("../models/sdxl"), names_a_folder("builtin:tiny-deepgen"), names_a_folder("hf:org/name@main")
    (True, False, False)
    """
    return source.partition(":")[0] not in _SCHEMES


def located(source: str, folder: Path) -> tuple[str, str]:
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
            f"model.source: {quoted(source)} is {beside}, relative to the scenario file; {here}, relative to the "
            "current folder, is another and is not used"
        )
    right = os.path.relpath(here, os.path.realpath(folder))
    return here, (
        f"model.source: {quoted(source)} is {here}, relative to the current folder, because there is no {beside}, "
        f"relative to the scenario file. Write {right!r}, which holds wherever the command is given"
    )


_SCHEMES = ("builtin", "hf", "modelscope")
"""What stands before the colon of a source that is no folder."""


def place(path: Path) -> str:
    """A scenario file below the nearest folder that is called scenarios, so that it holds on every machine.

    >>> place(Path("/home/ada/scenarios/release/text.yaml")), place(Path("text.yaml").absolute())
    ('scenarios/release/text.yaml', 'scenarios/text.yaml')
    """
    folders = path.absolute().parts[:-1]
    if "scenarios" not in folders:
        return f"scenarios/{path.name}"
    return "/".join(path.absolute().parts[len(folders) - 1 - folders[::-1].index("scenarios") :])


def _read(path: Path) -> tuple[Node, Scenario | None, list[Problem]]:
    """The file, the scenario that it holds, and everything in it that no machine could use."""
    root, problems = read_tree(path)
    scenario, refused = validated(root)
    problems += refused
    problems += [*name_problems(root, path), *blank_problems(root), *repetition_problems(root)]
    problems += [
        *argument_problems(root),
        *arm_problems(root),
        *adapter_problems(root),
        *picture_problems(root),
        *limit_problems(root),
        *waiver_problems(root),
    ]
    problems += [
        *calibration_problems(root),
        *score_problems(root),
        *translation_problems(root),
        *format_problems(root),
    ]
    return root, scenario, problems


def of_options(values: dict[str, Any], input_image: Path | None) -> LoadedScenario:
    """A scenario of one case from the options of a command line, checked like a file.

    Raises:
        UsageError: an option is out of its range, or the picture cannot be read.
    """
    try:
        scenario = Scenario.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        allowed = allowed_by(definition_of(fault["loc"]))
        raise UsageError(f"--{label_of(fault['loc'])}: found {shown(fault['input'])}; allowed is {allowed}.") from error
    if input_image is not None:
        _check_picture(input_image, str(input_image))
    for key, pixels in (("width", scenario.width), ("height", scenario.height)):
        if refused := refusal_of_size(scenario.model.adapter, pixels):
            raise UsageError(f"--{key}: found the number {pixels}; {refused}")
    for name in scenario.arguments:
        if refused := refusal_of_argument(scenario.model.adapter, name):
            raise UsageError(f"--arguments: found {name}; {refused}.")
    files = [written for value in scenario.arguments.values() for written in images_in(value)]
    return LoadedScenario(
        scenario=scenario,
        path=Path.cwd(),
        digest=scenario.digest,
        model_source=scenario.model.source,
        input_images={scenario.cases[0].id: input_image.absolute()} if input_image else {},
        argument_images={written: _existing_picture(written, Path.cwd()) for written in files},
    )


# --- variables and pictures ------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$\{([^}]*)\}?")


class _UnsetVariable(UsageError):
    """A variable is written as it ought to be, and has no value on this machine."""


class _UnsetProblem(Problem):
    """A place whose variable has no value on this machine."""


def _problem(place: Place, label: str, error: UsageError) -> Problem:
    kind = _UnsetProblem if isinstance(error, _UnsetVariable) else Problem
    return kind(place, f"{label}: {error}")


def _expand(text: str) -> str:
    """Replace every ``${NAME}`` by the value of that environment variable.

    Raises:
        _UnsetVariable: a variable is not set.
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
            raise _UnsetVariable(
                f"the environment variable {name} is {state}; allowed is the value that stands for ${{{name}}}. "
                f"Set it before the command: export {name}=VALUE"
            )
        return os.environ[name]

    return _VARIABLE.sub(value_of, text)


def _model_source(root: Node, path: Path) -> tuple[str, list[str], list[Problem]]:
    """The source with variables expanded and its folder found, what ought to be known of that, and what is wrong."""
    model = root.child("model")
    written = model.text("source") if model else None
    if model is None or written is None:
        return "", [], []
    place = model.place_of("source")
    if not written.strip():
        problem = "model.source: found an empty text; allowed is a model. Write builtin:tiny-deepgen."
        return "", [], [Problem(place, problem)]
    try:
        source, note = located(_expand(written), path.absolute().parent)
    except UsageError as error:
        return "", [], [_problem(place, "model.source", error)]
    return source, [note] if note else [], []


def _input_images(root: Node, path: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Absolute picture paths by case, and what is wrong with them."""
    pictures: dict[str, Path] = {}
    problems: list[Problem] = []
    task = root.text("task")
    if task not in set(Task):
        return pictures, problems
    shared = [name for label, node in argument_nodes(root) if label == "arguments" for name, _ in argument_images(node)]
    for label, node, case in valid_records(root, "cases", Case):
        try:
            images = [name for name, value in case.arguments.items() if list(images_in(value))]
            picture = _input_image(case, Task(task), path.absolute().parent, {*shared, *images})
        except UsageError as error:
            problems.append(_problem(node.place_of("input_image"), f"{label}.input_image", error))
        else:
            pictures |= {case.id: picture} if picture else {}
    return pictures, problems


def _input_image(case: Case, task: Task, folder: Path, arguments: Collection[str]) -> Path | None:
    """The picture of a case, read once to know that it can be read; None where the task edits nothing.

    A case that has images among its arguments, named ``arguments``, needs no other.

    Raises:
        UsageError: it is missing, not wanted, or not a picture.
    """
    if not task.edits:
        if case.input_image is not None:
            observed = f"found {quoted(case.input_image)}"
            raise UsageError(f"{observed}; the task {task} allows none. Remove it, or choose a task that edits.")
        return None
    if case.input_image is None and arguments:
        return None
    if not case.input_image:
        raise UsageError(
            f"the key is missing or empty; the task {task} needs a picture for each case. "
            "Add a line 'input_image: FILE', relative to the scenario file."
        )
    return _existing_picture(case.input_image, folder)


def _existing_picture(written: str, folder: Path) -> Path:
    """A picture by its file as it is written, read once to know that it can be read.

    Raises:
        UsageError: it is missing, or not a picture.
    """
    picture = folder / _expand(written)
    try:
        there = picture.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise UsageError(
            f"there is no file {quoted(written)}, which is {str(picture)!r}; allowed is a "
            "picture, relative to the folder of the scenario file. Check the path and its variables."
        )
    _check_picture(picture.resolve(), written)
    return picture.resolve()


def _argument_images(root: Node, path: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Absolute paths of the images among the arguments of the call, by their files as written, and what is wrong."""
    pictures: dict[str, Path] = {}
    problems: list[Problem] = []
    for label, node in argument_nodes(root):
        for name, written in argument_images(node):
            try:
                pictures[written] = _existing_picture(written, path.absolute().parent)
            except UsageError as error:
                problems.append(_problem(node.place_of(name), f"{label}.{name}", error))
    return pictures, problems


def _check_picture(picture: Path, written: str) -> None:
    from harness import images

    try:
        images.read_input_picture(picture)
    except ImageError as error:
        raise UsageError(f"{quoted(written)} cannot be used: {error}") from error
