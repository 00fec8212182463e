"""Inputs that are nearly right: each works, or is refused in words with its file; never a traceback.

``nox -s fuzz -- COUNT SEED FIRST`` draws COUNT inputs; with the seed and the number of one that failed as FIRST it is
drawn again.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from tests.fuzz.inputs import Inputs, Kind, NotKept, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNT = 10_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the reading of one input ended."""

    number: int
    kind: str
    refusal: str = ""
    """What the harness said; empty where the input works."""
    fault: str = ""
    """What ought not to have happened; empty where all is well."""


def fuzz(kinds: Mapping[str, Kind], folder: Path, *, count: int, seed: int, first: int = 0) -> Iterator[Outcome]:
    """Draw and read inputs; what one of them draws depends on the seed and its number alone."""
    names = list(kinds)
    for number in range(first, first + count):
        random = Random(f"{seed} {number}")  # noqa: S311 - inputs, not secrets
        name = names[number % len(names)]
        place = Place(folder / "a" / "b" / "c" / "input")
        place.folder.mkdir(parents=True)
        outside = _files(folder, place.folder)
        refusal, fault = read(kinds[name], place, kinds[name].make(random))
        if strange := _files(folder, place.folder) - outside:
            fault = f"written outside: {sorted(strange)}"
        yield Outcome(number=number, kind=name, refusal=refusal, fault=fault)
        if not fault:
            rmtree(folder / "a")
        else:
            (folder / "a").rename(folder / f"failed-{seed}-{number}")


def read(kind: Kind, place: Place, data: bytes) -> tuple[str, str]:
    """Put an input in its place and read it; gives the refusal and the fault, empty where there is none."""
    path = kind.put(place, data)
    try:
        kind.read(place, path)
    except HarnessError as error:
        said = str(error)
        if error.exit_code not in kind.allowed:
            return said, f"exit code {error.exit_code}, allowed are {kind.allowed}: {said}"
        if not any(words in said for words in (str(path), path.name, str(path.parent))):
            return said, f"the message does not name {path.name}: {said}"
        return said, ""
    except NotKept as error:
        return "", str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return "", "".join(traceback.format_exception(error))
    return "", ""


def _files(folder: Path, but: Path) -> set[str]:
    """Everything below a folder that is not below another one."""
    found = set()
    for here, folders, files in os.walk(folder):
        if Path(here) == but:
            folders.clear()
            continue
        found |= {os.path.join(here, name) for name in (*folders, *files)}  # noqa: PTH118 - names of any kind
    return found


def main(words: list[str]) -> int:
    """Draw inputs and tell which failed; 1 where any did."""
    given = [int(word) for word in words]
    count, seed, first = (*given, *(COUNT, SystemRandom().randrange(2**32), 0)[len(given) :])
    sys.stdout.write(f"{count} inputs, seed {seed}\n")
    ended: Counter[tuple[str, str]] = Counter()
    folder = Path(mkdtemp(prefix="harness-fuzz-"))
    inputs = Inputs(folder / "stored")
    for outcome in fuzz(inputs.kinds, folder / "read", count=count, seed=seed, first=first):
        ended[outcome.kind, "failed" if outcome.fault else "refused" if outcome.refusal else "read"] += 1
        if outcome.fault:
            sys.stdout.write(
                f"seed {seed}, input {outcome.number} ({outcome.kind}): {outcome.fault}\n"
                f"repeat it: nox -s fuzz -- 1 {seed} {outcome.number}; it is kept in {folder}\n"
            )
    for kind in inputs.kinds:
        sys.stdout.write(
            f"{kind:>10}: " + ", ".join(f"{ended[kind, how]} {how}" for how in ("read", "refused", "failed")) + "\n"
        )
    failed = sum(number for (_, how), number in ended.items() if how == "failed")
    if not failed:
        rmtree(folder)
    sys.stdout.write(f"{count} inputs, seed {seed}: {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
