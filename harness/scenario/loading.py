"""Reading a scenario file: the tree, what is wrong with it, and what its variables, paths and pictures mean here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import UsageError
from harness.records import Case, Scenario, Task
from harness.records.arguments import images_in
from harness.scenario.argument_rules import (
    argument_images,
    argument_nodes,
    argument_problems,
    refusal_of_argument,
)
from harness.scenario.loaded import LoadedScenario
from harness.scenario.messages import allowed_by, definition_of, label_of, validated
from harness.scenario.model_rules import adapter_problems, refusal_of_size, written_models
from harness.scenario.picture_rules import picture_problems, unknown_calls
from harness.scenario.placing import (
    UnsetProblem,
    check_picture,
    existing_file,
    existing_picture,
    expanded,
    located,
    problem,
)
from harness.scenario.rules import (
    arm_problems,
    blank_problems,
    calibration_problems,
    format_problems,
    limit_problems,
    name_problems,
    repetition_problems,
    score_problems,
    translation_problems,
    valid_records,
    waiver_problems,
)
from harness.yaml_tree import Node, Problem, quoted, read_tree, refusal, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from harness.scenario.model_rules import WrittenKey


def load(path: Path) -> LoadedScenario:
    """Read and check a scenario file; loads no model and imports no torch.

    Raises:
        ScenarioError: the file breaks its contract; one line per problem, sorted by place, each with file, line,
            column, what was found, what is allowed and the next step.
    """
    root, scenario, problems = _read(path)
    here = _sources_and_files(root, path)
    pictures, picture_problems = _input_images(root, path)
    of_arguments, image_problems = _argument_images(root, path)
    problems += here.problems + picture_problems + image_problems
    problems += [] if problems else unknown_calls(root, here.sources)
    if problems or scenario is None:
        raise refusal(path, problems)
    return LoadedScenario(
        scenario=scenario,
        path=path.absolute(),
        digest=scenario.digest,
        sources=here.sources,
        files=here.files,
        input_images=pictures,
        argument_images=of_arguments,
        notes=tuple(here.notes),
    )


def checked(path: Path) -> tuple[Scenario, list[str]]:
    """A scenario that passed every check, and sentences on what this machine makes of its variables and paths.

    A variable stands for what only the machine that runs the scenario knows, so where it is not set the place it
    stands in is not checked, and that is said.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    root, scenario, problems = _read(path)
    here = _sources_and_files(root, path)
    on_this_machine = [*here.problems, *_input_images(root, path)[1], *_argument_images(root, path)[1]]
    unset = [problem for problem in on_this_machine if isinstance(problem, UnsetProblem)]
    problems += [problem for problem in on_this_machine if not isinstance(problem, UnsetProblem)]
    problems += [] if problems else unknown_calls(root, here.sources)
    if problems or scenario is None:
        raise refusal(path, problems)
    not_checked = [f"{problem.message}. What it stands for was not checked" for problem in unset]
    return scenario, [*here.notes, *not_checked]


def written(path: Path) -> Scenario:
    """A scenario as its file has it, checked but for variables and pictures, which only a machine that runs it needs.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    _, scenario, problems = _read(path)
    if problems or scenario is None:
        raise refusal(path, problems)
    return scenario


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
        check_picture(input_image, str(input_image))
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
        sources={scenario.model.source: scenario.model.source},
        input_images={scenario.cases[0].id: input_image.absolute()} if input_image else {},
        argument_images={written: existing_picture(written, Path.cwd()) for written in files},
    )


# --- sources and pictures --------------------------------------------------------------------------------------------


@dataclass
class _Here:
    """What this machine makes of the sources and files of a scenario."""

    sources: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def _sources_and_files(root: Node, path: Path) -> _Here:
    """Sources of models by what is written, and the files that arms are loaded or run with."""
    here = _Here()
    for model in written_models(root):
        for name, written in _files_of_load(model.own("load")):
            _add_file(here, path, written, name)
        if (key := model.own("source")) and isinstance(key.node.value, str):
            _add_source(here, path, key.label, key.node)
    arms = root.child("arms")
    for index, arm in enumerate(arms.entries if arms else []):
        if (node := arm.child("python")) and isinstance(node.value, str):
            _add_file(here, path, node, f"arms[{index}].python", "a Python interpreter")
    here.notes = list(dict.fromkeys(here.notes))
    return here


def _files_of_load(load: WrittenKey | None) -> Iterator[tuple[str, Node]]:
    """Labels and nodes of the files that a model is loaded with."""
    lora = load.node.child("lora") if load else None
    for index, entry in enumerate(lora.entries if lora else []):
        if load and (file := entry.child("file")) and isinstance(file.value, str):
            yield f"{load.label}.lora[{index}].file", file
    function = load.node.text("prepare") if load else None
    file_of_function = (function or "").rpartition(":")[0]  # without one the validation has refused it
    if load and file_of_function and (prepare := load.node.child("prepare")):
        yield f"{load.label}.prepare", replace(prepare, value=file_of_function)


def _add_file(here: _Here, path: Path, node: Node, label: str, what: str = "a file") -> None:
    written = str(node.value)
    try:
        here.files[written] = existing_file(written, path.absolute().parent, what)
    except UsageError as error:
        here.problems.append(problem(node.place, label, error))


def _add_source(here: _Here, path: Path, label: str, node: Node) -> None:
    written = str(node.value)
    if not written.strip():
        message = f"{label}: found an empty text; allowed is a model. Write builtin:tiny-deepgen."
        here.problems.append(Problem(node.place, message))
        return
    try:
        here.sources[written], note = located(expanded(written), path.absolute().parent, label)
    except UsageError as error:
        here.problems.append(problem(node.place, label, error))
    else:
        here.notes += [note] if note else []


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
            problems.append(problem(node.place_of("input_image"), f"{label}.input_image", error))
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
    return existing_picture(case.input_image, folder)


def _argument_images(root: Node, path: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Absolute paths of the images among the arguments of the call, by their files as written, and what is wrong."""
    pictures: dict[str, Path] = {}
    problems: list[Problem] = []
    for label, node in argument_nodes(root):
        for name, written in argument_images(node):
            try:
                pictures[written] = existing_picture(written, path.absolute().parent)
            except UsageError as error:
                problems.append(problem(node.place_of(name), f"{label}.{name}", error))
    return pictures, problems
