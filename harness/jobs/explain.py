"""Say where and why a candidate is wrong: the verb explain."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness import plugins, scenario, store
from harness.errors import HarnessError, UsageError
from harness.explain.places import culprits, first_of_kinds, is_in_a_block
from harness.explain.snippets import snippets
from harness.explain.verdict import explained, proven, unproven, with_operators, worth_a_swap
from harness.files import write_text
from harness.jobs.failing_case import failing_case
from harness.jobs.picture_orders import arm_named, key_of, orders_of, plan_of
from harness.jobs.report import write_again
from harness.jobs.same_question import require_asked_alike, require_same_question
from harness.language import recordable, recorded, require_known, spoken
from harness.records import read_record, to_json
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
from harness.suggestions import from_here
from harness.trace_files import ENDING, read_records, read_trace_record, require_whole

if TYPE_CHECKING:
    from harness.contracts import ExplanationRenderer
    from harness.records import Arm, CaseKey, Plan
    from harness.records.explanation import Culprit, Explanation
    from harness.run.supervisor import Order
    from harness.scenario import LoadedScenario

PAGE_FILE = "index.html"
_ELSEWHERE = recordable(
    "the reference was traced on another machine; the same arm on this machine's CPU stands in for it where known "
    "causes are tried and values are swapped"
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be explained."""

    path: Path
    """Scenario file."""
    arm: str
    """Candidate."""
    against: str | None = None
    """Reference arm, or the trace file of another machine; None to hold modules against their own formulas alone."""
    case: str | None = None
    """Case; the scenario's first where it is None."""
    seed: int | None = None
    """Seed; the scenario's first where it is None."""
    steps: list[str] = field(default_factory=lambda: ["first", "middle", "last"])
    """Steps at which the inside of the denoiser is traced."""
    most_bytes: int = 8 << 30
    """Largest size of the trace; where all modules are more, whole blocks come first, then the inside of the first
    that is wrong."""
    inside: str = ""
    """Module whose inside alone is traced; empty for all."""
    proof: bool = True
    """Whether pictures with swapped values are made."""
    keep_trace: bool = False
    """Whether the reference's values stay in the folder."""
    language: str = "en"
    """Language of the page."""
    runs_folder: Path = Path("runs")
    """Where the folder is made."""
    job: Path | None = None
    """Folder of the job that is explained; its report is written again with the answer. None for a scenario."""
    permission: Permission = NO_COMMANDS
    """Which functions and environments of scenarios may run."""

    @property
    def trace(self) -> Path | None:
        """The reference's trace, where another machine made it."""
        return Path(self.against) if self.against and self.against.endswith(ENDING) else None


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
    if question.path.suffix == ENDING:
        return question
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
        job=question.path,
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
    if question.path.suffix == ENDING:
        return _of_script(question)
    loaded = scenario.load(question.path)
    key = _key(loaded, question)
    plans = _plans(loaded, question, key)
    with tempfile.TemporaryDirectory(prefix="harness-explain-") as scratch:
        folder = store.new_job_folder(question.runs_folder, f"{loaded.scenario.name}-explain")
        orders = _orders(loaded, plans, question.permission, Path(scratch), folder)
        explanation = _measured(question, key, orders, folder)
    notes = [*explanation.notes, *([recorded(_ELSEWHERE)] if question.trace else [])]
    explanation = explanation.model_copy(
        update={"commands": _commands(question, key), "snippets": snippets(explanation), "notes": notes}
    )
    if not question.keep_trace:
        _forget_values(folder)
    if question.job is not None:
        _keep_in(question.job, explanation, question.language)
    return _written(explanation, folder, question.language)


def _keep_in(job: Path, explanation: Explanation, language: str) -> None:
    """Put the answer into the folder of a job, and write its report again."""
    folder = job / store.EXPLANATION_FOLDER
    folder.mkdir(exist_ok=True)
    _written(explanation, folder, language)
    write_again(job, language)


def explain_drift(job: Path, language: str, permission: Permission) -> Explained | HarnessError:
    """Explain the worst case of a job that drifted, and put the answer into its report; else why that cannot be."""
    try:
        return explain(completed(Question(path=job, arm="", language=language, permission=permission)))
    except HarnessError as error:
        return error


