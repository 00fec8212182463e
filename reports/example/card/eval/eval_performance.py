"""Run the scenarios of this card again and print the latency of every arm in seconds."""

import statistics
from pathlib import Path

import harness

for scenario in sorted((Path(__file__).parent / "scenarios").rglob("*.yaml")):
    for run in harness.check(scenario).report.runs:
        seconds = [sample.seconds["total"] for sample in run.samples if "total" in sample.seconds]
        if len(seconds) > 1:
            shares = statistics.quantiles(seconds, n=100, method="inclusive")
            figures = " ".join(f"p{share}={shares[share - 1]:.3f}" for share in (50, 90, 95))
            print(scenario.stem, run.plan.arm.name, figures, f"images={len(seconds)}")
