"""Parts are found by looking, foreign ones through real entry points on disk, and imported only when asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import pytest

from harness import plugins
from harness.contracts import KINDS
from harness.errors import RunError, UnknownName
from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
METRIC = '''"""A planted metric.

More about it.
"""
UNIT, BETTER, IDENTICAL, SPEC, SUBJECTS = "", "lower", 0.0, "planted", ("image",)
'''


class Offer(Protocol):
    """Plants a package that offers a part."""

    def __call__(self, package: str, name: str, module: str, *, kind: str = "metrics", text: str = METRIC) -> None: ...


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Packages as an installer leaves them: a module and a ``*.dist-info`` folder, on ``sys.path``."""

    def plant(package: str, name: str, module: str, *, kind: str = "metrics", text: str = METRIC) -> None:
        folder = tmp_path / package
        info = folder / f"{package}-1.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[harness.{kind}]\n{name} = {module}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))

    before = set(sys.modules)
    yield plant
    for name in set(sys.modules) - before:
        if name.startswith("planted_"):
            del sys.modules[name]


# --- own parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_folder_is_a_part_but_those_with_an_underscore(kind: str) -> None:
    folder = ROOT / "harness" / kind
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    expected = {name for name in files if not name.startswith("_")}
    found = plugins.names(kind)
    assert {name.replace("-", "_") for name in found} == expected
    assert found == sorted(found)
    assert expected


def test_an_embedded_model_is_called_with_dashes() -> None:
    assert "tiny-deepgen" in plugins.names("models")
    assert plugins.load("models", "tiny-deepgen").SUMMARY


def test_a_part_is_the_module_of_its_name() -> None:
    assert vars(plugins.load("metrics", "psnr_db"))["__name__"] == "harness.metrics.psnr_db"


def test_a_summary_is_the_first_line_of_the_docstring(offer: Offer) -> None:
    offer("planted_one", "planted", "planted_metric")
    assert plugins.summary("metrics", "planted") == "A planted metric."
    offer("planted_two", "silent", "planted_silent", text="UNIT = ''\n")
    assert plugins.summary("metrics", "silent") == ""


# --- foreign parts ---------------------------------------------------------------------------------------------------


def test_a_foreign_part_is_found_and_loaded(offer: Offer) -> None:
    assert "planted" not in plugins.names("metrics")
    offer("planted_one", "planted", "planted_metric")
    assert "planted" in plugins.names("metrics")
    assert "planted" not in plugins.names("render")
    assert plugins.load("metrics", "planted").SPEC == "planted"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_foreign_parts(kind: str, offer: Offer) -> None:
    offer("planted_one", "planted", "planted_part", kind=kind)
    assert "planted" in plugins.names(kind)
    assert plugins.summary(kind, "planted") == "A planted metric."


