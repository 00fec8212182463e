"""Check a scenario and look at its numbers in a table of pandas.

python examples/check_and_table.py scenarios/tiny-quick-t2i.yaml
"""

from __future__ import annotations

import sys

import harness


def main(scenario: str) -> int:
    """Check one scenario; the exit code is that of the command."""
    checked = harness.check(scenario)
    table = harness.load_results(checked.folder)
    worst = table[table["metric"] == "max_abs_diff"].groupby(["arm", "against", "subject"])["value"].max()
    print(f"{checked.outcome}: {checked.report.title}")
    print(worst.to_string())
    print(*checked.pages)
    return checked.exit_code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
