"""Run the scenarios of this card again and judge them; further options are those of `harness check`."""

import subprocess
import sys
from pathlib import Path

SCENARIOS = sorted(map(str, (Path(__file__).parent / "scenarios").rglob("*.yaml")))

sys.exit(subprocess.run([sys.executable, "-m", "harness", "check", *SCENARIOS, *sys.argv[1:]]).returncode)
