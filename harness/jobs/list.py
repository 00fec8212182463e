"""List what there is: the verb list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import plugins, scenario, store
from harness.errors import BaselineDamaged, NothingSelected, RecordError, ScenarioError, UnknownName
from harness.jobs.baselines import orphan_notes
from harness.records import RUN_FILE, Run, Scope
from harness.store import baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def listed(what: str, *, runs_folder: Path, scenarios_folder: Path, baselines_folder: Path) -> list[dict[str, str]]:
    """Rows of ``name`` and ``about`` for a listing.

    Raises:
        UnknownName: nothing of that name can be listed.
        NothingSelected: there is nothing of it.
    """
    lists: dict[str, Callable[[], list[dict[str, str]]]] = {
        "scenarios": lambda: [_scenario_row(path) for path in store.scenario_files(scenarios_folder)],
        "runs": lambda: [_run_row(folder) for folder in store.run_folders(runs_folder)],
        "baselines": lambda: [
            _baseline_row(baselines_folder, name, scenarios_folder) for name in baselines.names(baselines_folder)
        ],
        "backends": lambda: _part_rows("backends"),
        "adapters": lambda: _part_rows("adapters"),
        "metrics": lambda: [_metric_row(name) for name in plugins.names("metrics")],
        "scores": lambda: _part_rows("scores"),
        "models": lambda: _part_rows("models"),
        "kernels": lambda: _part_rows("kernels"),
        "benchmarks": lambda: _part_rows("benchmarks"),
        "hypotheses": lambda: _part_rows("hypotheses"),
        "formats": lambda: _part_rows("render"),
    }
    if what not in lists:
        raise UnknownName("list", what, lists)
    rows = lists[what]()
    if not rows:
        folder = {"runs": runs_folder, "baselines": baselines_folder}.get(what, scenarios_folder)
        raise NothingSelected(f"there are no {what} in {folder}.")
    return rows


def _scenario_row(path: Path) -> dict[str, str]:
    try:
        return {"name": path.stem, "about": scenario.load(path).scenario.summary}
    except ScenarioError as error:  # one that cannot be used here, for want of a variable perhaps, is still listed
        return {"name": path.stem, "about": f"not usable here: {error}".partition("\n")[0]}


def _run_row(folder: Path) -> dict[str, str]:
    made = store.load(Run, folder / RUN_FILE)
    failed = f", {len(made.failures)} failed" if made.failures else ""
    verdicts = "".join(f"; {verdict}" for verdict in _verdicts(folder))
    return {"name": str(folder), "about": f"{made.state}, {len(made.samples)} samples{failed}{verdicts}"}


def _verdicts(run_folder: Path) -> Iterator[str]:
    """How the arm's comparisons in its job were judged; nothing where it was not compared."""
    for path in sorted(run_folder.parent.glob("comparison-*.json")):
        try:
            comparison = store.load_comparison(path)
        except RecordError as error:  # one that cannot be read hides no other
            yield f"{path.name} cannot be read: {error}".partition("\n")[0]
            continue
        if comparison.actual.arm == run_folder.name:
            repeats = comparison.scope is Scope.REPEAT
            against = "repeats" if repeats else f"against {comparison.expected.arm}"
            yield f"{against} {comparison.outcome.value}"


def _baseline_row(baselines_folder: Path, name: str, scenarios_folder: Path) -> dict[str, str]:
    try:
        manifest = baselines.read(baselines_folder, name).manifest
    except BaselineDamaged as error:  # one that cannot be used is still listed
        return {"name": name, "about": str(error)}
    notes = orphan_notes(name, scenarios_folder)
    modes = max(entry.modes for entry in manifest.accepted)
    several = f", up to {modes} outcomes each" if modes > 1 else ""
    return {
        "name": name,
        "about": f"{len(manifest.accepted)} cases and seeds{several}, accepted {manifest.accepted_utc} by "
        f"{manifest.who}: {'; '.join([manifest.why, f'digest {manifest.digest[:16]}', *notes])}",
    }


def _part_rows(kind: str) -> list[dict[str, str]]:
    return [{"name": name, "about": plugins.summary(kind, name)} for name in plugins.names(kind)]


def _metric_row(name: str) -> dict[str, str]:
    metric = plugins.load("metrics", name)
    unit = f" in {metric.UNIT}" if metric.UNIT else ""
    return {"name": name, "about": f"{metric.BETTER} is better{unit}; {metric.SPEC}"}
