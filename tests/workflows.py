"""CI files read and carried out here: their commands by their shells, and what they would upload as an artifact."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ruamel.yaml import YAML

from tests.command_line import Ended, patience_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GITHUB = ".github/workflows/accuracy.yml"
GITLAB = ".gitlab-ci.yml"
GITCODE = ".gitcode/workflows/accuracy.yml"


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Step:
    """A command of a CI file, with the shell that carries it out."""

    name: str
    shell: str
    text: str
    after: str = ""
    """Id of the step that is followed whether it failed or not; empty where every step before must have ended well."""
    id: str = ""


@dataclass(frozen=True)
class Pipeline:
    """What a CI file asks for."""

    variables: dict[str, str]
    steps: list[Step]
    kept: list[str]
    """Patterns of what is uploaded."""


def github_like(path: Path) -> Pipeline:
    """A workflow of GitHub or GitCode."""
    workflow = read_yaml(path)
    (job,) = workflow["jobs"].values()
    steps = [
        Step(step["name"], step.get("shell", "bash"), step["run"], _followed(step.get("if", "")), step.get("id", ""))
        for step in job["steps"]
        if "run" in step
    ]
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    return Pipeline(workflow["env"] | job.get("env", {}), steps, upload["with"]["path"].split())


def _followed(condition: str) -> str:
    """Id of the step on which a condition hangs; the only kind of condition that the files have."""
    found = re.fullmatch(r"\$\{\{ !cancelled\(\) && steps\.(\w+)\.outcome != 'skipped' \}\}", condition)
    assert found or not condition, condition
    return found[1] if found else ""


def gitlab(path: Path) -> Pipeline:
    """The job of a GitLab file; its commands are one script, as there."""
    (job,) = read_yaml(path).values()
    steps = [Step(line, "bash", line) for line in (*job["before_script"], *job["script"])]
    return Pipeline(job["variables"], steps, job["artifacts"]["paths"])


PIPELINES = {GITHUB: github_like, GITCODE: github_like, GITLAB: gitlab}


def carry_out(pipeline: Pipeline, folder: Path, variables: Mapping[str, str]) -> dict[str, Ended]:
    """Run every step as its platform does, by a file for its shell; gives how each ended, by name.

    What is no text of the file, such as a folder of the platform, comes with ``variables``, which win. After one that
    failed only those are run that are said to run then.
    """
    ended: dict[str, Ended] = {}
    ids: list[str] = []
    own = {name: text.replace("$CI_PROJECT_DIR", str(folder)) for name, text in pipeline.variables.items()}
    environment = {**os.environ, **own, **variables}
    for number, step in enumerate(pipeline.steps):
        assert "${{" not in step.text, "an expression in a command is not what a shell sees"
        if step.after not in ids if step.after else any(before.code for before in ended.values()):
            continue
        ids.append(step.id)
        script = folder.parent / f"step-{number}"
        script.write_text(step.text, encoding="utf-8")
        words = {"bash": ["bash", "-e"], "python": ["python"]}[step.shell]
        path = environment["PATH"]
        done = subprocess.run(
            [str(shutil.which(words[0], path=path)), *words[1:], str(script)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=patience_seconds(),
            check=False,
        )
        ended[step.name] = Ended(code=done.returncode, out=done.stdout, err=done.stderr)
    return ended


def unpacked(pipeline: Pipeline, folder: Path, artifact: Path) -> Path:
    """What the artifact holds when it is unpacked: the files that fit the patterns, below their common folder."""
    files = {
        path
        for pattern in pipeline.kept
        for place in folder.glob(pattern)
        for path in (place.rglob("*") if place.is_dir() else [place])
        if path.is_file()
    }
    common = os.path.commonpath([folder / re.split(r"[*?]", pattern)[0] for pattern in pipeline.kept])
    for path in files:
        target = artifact / path.relative_to(common)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return artifact


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        named = dict(attrs)
        self.found += [str(named[key]) for key in ("href", "src") if named.get(key)]
        self.ids |= {str(named["id"])} if named.get("id") else set()


def links(page: Path) -> list[str]:
    """Addresses of files that a page links to, without what it holds itself."""
    parser = _Links()
    parser.feed(page.read_text(encoding="utf-8"))
    return [link for link in parser.found if not link.startswith(("data:", "#"))]


def broken_links(page: Path) -> list[str]:
    """Those of its links that lead nowhere, or to another machine."""
    return [
        link for link in links(page) if ":" in link or not (page.parent / unquote(link.partition("#")[0])).is_file()
    ]


def harness_on_the_path(folder: Path) -> str:
    """A search path on which ``harness`` is the command under test, and ``python`` that of the tests."""
    folder.mkdir()
    for name, words in (("harness", "-m harness"), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
