"""Which hint is said of which damage: ``python -m tests.compare.confusion docs/hints.md`` writes the tables.

Damage is planted in pictures that the thresholds were chosen with, and then in other draws of those that are made from
formulas. Every pair counts once: the hint that is due is said with the figures that were planted, another one is said,
or none.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.compare.hints import ORDER, hints
from tests.compare.base_pictures import BASES, DRAWN, base
from tests.compare.damage import planted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.compare.damage import Planted

LEAST_RIGHT = 0.95
"""Share of the pairs to which a hint is due that get it, at least."""
MOST_SAID = 0.01
"""Share of the pairs to which none is due that get one, at most."""
HELD_OUT_DRAW = 30
"""First of the draws that no threshold was chosen with."""
HELD_OUT = (*DRAWN, "text")

NONE = "none"

ABOUT = """\
Written by `nox -s hints`. A hint says in words what the difference of two pictures looks like. The tests are made in
one order, the simplest explanation first, and the first that holds for all pixels is said; at most one is. Nothing is
judged by it."""
RIGHT = """\
Right means that the hint that is due is said with the figures that were planted, such as the number of pixels of a
shift."""


class Answer(NamedTuple):
    """What was said of a pair."""

    damage: str
    due: str
    said: str
    base: str
    right: bool
    """Whether what is due was said, with the figures that were planted."""


def answers(pairs: Iterable[Planted]) -> Iterator[Answer]:
    """What is said of each pair."""
    for pair in pairs:
        found = hints(pair.actual, pair.expected)
        said, message = (found[0].name, found[0].message) if found else (NONE, "")
        due = pair.damage.due or NONE
        yield Answer(pair.damage.name, due, said, pair.base, said == due and pair.damage.says in message)


def shares(found: Sequence[Answer]) -> tuple[float, float]:
    """Share that is right where a hint is due, and share that gets one where none is."""
    due, not_due = ([each for each in found if (each.due != NONE) is wanted] for wanted in (True, False))
    return sum(each.right for each in due) / len(due), sum(not each.right for each in not_due) / len(not_due)


def page(found: Sequence[Answer], held_out: Sequence[Answer]) -> str:
    """The whole document."""
    sizes = ", ".join(f"{name} ({base(name).shape[1]} x {base(name).shape[0]})" for name in BASES)
    tests = ", ".join(f"{test.__module__.rpartition('.')[2]}.{test.__name__}" for test in ORDER)
    return "\n".join(
        [
            "# What hints are said of which damage",
            "",
            ABOUT,
            "",
            f"In this order: {tests}.",
            "",
            f"{RIGHT} Pictures: {sizes}.",
            "",
            "## Totals",
            "",
            "| pictures | a hint is due | right | none is due | one is said |",
            "| --- | ---: | ---: | ---: | ---: |",
            total("those the thresholds were chosen with", found),
            total(f"other draws of {', '.join(HELD_OUT)}", held_out),
            "",
            f"Held by the tests: at least {LEAST_RIGHT:.0%} right, at most {MOST_SAID:.0%} said where none is due.",
            "",
            "## By kind of damage",
            "",
            "| damage | due | pairs | right | said instead |",
            "| --- | --- | ---: | ---: | --- |",
            *rows([*found, *held_out]),
            "",
            LIMITS,
        ]
    )


def total(title: str, found: Sequence[Answer]) -> str:
    """One row of the totals."""
    right, said = shares(found)
    due = sum(each.due != NONE for each in found)
    return f"| {title} | {due} | {right:.1%} | {len(found) - due} | {said:.1%} |"


def rows(found: Sequence[Answer]) -> Iterator[str]:
    """A row for each kind, in their order."""
    for damage in dict.fromkeys(each.damage for each in found):
        of_it = [each for each in found if each.damage == damage]
        wrong = Counter(f"{each.said} ({each.base})" for each in of_it if not each.right)
        instead = ", ".join(f"{count} {name}" if count > 1 else name for name, count in wrong.items())
        right = sum(each.right for each in of_it)
        yield f"| {damage} | {of_it[0].due} | {len(of_it)} | {right} | {instead} |"


LIMITS = """\
## What the tests cannot tell

- A smooth picture shows few of the steps of JPEG, and its structure changes too slowly to tell another draw of it.
- Pictures that are alike by nature, such as night scenes with one horizon, keep more structure than other noise leaves
  elsewhere; then nothing is said.
- Fine structure, such as text, that is turned by a few degrees or zoomed by several percent is another picture to the
  statistic.
- On pictures of two or three colours several explanations fit equally well; the simplest is said.
- Noise below 10 levels RMS, blur, resampling, dithering, impulses and WebP have no hint.
"""


def main() -> int:
    """Write the document to the path that is given; 1 where a limit is broken."""
    (path,) = sys.argv[1:]
    found = list(answers(planted(list(BASES))))
    held_out = list(answers(planted(HELD_OUT, HELD_OUT_DRAW)))
    Path(path).write_text(page(found, held_out), encoding="utf-8")
    broken = False
    for name, each in (("chosen", found), ("held out", held_out)):
        right, said = shares(each)
        broken |= right < LEAST_RIGHT or said > MOST_SAID
        sys.stdout.write(f"{name}: {len(each)} pairs, {right:.1%} right, {said:.1%} said where none is due\n")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
