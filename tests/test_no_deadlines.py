"""No property has a deadline: what takes long on a busy machine is no error."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).parent


def own_deadlines(source: str) -> list[int]:
    """Lines that set a deadline of their own, beside the profile that ``tests/conftest.py`` loads for all."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"settings", "register_profile", "load_profile"}
        and (any(keyword.arg in {"deadline", None} for keyword in node.keywords) or "load" in ast.unparse(node.func))
    ]


@given(st.none())
@settings(max_examples=1)
def test_a_property_runs_without_a_deadline(nothing: None) -> None:
    del nothing
    assert settings.default is not None
    assert settings.default.deadline is None


def test_no_property_sets_a_deadline_or_another_profile() -> None:
    files = [path for path in sorted(TESTS.rglob("*.py")) if path != TESTS / "conftest.py"]
    texts = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert [f"{name}:{line}" for name, text in texts.items() for line in own_deadlines(text)] == []


def test_a_planted_deadline_is_found() -> None:
    assert own_deadlines("@settings(max_examples=5, deadline=200)\ndef test(): ...") == [1]
    assert own_deadlines("@hypothesis.settings(**slow)\ndef test(): ...") == [1]
    assert own_deadlines("settings.load_profile('default')") == [1]
    assert own_deadlines("@settings(max_examples=5, derandomize=True)\ndef test(): ...") == []
