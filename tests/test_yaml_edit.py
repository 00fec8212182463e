"""Entries of a list are replaced and every other byte of the file stays."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.errors import UsageError
from harness.yaml_edit import replace_entries, require_block_list
from tests.command_line import ROOT

NEW: dict[str, Any] = {"metric": "mse", "at_most": 1e-05, "evidence": {"seeds": [1, 2], "worst": float("inf")}}
TEXT = """\
# at the top
name: x   # beside
limits:   # of all
  # before the first
  - metric: a
    reason: >-
      folded, with
      # no comment

      and a second paragraph
  # before the second

  - {metric: b, seeds: [1,
      2]}
  -
    metric: c   # inside
    nested:
      - 1
  # after the last

tags: [one]   # the end
"""


def changed(before: str, after: str) -> tuple[str, str]:
    lines = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    gone = "".join(line[2:] for line in lines if line.startswith("- "))
    come = "".join(line[2:] for line in lines if line.startswith("+ "))
    return gone, come


def loaded(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


ENTRIES = (
    TEXT[TEXT.index("  - metric: a") : TEXT.index("  # before the second")],
    TEXT[TEXT.index("  - {metric: b") : TEXT.index("  -\n")],
    TEXT[TEXT.index("  -\n") : TEXT.index("  # after the last")],
)


@pytest.mark.parametrize("drop", [[], [0], [1], [2], [0, 2], [0, 1, 2]])
def test_only_the_lines_of_the_entries_change(drop: list[int]) -> None:
    edited = replace_entries(TEXT, "limits", drop=drop, add=[NEW])
    gone, come = changed(TEXT, edited)
    assert gone == "".join(ENTRIES[index] for index in drop)
    assert loaded(come) == [NEW]
    assert loaded(edited)["limits"][-1] == NEW
    assert edited.index(come) > edited.index("# before the second")
    assert edited.index(come) < edited.index("# after the last")


def test_replacing_what_was_added_by_the_same_changes_nothing() -> None:
    once = replace_entries(TEXT, "limits", drop=[1], add=[NEW, NEW])
    assert replace_entries(once, "limits", drop=[2, 3], add=[NEW, NEW]) == once


@pytest.mark.parametrize("text", ["a: 1\n", "a: 1", "limits: []\na: 1\n", "limits:\na: 1  # one\n"])
def test_a_list_that_is_not_there_is_added(text: str) -> None:
    edited = replace_entries(text, "limits", drop=[], add=[NEW])
    assert loaded(edited) == {"a": 1, "limits": [NEW]}


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    windows = "\ufeff" + TEXT.replace("\n", "\r\n")
    edited = replace_entries(windows, "limits", drop=[0], add=[NEW])
    assert edited.startswith("\ufeff# at the top\r\n")
    assert "\n" not in edited.replace("\r\n", "")
    assert edited.replace("\r\n", "\n").removeprefix("\ufeff") == replace_entries(TEXT, "limits", drop=[0], add=[NEW])


def test_a_list_at_the_end_without_a_last_line_end() -> None:
    assert loaded(replace_entries("limits:\n- a: 1", "limits", drop=[], add=[NEW]))["limits"] == [{"a": 1}, NEW]


def test_a_list_in_brackets_is_refused() -> None:
    text = "limits: [{metric: a}]\n"
    with pytest.raises(UsageError, match="limits is written in brackets"):
        require_block_list(text, "limits")
    with pytest.raises(UsageError, match="limits is written in brackets"):
        replace_entries(text, "limits", drop=[], add=[NEW])
    require_block_list(TEXT, "limits")
    require_block_list("a: 1\n", "limits")


def test_an_entry_that_others_refer_to_is_not_dropped() -> None:
    text = "limits:\n  - &first {a: 1}\nother: *first\n"
    with pytest.raises(UsageError, match="cannot be edited safely"):
        replace_entries(text, "limits", drop=[0], add=[NEW])


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").rglob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_shipped_scenario_can_be_edited(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    limits = loaded(text)["limits"]
    head, tail = text.index("\nlimits:"), text.index("\ntags:")
    for index in range(len(limits)):
        edited = replace_entries(text, "limits", drop=[index], add=[NEW])
        assert loaded(edited)["limits"] == [*limits[:index], *limits[index + 1 :], NEW]
        assert edited.startswith(text[:head])
        assert edited.endswith(text[tail:])
