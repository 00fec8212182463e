"""The command line: arguments in, one job, exit code out.

Exit codes, the highest in this order wins: 2 wrong use or bad scenario, 3 a run failed, 7 not comparable, 4 baseline
missing, 1 an accuracy limit failed, 6 only determinism failed, 5 nothing selected; 0 all passed; 130 interrupted.
"""

from __future__ import annotations

from harness.cli.app import main

__all__ = ["main"]