def _of_script(question: Question) -> Explained:
    """What a trace file of a candidate says, which somebody's own script wrote.

    Raises:
        UsageError: it is a reference's, or arms are named.
    """
    if question.arm or question.against:
        raise UsageError(
            f"{question.path} is a trace file, which has no arms; found --arm or --against. Say harness explain "
            f"{question.path} alone, or name a scenario."
        )
    trace, forced = read_records(question.path)
    if forced is None:
        raise UsageError(
            f"{question.path} is a reference's trace, which says nothing of a candidate. In the candidate's script "
            f'write with harness.trace(pipe, against="{question.path}"): ..., or say harness explain SCENARIO --arm '
            f"ARM --against {question.path}"
        )
    folder = store.new_job_folder(question.runs_folder, f"{question.path.stem}-explain")
    explanation = explained(question.path.stem, None, trace, forced)
    command = f"harness explain {from_here(question.path)} --lang {question.language}"
    last = {"commands": [command], "snippets": snippets(explanation)}
    return _written(explanation.model_copy(update=last), folder, question.language)


def _written(explanation: Explanation, folder: Path, language: str) -> Explained:
    page = write_page(explanation, folder, language)
    write_text(folder / EXPLANATION_FILE, to_json(explanation))
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
    trace = _traced(question, key, orders.reference, folder)
    forced = _forced(question, key, orders, folder)
    if trace is not None and trace.blocks and question.trace is None:
        trace, forced = _finer(question, key, orders, folder, (trace, forced))
    scenario_name, reference = orders.candidate.plan.scenario, orders.reference
    explanation = unproven(explained(scenario_name, key, trace, forced))
    if explanation.trouble is Trouble.NOT_REPEATABLE:
        return with_operators(explanation, _operators(key, orders.candidate, None, folder))
    if reference is None or not explanation.culprits or explanation.trouble is not Trouble.PLACE:
        return explanation
    swap = question.proof and worth_a_swap(explanation)
    tried = _tried(key, reference, explanation, folder, swap=swap)
    explanation = unproven(explained(scenario_name, key, trace, forced, *tried))
    if explanation.devices[explanation.arm] != "cpu":  # against itself no operator of the CPU can be wrong
        first = explanation.culprits[0]
        explanation = with_operators(explanation, _operators(key, orders.candidate, first, folder))
    if not swap:
        return explanation
    patched = _patched(key, orders.candidate, explanation, folder)
    injected, untouched = (
        read_record(Swapped, folder / name / SWAPPED_FILE) for name in ("injected", "values-reference")
    )
    return proven(explanation, patched, injected, untouched)


def _finer(
    question: Question, key: CaseKey, orders: _Orders, folder: Path, coarse: tuple[Trace, Forced]
) -> tuple[Trace, Forced]:
    """Both sides with the inside of the block that is wrong; as they were where no block is, or none of its inside."""
    wrong = culprits(*coarse)
    if not wrong or not is_in_a_block(wrong[0].path):
        return coarse
    inside = replace(question, inside=wrong[0].path)
    trace, forced = _traced(inside, key, orders.reference, folder), _forced(inside, key, orders, folder)
    if trace is None or not culprits(trace, forced):  # the block as it was measured is all that is known
        whole = _traced(question, key, orders.reference, folder)
        return whole or coarse[0], _forced(question, key, orders, folder)
    return trace, forced


def _traced(question: Question, key: CaseKey, reference: Order | None, folder: Path) -> Trace | None:
    if question.trace is not None:
        (folder / TRACE_FILE).symlink_to(question.trace.resolve())
        return read_trace_record(question.trace)
    if reference is None:
        return None
    task = Investigation(
        task=InvestigationTask.TRACE,
        key=key,
        folder=str(folder),
        steps=question.steps,
        most_bytes=question.most_bytes,
        inside=question.inside,
    )
    investigate(reference, task)
    return read_trace_record(folder / TRACE_FILE)


