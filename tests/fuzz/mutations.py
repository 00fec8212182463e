"""Texts, trees and bytes that are nearly right, drawn from a seeded generator."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

_RAW = re.compile(r'"@raw:(.*?):raw@"')
_AGAIN = "@again"
DEEP = 5000
"""Levels that no recursive reader survives."""


def raw(text: str) -> str:
    """A value whose text stands in the file as it is, such as ``1e999``."""
    return f"@raw:{text}:raw@"


SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 42, 65, 2**31, 2**63 - 1, -(2**63), 2**63, 2**64, -0.0, 0.5, 1e-320, 1e308),
    *map(raw, ["1e999", "-1e999", "NaN", "Infinity", "9" * 500, "1" + "0" * 5000, "0x10", "1_0", "01", "+1", "1e400"]),
    *("", " ", "x", "0", "1", "true", "inf", "nan", "a" * 300, "a" * 5000, "\ud800", "\udfff\ud800", "\U0001f600"),
    *(
        "../../up",
        "../" * 20 + "up",
        "/etc/passwd",
        "a/../../b",
        "C:\\up",
        "a\0b",
        ".",
        "..",
        "a//b",
        "NUL",
        "\x1b[31m",
    ),
    *("${HOME}", "${NOT_SET}", "${", "${}", "{seed}", "{", "{0}", "{seed.__class__}", "%s", "cpu:99999", "npu:x", ":"),
    *("2026-13-45", "0000-01-01", "9999-12-31", "repeat", "reference", "candidate", "image", "psnr_db", "identical"),
    *("noise.0", "image", "image/png", "f" * 64, "A" * 64, "g" * 64, "portable", "unverified", "baseline", "finished"),
)
"""Values that have broken readers."""


def value(random: Random) -> Any:
    """A value that a file may hold and a reader may not expect."""
    kind = random.randrange(12)
    if kind == 0:
        return []
    if kind == 1:
        return {}
    if kind == 2:
        return [value(random) for _ in range(random.randrange(1, 4))]
    if kind == 3:
        return {str(scalar(random)): value(random) for _ in range(random.randrange(1, 4))}
    if kind == 4 and random.random() < 0.2:
        opening, closing = random.choice([("[", "]"), ('{"a":', "}")])
        return raw(opening * DEEP + "1" + closing * DEEP * random.randrange(2))
    return scalar(random)


def scalar(random: Random) -> Any:
    """One of the values that have broken readers, or a number near one that is allowed."""
    return random.choice(SCALARS) if random.random() < 0.9 else random.randrange(-(2**66), 2**66)


def mutated(tree: Any, random: Random) -> Any:
    """A copy of a tree of lists and mappings with a few things changed."""
    changed = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        _change(changed, random)
    return changed


def _change(tree: Any, random: Random) -> None:
    holder, key = _place(tree, random)
    if holder is None:
        return
    act = random.randrange(10)
    if act <= 3:
        holder[key] = _similar(holder[key], tree, random) if random.random() < 0.7 else value(random)
    elif act == 4:
        del holder[key]
    elif act == 5:
        other, there = _place(tree, random)
        holder[key] = copy.deepcopy(other[there]) if other is not None else None
    elif act == 6:
        holder[key] = [holder[key]] if random.random() < 1 / 2 else {"a": holder[key]}
    elif isinstance(holder, list):
        holder[random.randrange(len(holder) + 1) :] = [copy.deepcopy(holder[key])] * random.choice((1, 1, 3, 50))
    elif act == 7:
        holder[f"{key}{_AGAIN}"] = value(random)
    elif act == 8:
        holder[str(scalar(random))] = holder.pop(key)
    else:
        holder[random.choice(("role", "noise", "path", "name", "metric", "", "schema_version"))] = value(random)


def _similar(old: Any, tree: Any, random: Random) -> Any:
    """Another value of the same type, which gets further into a reader than one of another type."""
    if isinstance(old, bool) or old is None:
        return not old
    if isinstance(old, int):
        return random.choice((0, 1, -1, old + 1, old - 1, 2**31, 2**40, 2**63 - 1, -(2**63) + 1))
    if isinstance(old, float):
        return random.choice((0.0, -0.0, -1.0, 1e308, -1e308, 5e-324, "inf", "-inf", "nan", old * 2))
    if isinstance(old, list):
        return random.choice((old[:1], old[1:], old[::-1], old + old, []))
    if isinstance(old, dict):
        return dict(random.sample(list(old.items()), random.randrange(len(old) + 1)))
    others = [other[key] for other, key in (_place(tree, random) for _ in range(8)) if other is not None]
    texts = [other for other in others if isinstance(other, str)]
    return random.choice([*texts, old.upper(), old[:-1], old + "x", old + "/../" + old, old[::-1], "a" * len(old)])


def _place(tree: Any, random: Random) -> tuple[Any, Any]:
    """A random list or mapping and one of its keys; nothing where the tree is empty."""
    place: tuple[Any, Any] = (None, None)
    here = tree
    while isinstance(here, list | dict) and here:
        key = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        place = (here, key)
        here = here[key]
        if random.random() < 0.15:
            break
    return place


def as_json(tree: Any) -> str:
    """Text of a tree; values that are ``raw`` stand as they are, and a key that is to stand twice does."""
    text = json.dumps(tree, indent=1).replace(f'{_AGAIN}"', '"')
    return _RAW.sub(lambda found: found.group(1), text)


LINES = (
    *("? [a, b]", "? {a: b}", "? [a, b]\n: 1", "? |\n  a\n: 1", "role: [x]", "switches: {a: 1}", "noise: [a]", "- x"),
    *("scores: [[a], {b: 1}]", "seeds: [[1], {a: 1}]", "  role: {reference: 1}", "<<: {name: x}", "[]: 1", "{}: 1"),
    *(
        "a: &a [*a]",
        "x: *unknown",
        "a: !!python/object/apply:os.system [x]",
        "!!set {a}",
        "!x y: 1",
        "%YAML 1.1",
        "---",
    ),
    *(
        "...",
        "\t- x",
        "key: |",
        "key: >9",
        "'",
        '"',
        '"\\ud800"',
        '"\\U99999999": 1',
        "\x00",
        "\ufeff",
        "? ",
        ": ",
        "-",
    ),
    *("tags: [~, 1, [a]]", "translations: {zh: [a]}", "translations: [zh]", "model: [a]", "cases: {a: 1}", "arms: x"),
    *("calibration: {seeds: [[1], 42], cases: [[a]]}", "waivers: [[a], 1, {scope: [x]}]", "limits: {a: 1}"),
    *("calibration: [1]", "repeats: [1]", "~: 1", "1: 2", "true: 1", ".inf: 1", "a" * 3000 + ": 1", "[" * 40, "{" * 40),
)
"""Lines that have broken readers of YAML."""


def mutated_lines(text: str, random: Random) -> str:
    """Text with lines moved, doubled, left out, indented otherwise, or put in from those that have broken readers."""
    lines = text.split("\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        here, there = random.randrange(len(lines)), random.randrange(len(lines))
        act = random.randrange(6)
        if act == 0 and len(lines) > 1:
            del lines[here]
        elif act == 1:
            lines.insert(there, lines[here])
        elif act == 2:
            lines[here] = " " * random.randrange(8) + lines[here].lstrip()
        elif act == 3:
            head, colon, _ = lines[here].partition(":")
            lines[here] = f"{head}{colon} {as_json(value(random))}".replace("\n", " ")
        else:
            indent = lines[here][: len(lines[here]) - len(lines[here].lstrip())]
            lines.insert(here, indent + random.choice(LINES))
    return "\n".join(lines)


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Bytes with some flipped, cut off, doubled, put in or taken out."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        if not changed:
            break
        here = random.randrange(len(changed))
        there = min(len(changed), here + random.choice((1, 2, 4, 8, 100)))
        act = random.randrange(7)
        if act <= 1:
            changed[here] ^= 1 << random.randrange(8)
        elif act == 2:
            changed[here:there] = random.choice((b"\x00", b"\xff")) * (there - here)
        elif act == 3:
            del changed[here:there]
        elif act == 4:
            changed[here:here] = changed[here:there]
        elif act == 5:
            changed[here:there] = random.randbytes(there - here)
        elif random.random() < 0.3:
            del changed[here:]
    return bytes(changed)
