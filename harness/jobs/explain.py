"""Say where and why a candidate is wrong: the verb explain."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness import plugins, scenario, store
from harness.compare.comparability import argument_differences
from harness.errors import UnknownName, UsageError
from harness.explain.verdict import explained, proven, unproven, with_operators, worth_a_swap
from harness.files import write_text
from harness.jobs.arm_setups import devices_of, models_of, setups_of
from harness.jobs.failing_case import failing_case
from harness.language import require_known, spoken
from harness.records import CaseKey, read_record, to_json
from harness.records.explanation import EXPLANATION_FILE, Trouble
from harness.records.investigation import (
    FORCED_FILE,
    OPERATORS_FILE,
    SWAPPED_FILE,
    TENSORS_FILE,
    TRACE_FILE,
    TRIED_FILE,
    Forced,
    Investigation,
    InvestigationTask,
    OperatorCheck,
    Place,
    Swapped,
    Trace,
    Tried,
)
from harness.run.investigations import investigate, require_modules
from harness.run.sources import NO_COMMANDS, Permission
from harness.run.supervisor import Order
from harness.suggestions import from_here

if TYPE_CHECKING:
    from harness.contracts import ExplanationRenderer
    from harness.records import Arm, Plan
    from harness.records.explanation import Culprit, Explanation
    from harness.scenario import LoadedScenario

PAGE_FILE = "index.html"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be explained."""

    path: Path
    """Scenario file."""
    arm: str
    """Candidate."""
    against: str | None = None
    """Reference; None to hold modules against their own formulas alone."""
    case: str | None = None
    """Case; the scenario's first where it is None."""
    seed: int | None = None
    """Seed; the scenario's first where it is None."""
    steps: list[str] = field(default_factory=lambda: ["first", "middle", "last"])
    """Steps at which the inside of the denoiser is traced."""
    most_bytes: int = 8 << 30
    """Largest size of the trace."""
    proof: bool = True
    """Whether pictures with swapped values are made."""
    keep_trace: bool = False
    """Whether the reference's values stay in the folder."""
    language: str = "en"
    """Language of the page."""
    runs_folder: Path = Path("runs")
    """Where the folder is made."""
    permission: Permission = NO_COMMANDS
    """Which functions and environments of scenarios may run."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What explaining gave."""

    folder: Path
    """Folder of the record and the page."""
    page: Path
    """The page."""
    explanation: Explanation
    """The record."""


def completed(question: Question) -> Question:
    """The question with what a job says where its path is that of a job's folder; what was given stays.

    Raises:
        UsageError: no arm was named, and there is no job that does.
    """
    if not question.path.is_dir():
        if not question.arm:
            raise UsageError(
                f"--arm: found none; {question.path} is a scenario, so say which arm may be wrong: --arm ARM. Only the "
                "folder of a job, such as runs/JOB, knows it."
            )
        return question
    failing = failing_case(question.path)
    return replace(
        question,
        path=failing.path,
        arm=question.arm or failing.arm,
        against=question.against or failing.against,
        case=question.case or failing.key.case,
        seed=failing.key.seed if question.seed is None else question.seed,
    )


def explain(question: Question) -> Explained:
    """Trace the reference, force the candidate with it, name the place and the causes, and prove it by swaps.

    Raises:
        UsageError: the arms or the model cannot be looked into.
    """
    require_known(question.language)
    loaded = scenario.load(question.path)
    candidate = _arm(loaded, question.arm)
    reference = _arm(loaded, question.against) if question.against else None
    key = _key(loaded, question)
    with tempfile.TemporaryDirectory(prefix="harness-explain-") as scratch:
        folder = store.new_job_folder(question.runs_folder, f"{loaded.scenario.name}-explain")
        orders = _orders(loaded, question, key, candidate, reference, Path(scratch), folder)
        explanation = _measured(question, key, orders, folder)
    explanation = explanation.model_copy(update={"commands": _commands(question, key)})
    if not question.keep_trace:
        _forget_values(folder)
    write_text(folder / EXPLANATION_FILE, to_json(explanation))
    page = write_page(explanation, folder, question.language)
    return Explained(folder=folder, page=page, explanation=explanation)


