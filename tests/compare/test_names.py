"""Which files of two folders are pictures, and which of them are pairs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.compare.names import Asked, Names, held, names_of
from harness.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COMPOSED, DECOMPOSED = "caf\u00e9.png", "cafe\u0301.png"


def paired(folder: Path, mine: Iterable[str], theirs: Iterable[str], *rules: str) -> Names:
    """The names of two folders that hold such files."""
    for side, names in (("a", mine), ("b", theirs)):
        (folder / side).mkdir()
        for name in names:
            (folder / side / name).parent.mkdir(exist_ok=True)
            (folder / side / name).touch()
    return names_of(folder / "a", folder / "b", Asked(pair=rules))


def pairs(names: Names) -> list[tuple[str | None, str | None]]:
    return [row for row in names.rows if all(row)]


def alone(names: Names) -> tuple[list[str | None], list[str | None]]:
    """What is unexpected and what is missing."""
    return [mine for mine, theirs in names.rows if theirs is None], [
        theirs for mine, theirs in names.rows if mine is None
    ]


# --- what is a picture -----------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = {
    "b.png": b"",
    "deep/er/a.JPG": b"",
    "moving.gif": b"",
    "c.avif": b"",
    "drawing.svg": b"",
    "not-read.heic": b"",
    "pointer.png": b"version https://git-lfs.github.com/spec/v1",
    "0f3a9c": PNG,
    "cfg7.5": PNG,
    "a.picture": b"\xff\xd8\xff\xe0",
}
OTHERS = {
    "settings.json": b"{}",
    "README.md": b"# Pictures",
    "prompts.txt": b"BM is how a bitmap begins",
    "points": b"P1 10 20 30",
    "scenario.yaml": b"a: b",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "latents.npy": b"\x93NUMPY",
    "clip.mp4": b"\0\0\0\x18ftypisom",
    "page": b"<!DOCTYPE html>",
    "empty": b"",
    ".hidden.png": PNG,
    "b.png.bak": PNG,
    "b.png~": PNG,
}


def test_every_file_is_counted_somewhere(tmp_path: Path) -> None:
    for name, content in {**PICTURES, **OTHERS, ".cache/e.png": PNG, "deep/x.gif": b""}.items():
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "x" / "linked").symlink_to(tmp_path / "x" / "deep" / "er")
    os.mkfifo(tmp_path / "x" / "pipe")
    found = held(tmp_path / "x", Asked(ignore=("deep/*.gif",)))
    assert found.pictures == {*PICTURES, "linked/a.JPG"}
    assert found.others == {*OTHERS, ".cache/", "pipe"}
    assert found.ignored == {"deep/x.gif"}


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("*.gif", {"a.gif", "deep/b.gif"}),
        ("deep/*", {"deep/b.gif", "deep/c.png"}),
        ("c.png", {"deep/c.png"}),
        ("?.gif", {"a.gif", "deep/b.gif"}),
        ("caf\u00e9.*", {DECOMPOSED}),
        ("*.jif", set()),
        ("gif", set()),
        ("*.GIF", set()),
    ],
)
def test_names_are_left_out_by_path_or_name(pattern: str, ignored: set[str], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.gif", "deep/b.gif", "deep/c.png", DECOMPOSED):
        (tmp_path / name).touch()
    assert held(tmp_path, Asked(ignore=(pattern,))).ignored == ignored


def test_a_link_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x" / "deep").mkdir(parents=True)
    (tmp_path / "x" / "deep" / "up").symlink_to(tmp_path / "x")
    with pytest.raises(UsageError, match="deep/up is a link to a folder above it"):
        held(tmp_path / "x", Asked())


# --- what is a pair --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "theirs", "differs", "rules"),
    [
        ("cat.png", "cat.jpg", ["ending"], ["stem"]),
        ("Dog.png", "dog.png", ["case"], ["casefold"]),
        ("Dog.PNG", "dog.png", ["case"], ["casefold"]),
        ("Dog.png", "dog.jpg", ["ending", "case"], ["stem", "casefold"]),
        ("STRASSE.png", "stra\u00dfe.png", ["case"], ["casefold"]),
        (COMPOSED, DECOMPOSED.replace("png", "jpg"), ["ending", "Unicode form"], ["stem"]),
        (COMPOSED.upper(), DECOMPOSED, ["case", "Unicode form"], ["casefold"]),
        ("cfg7.5.png", "cfg7.5.webp", ["ending"], ["stem"]),
    ],
)
def test_names_that_nearly_match_are_said_and_are_pairs_on_request(
    mine: str, theirs: str, differs: list[str], rules: list[str], tmp_path: Path
) -> None:
    names = paired(tmp_path, [mine], [theirs])
    assert alone(names) == ([mine], [theirs])
    ((near),) = names.nearly
    assert (near.actual, near.expected, near.differs) == (mine, theirs, differs)
    asked = names_of(tmp_path / "a", tmp_path / "b", Asked(pair=tuple(rules)))
    assert pairs(asked) == [(mine, theirs)]
    assert (asked.nearly, asked.paired) == ([], [near])
    for rule in {"exact", "stem", "casefold"} - set(rules):
        assert not pairs(names_of(tmp_path / "a", tmp_path / "b", Asked(pair=(rule,))))


@pytest.mark.parametrize("rule", ["stem", "casefold"])
def test_an_ending_in_capitals_is_the_same_by_either_rule(rule: str, tmp_path: Path) -> None:
    names = paired(tmp_path, ["dog.PNG"], ["dog.png"], rule)
    assert pairs(names) == [("dog.PNG", "dog.png")]
    assert names.paired[0].differs == ["case"]


def test_another_unicode_form_is_a_pair_without_being_asked(tmp_path: Path) -> None:
    names = paired(tmp_path, [COMPOSED, "x.png"], [DECOMPOSED, "x.png"])
    assert pairs(names) == [(COMPOSED, DECOMPOSED), ("x.png", "x.png")]
    assert [(match.actual, match.expected, match.differs) for match in names.paired] == [
        (COMPOSED, DECOMPOSED, ["Unicode form"])
    ]


def test_exact_names_come_first(tmp_path: Path) -> None:
    names = paired(tmp_path, [COMPOSED, DECOMPOSED, "a.png", "a.jpg"], [COMPOSED, "a.png"], "stem", "casefold")
    assert pairs(names) == [("a.png", "a.png"), (COMPOSED, COMPOSED)]
    assert alone(names) == (["a.jpg", DECOMPOSED], [])
    assert names.nearly == [], "what has its own counterpart is nobody else's"


def test_a_name_that_could_belong_to_several_is_paired_with_none(tmp_path: Path) -> None:
    names = paired(tmp_path, ["a.png", "a.jpg"], ["a.webp"], "stem")
    assert alone(names) == (["a.jpg", "a.png"], ["a.webp"])
    assert [(near.actual, near.expected) for near in names.nearly] == [("a.jpg", "a.webp"), ("a.png", "a.webp")]


@pytest.mark.parametrize(("mine", "theirs"), [("x.png", "sub/x.png"), ("cat_0.png", "cat_1.png"), ("a1.png", "a.png")])
def test_other_names_do_not_match_by_any_rule(mine: str, theirs: str, tmp_path: Path) -> None:
    names = paired(tmp_path, [mine], [theirs], "stem", "casefold")
    assert alone(names) == ([mine], [theirs])
    assert names.nearly == []


def test_what_follows_a_dot_in_a_name_without_an_ending_is_no_ending(tmp_path: Path) -> None:
    for side, name in (("a", "cfg7.0"), ("b", "cfg7.5")):
        (tmp_path / side).mkdir()
        (tmp_path / side / name).write_bytes(PNG)
    names = names_of(tmp_path / "a", tmp_path / "b", Asked(pair=("stem",)))
    assert alone(names) == (["cfg7.0"], ["cfg7.5"])


def test_a_rule_that_is_not_known_brings_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'casefold'"):
        Asked(pair=("casfold",))
