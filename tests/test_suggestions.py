"""Commands that messages suggest: each names a verb and options that exist, and works when pasted where one stands."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from harness import suggestions
from harness.cli.app import app
from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.command_line import RunHarness, WriteScenario

MENTION = re.compile(r"\bharness ((?:[a-z]+ ?)+)((?:[^.;,\n`]*?--[a-z-]+)*)")


def commands(group: Any, words: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Options of every command, by its words."""
    known: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        if below is None:
            options = {option for parameter in command.params for option in parameter.opts}
            known[" ".join([*words, name])] = options | {"--help", "--debug"}
        else:
            known |= commands(command, (*words, name))
    return known


KNOWN = commands(typer.main.get_command(app))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of a module but its docstrings, those with values in them in one piece."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            yield (
                node.lineno,
                "".join(
                    str(getattr(part, "value", "X")) if isinstance(part, ast.Constant) else "X" for part in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def suggested(text: str) -> Iterator[tuple[str, set[str]]]:
    """Command and options of each command line of the harness that a text speaks of."""
    for match in MENTION.finditer(text):
        if text[: match.start()].endswith(("the ", "The ", "this ", "of ", "by ", "accuracy-")):
            continue
        words = match[1].split()
        verb = next((" ".join(words[:size]) for size in (2, 1) if " ".join(words[:size]) in KNOWN), words[0])
        yield verb, set(re.findall(r"(?<!\w)--[a-z-]+", match[2]))


def wrong(text: str) -> list[str]:
    """What a text suggests that does not exist."""
    faults = []
    for verb, options in suggested(text):
        if verb not in KNOWN:
            faults.append(f"harness {verb}")
        else:
            faults += [f"harness {verb} {option}" for option in sorted(options - KNOWN[verb])]
    return faults


def test_every_command_that_a_message_suggests_exists_with_its_options() -> None:
    faults, seen = [], 0
    for path in sorted((ROOT / "harness").rglob("*.py")):
        if "checkpoint" in path.parts:
            continue
        for line, text in texts(path):
            seen += len(list(suggested(text)))
            faults += [f"{path.relative_to(ROOT)}:{line}: {fault}" for fault in wrong(text)]
    assert faults == []
    assert seen >= 20


@pytest.mark.parametrize(
    "text", ["give harness compare X --at-least Y", "harness bless makes it", "harness run --fast"]
)
def test_a_suggestion_that_does_not_work_is_noticed(text: str) -> None:
    assert wrong(text)


def test_a_missing_baseline_names_a_command_that_makes_it(
    run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    path = write_scenario(
        model={"adapter": "planted-toy"},
        arms=[{"name": "candidate"}, {"name": "kept", "role": "reference", "baseline": True, "device": "cpu"}],
        limits=[{"metric": "psnr_db", "scope": "reference", "at_least": 10, "reason": "Only for this test."}],
    )
    ended = run_harness("check", path, "--device", "cpu", "--runs-dir", tmp_path / "runs")
    assert ended.code == 4, ended.err
    commands = re.findall(r"harness (run [^;]+ --arm \S+);", ended.out + ended.err)
    assert commands, ended.out + ended.err
    made = run_harness(*shlex.split(commands[0]), "--runs-dir", tmp_path / "made")
    assert made.code == 0, made.err


@pytest.mark.parametrize("place", [ROOT, ROOT / "docs", Path("/")])
def test_the_command_that_installs_names_files_that_are_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(suggestions.install("run"))
    assert words[:3] == ["pip", "install", "-c"]
    assert Path(words[3]).is_file()
    project = words[4].removesuffix("[run]")
    assert (Path(project) / "pyproject.toml").is_file()


def test_from_a_wheel_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "_PROJECT", tmp_path)
    assert suggestions.install("remote") == "pip install 'accuracy-harness[remote]'"


def test_a_path_is_a_word_that_a_shell_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (
        tmp_path / "my port.yaml",
        tmp_path / "a'b" / "c.yaml",
        Path("plain.yaml"),
        tmp_path.parent / "up.yaml",
    ):
        assert Path(*shlex.split(suggestions.from_here(path))).absolute() == path.absolute()
    assert suggestions.from_here(tmp_path / "in" / "port.yaml") == "in/port.yaml"