def write_page(explanation: Explanation, folder: Path, language: str) -> Path:
    """Write the page of an explanation in a language."""
    with spoken(language):
        renderer = cast("ExplanationRenderer", plugins.load("render", "html"))
        text = renderer.render_explanation(explanation)
    write_text(folder / PAGE_FILE, text)
    return folder / PAGE_FILE


@dataclass(frozen=True, kw_only=True)
class _Orders:
    candidate: Order
    reference: Order | None


def _measured(question: Question, key: CaseKey, orders: _Orders, folder: Path) -> Explanation:
    """From the first picture to the proof."""
    trace = _traced(question, key, orders.reference, folder / "reference")
    forced = _forced(question, key, orders, folder)
    scenario_name, reference = orders.candidate.plan.scenario, orders.reference
    explanation = unproven(explained(scenario_name, key, trace, forced))
    if explanation.trouble is Trouble.NOT_REPEATABLE:
        return with_operators(explanation, _operators(key, orders.candidate, None, folder))
    if reference is None or not explanation.culprits or explanation.trouble is not Trouble.PLACE:
        return explanation
    swap = question.proof and worth_a_swap(explanation)
    tried = _tried(key, reference, explanation, folder, swap=swap)
    explanation = unproven(explained(scenario_name, key, trace, forced, tried))
    if explanation.devices[explanation.arm] != "cpu":  # against itself no operator of the CPU can be wrong
        first = explanation.culprits[0]
        explanation = with_operators(explanation, _operators(key, orders.candidate, first, folder))
    if not swap:
        return explanation
    patched = _patched(key, orders.candidate, explanation, folder)
    return proven(explanation, patched, read_record(Swapped, folder / "injected" / SWAPPED_FILE))


def _traced(question: Question, key: CaseKey, reference: Order | None, folder: Path) -> Trace | None:
    if reference is None:
        return None
    task = Investigation(
        task=InvestigationTask.TRACE,
        key=key,
        folder=str(folder),
        steps=question.steps,
        most_bytes=question.most_bytes,
    )
    investigate(reference, task)
    return read_record(Trace, folder / TRACE_FILE)


def _forced(question: Question, key: CaseKey, orders: _Orders, folder: Path) -> Forced:
    task = Investigation(
        task=InvestigationTask.FORCE,
        key=key,
        folder=str(folder / "candidate"),
        trace_folder=str(folder / "reference") if orders.reference else None,
        steps=question.steps,
    )
    investigate(orders.candidate, task)
    return read_record(Forced, folder / "candidate" / FORCED_FILE)


def _tried(key: CaseKey, reference: Order, explanation: Explanation, folder: Path, *, swap: bool) -> Tried:
    """Known causes tried in the reference; beside that its values for a swap, and the candidate's put into it."""
    places = [culprit.place for culprit in explanation.culprits]
    first = explanation.culprits[0]
    own = [culprit.place for culprit in explanation.culprits if culprit.path == first.path]
    orders = [_swap(InvestigationTask.TRY, key, folder, [first.place], "tried", "candidate", first.path)]
    if swap:
        orders.append(_swap(InvestigationTask.KEEP, key, folder, places, "values-reference", None))
        orders.append(_swap(InvestigationTask.SWAP, key, folder, own, "injected", "candidate"))
    investigate(reference, *orders)
    return read_record(Tried, folder / "tried" / TRIED_FILE)


def _operators(key: CaseKey, candidate: Order, culprit: Culprit | None, folder: Path) -> OperatorCheck:
    """The operators of the module that is wrong, or of all modules where none is and the pictures differ."""
    places, path = ([culprit.place], culprit.path) if culprit else ([], "")
    investigate(candidate, _swap(InvestigationTask.OPERATORS, key, folder, places, "operators", None, path))
    return read_record(OperatorCheck, folder / "operators" / OPERATORS_FILE)


def _patched(key: CaseKey, candidate: Order, explanation: Explanation, folder: Path) -> Swapped:
    """The candidate with the reference's values at the places that were named."""
    places = [culprit.place for culprit in explanation.culprits]
    investigate(candidate, _swap(InvestigationTask.SWAP, key, folder, places, "patched", "values-reference"))
    return read_record(Swapped, folder / "patched" / SWAPPED_FILE)


