"""Scenarios for pictures that are there already, by the names of their files."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path

from harness.errors import ImageError, UsageError
from harness.file_kinds import IMAGE_ENDINGS
from harness.jobs.drafts.form import (
    LARGEST,
    ONCE,
    REFERENCE_LIMIT,
    REPEAT_LIMIT,
    SMALLEST,
    STEP,
    Draft,
    Origin,
    text_of,
)

_WAYS = [
    f"{arm}{names}"
    for arm in ("{arm}/", "")
    for names in (
        "{case}/{seed}-p{process}r{repeat}",
        "{case}/{seed}",
        "{case}-{seed}",
        "{case}_{seed}",
    )
]
"""Ways in which folders of pictures are laid out."""
_FORMS = {"arm": "[a-z0-9][a-z0-9._-]*", "case": "[a-z0-9][a-z0-9._-]*", "seed": "[0-9]+"}
_FORMS |= {"process": "[0-9]+", "repeat": "[0-9]+"}
_REFERENCE = re.compile(r"ref|gold|expect|baseline|fp32|float32|gpu|cuda|cpu")
"""In the name of a folder of pictures that others are compared with."""


def images(origin: Origin) -> Draft:
    """Pictures that are there already.

    Raises:
        UsageError: their names tell no case and seed, they are not complete, or a scenario has no word for their size.
    """
    folder = origin.there
    names = pictures_in(folder)
    template, described = _laid_out(folder, names)
    arms, cases, seeds = (sorted({picture.get(key, "") for picture in described}) for key in ("arm", "case", "seed"))
    repeats = {
        key: 1 + max(int(picture.get(name, 0)) for picture in described)
        for key, name in (("in_process", "repeat"), ("processes", "process"))
    }
    width, height = _size(folder / names[0])
    entries = _arms_of_pictures(arms)
    if arms == [""] and repeats == ONCE:
        origin.notes.append(
            "there is one set of pictures without repeats, so there is nothing to compare: put those of a reference "
            "beside them, in a folder for each arm ({arm}/{case}/{seed}.png), and run harness init again"
        )
    elif len(arms) > 1:
        reference = next(entry["name"] for entry in entries if entry.get("role"))
        origin.notes.append(f"{reference} was taken as the reference; change `role` if it is another")
    limits = [] if repeats == ONCE else [REPEAT_LIMIT]
    text = text_of(
        headline=f"{len(described)} pictures",
        name=origin.name,
        summary="Are the pictures that were made near those of the reference?" if len(arms) > 1 else "Do they repeat?",
        task="text_to_image",
        adapter="images",
        source=origin.source,
        pictures=template,
        cases=[{"id": case, "prompt": f"{case}, by the name of the file"} for case in cases],
        seeds=sorted(map(int, seeds)),
        width=width,
        height=height,
        arms=entries,
        repeats=repeats,
        limits=[*limits, *([REFERENCE_LIMIT] if len(arms) > 1 else [])],
    )
    return Draft(name=origin.name, adapter="images", text=text, notes=tuple(origin.notes))


def pictures_in(folder: Path) -> list[str]:
    """Names of the pictures below a folder, relative and with ``/``; hidden ones are left out."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS]
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _laid_out(folder: Path, names: list[str]) -> tuple[str, list[dict[str, str]]]:
    """The template that all pictures fit, and what each of them is.

    Raises:
        UsageError: there is none that is complete.
    """
    endings = {Path(name).suffix for name in names}
    for way in _WAYS if len(endings) == 1 else []:
        template = way + min(endings)
        pattern = re.compile(
            re.sub(r"\\\{(\w+)\\\}", lambda name: f"(?P<{name[1]}>{_FORMS[name[1]]})", re.escape(template))
        )
        matches = [pattern.fullmatch(name) for name in names]
        described = [match.groupdict() for match in matches if match]
        if len(described) == len(names) and _is_complete(described):
            return template, described
    example = f"found {len(names)} pictures, such as {names[0]}" if names else "found no pictures"
    raise UsageError(
        f"{folder.absolute()}: {example}; allowed are names that tell case and seed, such as cat/42.png or "
        "candidate/cat/42.png, in lower case, of one kind of file, and for every arm the same. Rename them, or compare "
        "two folders as they are: harness compare MINE THEIRS."
    )


def _is_complete(described: list[dict[str, str]]) -> bool:
    """Whether every arm has every case with every seed and repeat, and repeats are counted from 0."""
    by_arm: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for picture in described:
        by_arm[picture.get("arm", "")].add(tuple(picture[key] for key in picture if key != "arm"))
    (first, *others) = by_arm.values()
    keys = [key for key in described[0] if key != "arm"]
    values = dict(zip(keys, map(set, zip(*first, strict=True)), strict=True))
    whole = len(first) == math.prod(map(len, values.values())) and all(other == first for other in others)
    counted = all(
        values[key] == set(map(str, range(len(values[key])))) for key in ("process", "repeat") if key in values
    )
    return whole and counted and all(str(int(seed)) == seed for seed in values["seed"])


def _arms_of_pictures(arms: list[str]) -> list[dict[str, str]]:
    if len(arms) == 1:
        return [{"name": arms[0] or "candidate"}]
    reference = next((arm for arm in arms if _REFERENCE.search(arm)), arms[-1])
    return [{"name": arm, **({"role": "reference"} if arm == reference else {})} for arm in arms]


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture.

    Raises:
        UsageError: it cannot be read, or no scenario can have that size.
    """
    from harness.images import read_picture

    try:
        height, width, _ = read_picture(path).shape
    except ImageError as error:
        raise UsageError(f"{error} Take it out of the folder.") from error
    if any(side % STEP or not SMALLEST <= side <= LARGEST for side in (width, height)):
        raise UsageError(
            f"{path.absolute()} has {width} x {height} pixels; allowed in a scenario are sides from {SMALLEST} to "
            f"{LARGEST} that are multiples of {STEP}. Compare two folders as they are: harness compare MINE THEIRS."
        )
    return width, height
