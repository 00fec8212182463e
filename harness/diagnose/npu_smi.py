"""What ``npu-smi info`` says about the cards; only what is needed is read, so no bus id and no process is kept."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TIME_LIMIT_SECONDS = 60
"""A driver that hangs takes npu-smi with it."""

_USUAL_PLACES = ("usr/local/bin/npu-smi", "usr/local/sbin/npu-smi")

_VERSION = re.compile(r"npu-smi\s+(\d\S*)")
# A chip has two rows. In the first stand its card, its name and its health, in the second its number on the card, its
# load and its memory; on A3, where a card has two chips, the physical id stands beside the number:
#   | 0     910B3               | OK            | 91.0        36                0    / 0             |
#   | 0                         | 0000:41:00.0  | 0           0    / 0          3401 / 65536         |
#   | 1     1                   | 0000:9F:00.0  | 0           0    / 0          3195 / 65536         |
_CARD_ROW = re.compile(r"\|\s*(?P<card>\d+)\s+(?P<name>\S+)\s*\|\s*(?P<health>[A-Za-z]+)\s*\|")
_CHIP_ROW = re.compile(r"\|\s*(?P<chip>\d+)(?:\s+\d+)?\s*\|[^|]*\|\s*(?P<load>\S+)\s(?P<memory>[^|]*)\|")
_MEMORY = re.compile(r"(\d+)\s*/\s*(\d+)")
# In the table of processes: card, chip, process id, name (which may be empty), memory.
_PROCESS_ROW = re.compile(r"\|\s*(?P<card>\d+)(?:\s+(?P<chip>\d+))?\s*\|\s*\d+\s*\|[^|]*\|\s*\d+")
_COMPLAINT = re.compile(r"^[^|\n]*(?:fail|error|denied|dcmi|cannot|no such).*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One chip, which torch_npu calls a device."""

    card: int
    """Number of its card."""
    chip: int
    """Number on the card."""
    name: str
    """Name as npu-smi gives it; generic on A3."""
    health: str
    """``OK`` or what is wrong."""
    load_percent: int
    """Load of the AI cores."""
    used_mb: int
    """Memory in use."""
    total_mb: int
    """Memory there is."""
    processes: int = 0
    """Processes on it, ours and others'."""


@dataclass(frozen=True, kw_only=True)
class NpuSmi:
    """Whether npu-smi answers, and what."""

    state: Literal["missing", "failed", "answered"]
    """Not installed, or no table of cards came, or it came."""
    complaint: str = ""
    """What it said instead of a table."""
    version: str = ""
    """Its version."""
    chips: Sequence[Chip] = field(default_factory=tuple)
    """The chips, in the order of torch_npu's device numbers."""


def ask(root: Path, environment: Mapping[str, str]) -> NpuSmi:
    """Run ``npu-smi info`` as found on PATH or where the driver puts it."""
    places = [str(root / place) for place in _USUAL_PLACES]
    tool = next((path for name in ("npu-smi", *places) if (path := _executable(name, environment))), None)
    if tool is None:
        return NpuSmi(state="missing")
    try:
        done = subprocess.run(
            [tool, "info"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return NpuSmi(state="failed", complaint=f"no answer in {TIME_LIMIT_SECONDS} s")
    except OSError as error:
        return NpuSmi(state="failed", complaint=error.strerror or type(error).__name__)
    answer = read(done.stdout)
    if answer.chips and not done.returncode:
        return answer
    complaint = answer.complaint or f"exit code {done.returncode} and no table of cards"
    return replace(answer, state="failed", complaint=complaint)


def _executable(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment.get("PATH", ""))


def read(text: str) -> NpuSmi:
    """Read the two tables; rows of a form that is not known are passed over.

    >>> rows = '''
    ... | 3     910B4               | OK            | 93.2        49                0    / 0             |
    ... | 0                         | 0000:02:00.0  | 7           0    / 0          2847 / 32768         |
    ... | 3       0                 | 1333928       |                          | 2701                   |'''
    >>> chip, = read(rows).chips
    >>> chip.card, chip.name, chip.health, chip.load_percent, chip.used_mb, chip.total_mb, chip.processes
    (3, '910B4', 'OK', 7, 2847, 32768, 1)
    """
    chips: dict[tuple[int, int], Chip] = {}
    card: re.Match[str] | None = None
    for line in map(str.strip, text.splitlines()):
        if card and (row := _CHIP_ROW.match(line)):
            chip = _chip(card, row)
            chips[chip.card, chip.chip] = chip
            card = None
        elif row := _PROCESS_ROW.match(line):
            place = int(row["card"]), int(row["chip"] or 0)
            if place in chips:
                chips[place] = replace(chips[place], processes=chips[place].processes + 1)
        else:
            card = _CARD_ROW.match(line)
    version, complaints = _VERSION.search(text), _COMPLAINT.findall(text)
    return NpuSmi(
        state="answered" if chips else "failed",
        complaint=complaints[-1].strip() if complaints else "",
        version=version[1] if version else "",
        chips=tuple(chips.values()),
    )


def _chip(card: re.Match[str], row: re.Match[str]) -> Chip:
    # HBM stands last; where a chip has none, as 310P, the last pair is its only memory.
    pairs = [(int(used), int(total)) for used, total in _MEMORY.findall(row["memory"])]
    used, total = pairs[-1] if pairs else (0, 0)
    return Chip(
        card=int(card["card"]),
        chip=int(row["chip"]),
        name=card["name"],
        health=card["health"],
        load_percent=int(row["load"]) if row["load"].isdigit() else 0,
        used_mb=used,
        total_mb=total,
    )