def _swap(  # noqa: PLR0913, PLR0917 - the parts of an order
    task: InvestigationTask,
    key: CaseKey,
    folder: Path,
    places: list[Place],
    name: str,
    values: str | None,
    path: str = "",
) -> Investigation:
    return Investigation(
        task=task,
        key=key,
        folder=str(folder / name),
        trace_folder=str(folder / "reference"),
        places=places,
        values_folder=str(folder / values) if values else None,
        path=path,
    )


def _orders(  # noqa: PLR0913, PLR0917 - what the arms are made of
    loaded: LoadedScenario,
    question: Question,
    key: CaseKey,
    candidate: Arm,
    reference: Arm | None,
    scratch: Path,
    folder: Path,
) -> _Orders:
    """Both arms with the candidate's type, because modules of another type have other floors."""
    plan = _plan(loaded, candidate, key)
    require_modules(plan)
    other = None
    if reference is not None:
        other = _plan(loaded, reference.model_copy(update={"dtype": plan.model.dtype}), key)
        _require_alike(plan, other)
    plans = [plan, other] if other else [plan]
    setups = setups_of(loaded, plans, scratch, question.permission)
    devices = devices_of(plans, setups, scratch, {})
    models = models_of(loaded, plans, scratch, question.permission)

    def order(arm_plan: Plan) -> Order:
        return Order(
            plan=arm_plan,
            device=devices[arm_plan.arm.name],
            model=models[arm_plan.arm.name],
            setup=setups[arm_plan.arm.name],
            input_images=loaded.input_images,
            argument_images=loaded.argument_images,
            folder=(folder / arm_plan.arm.name).absolute(),
            run_id=f"{folder.name}/{arm_plan.arm.name}",
        )

    return _Orders(candidate=order(plan), reference=order(other) if other else None)


def _require_alike(plan: Plan, other: Plan) -> None:
    """Refuse arms that are asked different questions.

    Raises:
        UsageError: says in which arguments.
    """
    if differing := argument_differences(plan, other):
        raise UsageError(
            f"{plan.arm.name} and {other.arm.name} are not called alike: {'; '.join(map(str, differing))}. explain "
            "needs the same question on both sides. Give both arms the same arguments."
        )


def _plan(loaded: LoadedScenario, arm: Arm, key: CaseKey) -> Plan:
    return scenario.plan(loaded, arm, cases=[key.case], seeds=[key.seed], repeats=1, processes=1)


def _arm(loaded: LoadedScenario, name: str) -> Arm:
    arms = {arm.name: arm for arm in loaded.scenario.arms}
    if name not in arms:
        raise UnknownName(f"arm of {loaded.scenario.name}", name, arms)
    return arms[name]


def _key(loaded: LoadedScenario, question: Question) -> CaseKey:
    cases = [case.id for case in loaded.scenario.cases]
    if loaded.scenario.frames is not None:
        raise UsageError(
            f"{from_here(loaded.path)}: found frames; explain looks into calls that make pictures. Give a scenario "
            "without frames."
        )
    if question.case is not None and question.case not in cases:
        raise UnknownName(f"case of {loaded.scenario.name}", question.case, cases)
    seed = loaded.scenario.seeds[0] if question.seed is None else question.seed
    if question.arm == question.against:
        raise UsageError(
            f"--against: found {question.against!r}, the arm itself; allowed is another arm of {loaded.scenario.name}."
        )
    return CaseKey(case=question.case or cases[0], seed=seed)


def _forget_values(folder: Path) -> None:
    """Remove the tensors, which are large; records, logs and the page stay."""
    for path in folder.rglob(TENSORS_FILE):
        path.unlink()
    (folder / "reference" / TRACE_FILE).unlink(missing_ok=True)  # without its values it is no trace
    for name in ("values-reference",):
        shutil.rmtree(folder / name, ignore_errors=True)


def _commands(question: Question, key: CaseKey) -> list[str]:
    """What asks the same again and keeps the values, and what compares the pictures."""
    chosen = f"--case {key.case} --seed {key.seed}"
    path = from_here(question.path)
    against = f" --against {question.against}" if question.against else ""
    return [
        f"harness explain {path} --arm {question.arm}{against} {chosen} --keep-trace",
        f"harness check {path} --arm {question.arm} {chosen}",
    ]
