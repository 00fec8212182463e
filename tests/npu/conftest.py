"""These tests need the real torch_npu and simulated cards: ``nox -s npu`` starts them so, and counts them.

Elsewhere the folder is left out whole, and no line says that it passed.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import WriteScenario

SIMULATED = "ASCEND_SIM_DEVICES" in os.environ
WITHOUT_CARDS = "without_cards"
"""Marker of the tests that look at a machine on which no card can be used."""


@pytest.fixture
def write_scenario(write_scenario: WriteScenario) -> WriteScenario:
    """As everywhere, with the determinism switches of a card: without them the simulated one may change its order."""

    def write(**changes: Any) -> Path:
        return write_scenario(**{"switches": "deterministic", **changes})

    return write


passed: dict[str, int] = {"on simulated cards": 0, "without a card": 0}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the folder out where nothing plays the cards."""
    del collection_path
    return None if SIMULATED else True


def pytest_configure() -> None:
    """Refuse to start where the cards were asked for and the stand-in library is not what is loaded.

    torch_npu is imported here, so that the cards have their kernels before a test module imports a part of them.
    """
    if not SIMULATED:
        return
    if not hasattr(ctypes.CDLL("libascendcl.so"), "ascend_sim_stand_in"):
        pytest.exit("ASCEND_SIM_DEVICES is set, but the libascendcl.so that is loaded is no stand-in", returncode=3)
    importlib.import_module("torch_npu")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what passed, by whether a simulated card took part."""
    if report.when == "call" and report.passed and "tests/npu/" in report.nodeid:
        passed["without a card" if WITHOUT_CARDS in report.keywords else "on simulated cards"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran on simulated cards."""
    if not SIMULATED:
        return
    counts = ", ".join(f"{count} {where}" for where, count in passed.items())
    terminalreporter.write_line(f"torch_npu suite passed: {counts}; no real card took part")