def test_a_foreign_part_reaches_a_fresh_interpreter(offer: Offer, tmp_path: Path) -> None:
    offer("planted_one", "planted", "planted_metric")
    ended = subprocess.run(
        [sys.executable, "-m", "harness", "list", "metrics", "--json"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path / 'planted_one'}:{ROOT}", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rows = {row["name"]: row["about"] for row in json.loads(ended.stdout)}
    assert rows["planted"] == "lower is better; planted"


def test_two_packages_that_offer_one_name_are_refused(offer: Offer) -> None:
    offer("planted_one", "planted", "planted_metric")
    offer("planted_two", "planted", "planted_other")
    assert plugins.names("metrics").count("planted") == 1
    expected = r"the metric 'planted' is offered 2 times \(planted_\w+, planted_\w+\); uninstall all but one\."
    with pytest.raises(RunError, match=expected):
        plugins.load("metrics", "planted")


def test_a_package_cannot_take_the_name_of_an_own_part(offer: Offer) -> None:
    offer("planted_one", "psnr_db", "planted_metric")
    with pytest.raises(RunError, match=r"'psnr_db' is offered 2 times \(harness\.metrics\.psnr_db, planted_metric\)"):
        plugins.load("metrics", "psnr_db")


def test_one_part_seen_twice_on_the_path_is_one_part(
    offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer("planted_one", "planted", "planted_metric")
    (tmp_path / "again").symlink_to(tmp_path / "planted_one")
    monkeypatch.syspath_prepend(str(tmp_path / "again"))
    assert plugins.load("metrics", "planted").SPEC == "planted"


# --- wrong names -----------------------------------------------------------------------------------------------------

Kind = Literal["metrics", "backends", "adapters", "render", "models"]
WRONG: dict[Kind, tuple[str, str]] = {
    "metrics": ("psnr", "no metric is called 'psnr'. Did you mean 'psnr_db'? There are: "),
    "backends": ("cpuu", "no backend is called 'cpuu'. Did you mean 'cpu'? There are: "),
    "adapters": ("deepgem", "no adapter is called 'deepgem'. Did you mean 'deepgen'? There are: "),
    "render": ("htm", "no report format is called 'htm'. Did you mean 'html'? There are: "),
    "models": ("tiny_deepgen", "no embedded model is called 'tiny_deepgen'. Did you mean 'tiny-deepgen'? There are: "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_unknown_name_brings_the_nearest(kind: Kind) -> None:
    name, expected = WRONG[kind]
    with pytest.raises(UnknownName) as caught:
        plugins.load(kind, name)
    assert str(caught.value).startswith(expected)
    assert all(each in str(caught.value) for each in plugins.names(kind))


def test_a_foreign_name_is_among_the_nearest(offer: Offer) -> None:
    offer("planted_one", "planted", "planted_metric")
    with pytest.raises(UnknownName, match="Did you mean 'planted'"):
        plugins.load("metrics", "plantet")


@pytest.mark.parametrize("name", ["_windows", "__init__", "", ".ssim", "../render/html"])
def test_what_is_no_part_cannot_be_loaded(name: str) -> None:
    with pytest.raises(UnknownName):
        plugins.load("metrics", name)


# --- late imports ----------------------------------------------------------------------------------------------------

BROKEN = "raise ImportError('planted: libdevice.so is missing')\n"


def loaded_after(code: str) -> set[str]:
    """Parts of ours that a fresh interpreter has imported after a piece of code."""
    program = (
        f"{code}\nimport json, sys\nfrom harness.contracts import KINDS\n"
        "print(json.dumps([n for n in sys.modules for k in KINDS if n.startswith(f'harness.{k}.')]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=True,
    )
    return set(json.loads(ended.stdout))


def test_looking_for_names_imports_no_part() -> None:
    look = "from harness import contracts, plugins\nfound = [plugins.names(kind) for kind in contracts.KINDS]"
    assert loaded_after(look) == set()
    assert loaded_after(f"{look}\nplugins.load('metrics', 'mse')") == {
        "harness.metrics.mse",
        "harness.metrics._differences",
        "harness.metrics._loops",
        "harness.metrics._pairs",
    }


def test_a_foreign_part_is_not_imported_by_looking(offer: Offer) -> None:
    offer("planted_one", "planted", "planted_metric")
    assert "planted" in plugins.names("metrics")
    assert "planted_metric" not in sys.modules
    plugins.load("metrics", "planted")
    assert "planted_metric" in sys.modules


def test_a_part_that_cannot_be_imported_surfaces_when_it_is_loaded(offer: Offer) -> None:
    offer("planted_one", "broken", "planted_broken", text=BROKEN)
    assert "broken" in plugins.names("metrics")
    assert plugins.load("metrics", "mse").SPEC
    with pytest.raises(ImportError, match="libdevice"):
        plugins.load("metrics", "broken")


def test_an_entry_point_to_nowhere_surfaces_when_it_is_loaded(offer: Offer, tmp_path: Path) -> None:
    offer("planted_one", "gone", "planted_gone")
    (tmp_path / "planted_one" / "planted_gone.py").unlink()
    assert "gone" in plugins.names("metrics")
    with pytest.raises(ModuleNotFoundError, match="planted_gone"):
        plugins.load("metrics", "gone")