def _forced(question: Question, key: CaseKey, orders: _Orders, folder: Path) -> Forced:
    task = Investigation(
        task=InvestigationTask.FORCE,
        key=key,
        folder=str(folder / "candidate"),
        trace_file=str(folder / TRACE_FILE) if orders.reference else None,
        steps=question.steps,
    )
    investigate(orders.candidate, task)
    return read_record(Forced, folder / "candidate" / FORCED_FILE)


def _tried(key: CaseKey, reference: Order, explanation: Explanation, folder: Path, *, swap: bool) -> list[Tried]:
    """Known causes tried in the reference; beside that its values for a swap, and the candidate's put into it."""
    places = [culprit.place for culprit in explanation.culprits]
    first = explanation.culprits[0]
    own = [culprit.place for culprit in explanation.culprits if culprit.path == first.path]
    kinds = first_of_kinds(explanation.culprits)
    orders = [
        _swap(InvestigationTask.TRY, key, folder, [culprit.place], f"tried-{number}", "candidate", culprit.path)
        for number, culprit in enumerate(kinds)
    ]
    if swap:
        orders.append(_swap(InvestigationTask.KEEP, key, folder, places, "values-reference", None))
        orders.append(_swap(InvestigationTask.SWAP, key, folder, own, "injected", "candidate"))
    investigate(reference, *orders)
    return [read_record(Tried, folder / f"tried-{number}" / TRIED_FILE) for number in range(len(kinds))]


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
        trace_file=str(folder / TRACE_FILE),
        places=places,
        values_folder=str(folder / values) if values else None,
        path=path,
    )


def _plans(loaded: LoadedScenario, question: Question, key: CaseKey) -> list[Plan]:
    """The candidate's plan, and the reference's where there is one, which has the candidate's type.

    Modules of another type have other floors. Where the reference's trace was made elsewhere, the same arm on this
    machine's CPU stands in for it.
    """
    plan = plan_of(loaded, arm_named(loaded, question.arm), key)
    require_modules(plan)
    if question.trace is not None:
        reference = _stand_in(loaded, plan, key, require_whole(question.trace))
    elif question.against:
        reference = arm_named(loaded, question.against)
    else:
        return [plan]
    other = plan_of(loaded, reference.model_copy(update={"dtype": plan.model.dtype}), key)
    require_asked_alike(plan, other)
    return [plan, other]


def _orders(loaded: LoadedScenario, plans: list[Plan], permission: Permission, scratch: Path, folder: Path) -> _Orders:
    orders = orders_of(loaded, plans, scratch, folder, permission)
    candidate, *others = [orders[plan.arm.name] for plan in plans]
    return _Orders(candidate=candidate, reference=others[0] if others else None)


def _stand_in(loaded: LoadedScenario, plan: Plan, key: CaseKey, trace: Trace) -> Arm:
    """What stands in here for the arm that made a trace on another machine.

    Raises:
        UsageError: the trace answers another question.
    """
    require_same_question(plan, key, trace)
    arms = {arm.name: arm for arm in loaded.scenario.arms if arm.name != plan.arm.name}
    known = arms.get(trace.arm, plan.arm)
    return known.model_copy(update={"name": f"{trace.arm}-here", "device": "cpu"})


def _key(loaded: LoadedScenario, question: Question) -> CaseKey:
    """Case and seed: those that were given, else those of the trace, else the scenario's first."""
    if question.arm == question.against:
        raise UsageError(
            f"--against: found {question.against!r}, the arm itself; allowed is another arm of {loaded.scenario.name}."
        )
    if question.trace is None:
        return key_of(loaded, question.case, question.seed)
    trace = read_trace_record(question.trace)
    known = trace.key if trace.plan is not None else None
    return key_of(
        loaded,
        question.case or (known.case if known else None),
        question.seed if question.seed is not None or known is None else known.seed,
    )


def _forget_values(folder: Path) -> None:
    """Remove the tensors, which are large; records, logs and the page stay."""
    for path in folder.rglob(TENSORS_FILE):
        path.unlink()
    (folder / TRACE_FILE).unlink(missing_ok=True)
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
