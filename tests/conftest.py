"""What all tests share."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.command_line import Ended, MadeOnce, RunHarness, WriteScenario, job_folder, run_command, scenario_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kills import Workplace

# What takes long on a busy machine is no error.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that are filled once for all test processes, to be read or copied, never changed."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    place.mkdir(exist_ok=True)

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        made, finished = place / name, place / f"{name}.finished"
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                fill(made)
                finished.touch()
        return made

    return folder


@pytest.fixture
def run_harness(tmp_path: Path) -> RunHarness:
    """The command line in a fresh process, with ``tmp_path`` as its working folder."""

    def run(*words: str | Path, **variables: str) -> Ended:
        return run_command(tmp_path, *words, **variables)

    return run


@pytest.fixture
def write_scenario(tmp_path: Path) -> WriteScenario:
    """A scenario on the embedded model that is as small and quick as it can be; keywords replace its fields."""

    return partial(scenario_in, tmp_path)


@pytest.fixture(scope="session")
def prepared_workplace(made_once: MadeOnce) -> Workplace:
    """A workplace as undisturbed commands leave it; tests get copies."""
    from tests.kills import Workplace

    def fill(folder: Path) -> None:
        made = Workplace(folder / "work")
        made.folder.mkdir()
        made.prepare()
        (folder / "workplace.pickle").write_bytes(pickle.dumps(made))

    prepared = pickle.loads((made_once("workplace", fill) / "workplace.pickle").read_bytes())  # noqa: S301 - our own
    assert isinstance(prepared, Workplace)
    return prepared


@pytest.fixture
def workplace(prepared_workplace: Workplace, tmp_path: Path) -> Workplace:
    """A workplace of one's own, to be spoiled."""
    return prepared_workplace.moved(tmp_path / "work")


@pytest.fixture
def only_job(tmp_path: Path) -> Any:
    """Finds the only job folder of the working folder."""
    return lambda: job_folder(tmp_path / "runs")
