"""The fixture ``image_baseline`` as users meet it: real files, real pytest sessions, planted faults."""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import assert_close
from harness.errors import NotClose, UsageError
from harness.images import array_digest, read_picture, write_picture
from harness.jobs import image_baselines
from harness.jobs.image_baselines import Acceptance, Place, file_name, judged_image
from harness.records import AcceptedImage, read_record
from tests.render.test_validity import lost_files, problems
from tests.starter import IMPORTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
REASON = "The first picture; it was looked at."
ACCEPT = ("--harness-accept", "--harness-reason", REASON, "--harness-who", "Ada")
HEAD = """
import numpy as np
import pytest

def picture(seed=0, plus=0):
    return np.random.default_rng(seed).integers(0, 200, (32, 48, 3), dtype=np.uint8) + np.uint8(plus)
"""


@pytest.fixture(scope="session")
def imported() -> None:
    """What a session in this process imports is forgotten after it, which numba cannot bear, unless it was there."""
    for module in IMPORTED:
        import_module(module)
    picture = np.random.default_rng(0).integers(0, 200, (32, 48, 3), dtype=np.uint8)
    with pytest.raises(NotClose):
        assert_close(picture + np.uint8(9), picture, max_abs_diff=1)


@pytest.fixture
def run(imported: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """A pytest session of its own in a folder with one test file; ``apart`` starts it in a process of its own."""
    del imported
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # Within a second a test file may be written twice with the same length, and Python would take it for the same.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def ran(text: str, *words: str, name: str = "test_port.py", apart: bool = False) -> pytest.RunResult:
        (pytester.path / name).write_text(HEAD + text, encoding="utf-8")
        # To import hypothesis, which no such test uses, takes a third of the time of a session.
        lean = ("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        start = pytester.runpytest_subprocess if apart or "-n" in words else pytester.runpytest_inprocess
        return start(*lean, *words)

    return ran


def check(plus: int = 0, limits: str = "") -> str:
    return f"def test_cup(image_baseline):\n    image_baseline.check(picture(plus={plus}), {limits})\n"


def stored(folder: Path, name: str = "test_cup") -> Path:
    return folder / "image_baselines" / "test_port" / f"{name}.png"


# --- one test --------------------------------------------------------------------------------------------------------


def test_a_picture_without_a_baseline_fails_and_says_how_to_accept(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    ended = run(check())
    ended.assert_outcomes(failed=1)
    ended.stdout.fnmatch_lines(["*there is no accepted picture of this test: *image_baselines/test_port/test_cup.png"])
    ended.stdout.fnmatch_lines(["*pytest test_port.py::test_cup --harness-accept --harness-reason ..."])
    assert not stored(pytester.path).exists()


def test_an_accepted_picture_passes_and_keeps_who_when_and_why(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    ended = run(check(), *ACCEPT, apart=True)
    ended.assert_outcomes(passed=1)
    ended.stdout.fnmatch_lines(["accepted: *test_cup.png"])
    record = read_record(AcceptedImage, stored(pytester.path).with_suffix(".json"))
    assert (record.test, record.label, record.who, record.why) == ("test_port.py::test_cup", "1", "Ada", REASON)
    assert record.digest == array_digest(read_picture(stored(pytester.path)))
    assert record.made == 1
    assert record.accepted_utc.endswith("+00:00")
    run(check(), apart=True).assert_outcomes(passed=1)
    run(check(plus=1), apart=True).assert_outcomes(failed=1)


def test_limits_decide_and_the_message_says_what_it_looks_like(run: Callable[..., pytest.RunResult]) -> None:
    run(check(), *ACCEPT)
    run(check(plus=1, limits="max_abs_diff=1, psnr_db=40")).assert_outcomes(passed=1)
    ended = run(check(plus=9, limits="max_abs_diff=1"))
    ended.assert_outcomes(failed=1)
    ended.stdout.fnmatch_lines(
        ["*NotClose: the pictures are not close: 1 of 1 limits broken.", "*max_abs_diff: 9 pixel*"]
    )
    ended.stdout.fnmatch_lines(["*hint: *"])
    ended.stdout.no_fnmatch_line("*pytest_plugin.py:*: NotClose")


def test_accepting_the_same_picture_again_keeps_the_first_reason(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run(check(), *ACCEPT)
    before = stored(pytester.path).with_suffix(".json").read_bytes()
    ended = run(check(), "--harness-accept", "--harness-reason", "Another reason altogether.")
    ended.assert_outcomes(passed=1)
    ended.stdout.no_fnmatch_line("accepted: *")
    assert stored(pytester.path).with_suffix(".json").read_bytes() == before
    run(check(plus=3), "--harness-accept", "--harness-reason", "Brighter, as it was asked for.")
    assert b"Brighter" in stored(pytester.path).with_suffix(".json").read_bytes()
    run(check(plus=3)).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--harness-accept"], "*--harness-accept needs --harness-reason*"),
        (["--harness-accept", "--harness-reason", "ok"], "*fewer than 10 characters*"),
        (["--harness-accept", "--harness-reason", "            "], "*fewer than 10 characters*"),
        (["--harness-reason", REASON], "*goes with --harness-accept*"),
    ],
)
def test_nothing_is_accepted_without_a_reason(
    words: list[str], told: str, run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    ended = run(check(), *words)
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines([told])
    assert not (pytester.path / "image_baselines").exists()


REFUSED = {
    "blank": (
        "lambda: np.full((32, 48, 3), 7, np.uint8)",
        "*refused: the actual image shows nothing: every pixel is 7, 7, 7*",
    ),
    "blank, made once": ("np.zeros((32, 48, 3), np.uint8)", "*refused: the actual image shows nothing*"),
    "unstable": ("lambda made=iter((0, 1)): picture(plus=next(made))", "*refused: it is unstable: made twice*"),
    "of two sizes": ("lambda made=iter((9, 8)): picture()[:next(made)]", "*refused: it is unstable*two sizes*"),
    "no picture": ("[1, 2, 3]", "*ImageError: picture actual: it is of type list*"),
    "floats": ("picture() / 255.0", "*ImageError: *data_range*"),
}


def test_what_proves_nothing_is_refused_also_when_it_is_to_be_accepted(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    tests = [
        f"def test_{number}(image_baseline):\n    image_baseline.check({image}, psnr_db=1)\n"
        for number, (image, _) in enumerate(REFUSED.values())
    ]
    for words in ((), ACCEPT):
        ended = run("".join(tests), *words)
        ended.assert_outcomes(failed=len(REFUSED))
        for _, told in REFUSED.values():
            ended.stdout.fnmatch_lines([told])
        assert not stored(pytester.path).parent.exists()


def test_what_makes_a_picture_is_called_twice(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    text = "calls = []\ndef made():\n    calls.append(1)\n    return picture()\n"
    text += "def test_cup(image_baseline):\n    image_baseline.check(made)\n    assert len(calls) == 2\n"
    run(text, *ACCEPT).assert_outcomes(passed=1)
    assert read_record(AcceptedImage, stored(pytester.path).with_suffix(".json")).made == 2
    run(text).assert_outcomes(passed=1)


def test_floats_that_are_not_the_same_twice_are_unstable(tmp_path: Path) -> None:
    values = iter(np.full((32, 48, 3), 0.5) + np.linspace(0, 0.4, 48)[:, None] + more for more in (0, 1e-7))
    judged = judged_image(lambda: next(values), place_in(tmp_path), {}, None, data_range=(0, 1))
    assert "equal in 8 bits; their floats are not" in judged.complaint


def test_bounds_and_names_that_are_none_fail_the_test(run: Callable[..., pytest.RunResult]) -> None:
    text = "def test_cup(image_baseline):\n    image_baseline.check(picture(), psnr=40)\n"
    text += "def test_name(image_baseline):\n    image_baseline.check(picture(), 'a/b')\n"
    text += "def test_twice(image_baseline):\n"
    text += "    image_baseline.check(picture(), 'one')\n    image_baseline.check(picture(), 'one')\n"
    ended = run(text, *ACCEPT)
    ended.assert_outcomes(failed=3)
    ended.stdout.fnmatch_lines(["*Did you mean 'psnr_db'*", "*'a/b' is no name for a picture*", "*'one' already*"])


# --- damaged stores --------------------------------------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another picture": (
        lambda path: write_picture(path, np.zeros((32, 48, 3), np.uint8)),
        "*is not the picture that Ada accepted*",
    ),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:200]), "*ImageError*damaged or cut off*"),
    "no picture": (lambda path: path.unlink(), "*test_2.png is missing*"),
    "no record": (lambda path: path.with_suffix(".json").unlink(), "*test_3.json is missing*"),
    "edited record": (
        lambda path: path.with_suffix(".json").write_text('{"who": "Ada"}', encoding="utf-8"),
        "*RecordError*not a AcceptedImage*",
    ),
    "another version": (
        lambda path: path.with_suffix(".json").write_text(
            path.with_suffix(".json").read_text(encoding="utf-8").replace('"schema_version": 1', '"schema_version": 2'),
            encoding="utf-8",
        ),
        "*RecordError*schema_version*",
    ),
}


def test_a_damaged_store_fails_and_can_be_accepted_anew(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    tests = [
        f"def test_{number}(image_baseline):\n    image_baseline.check(picture({number}), psnr_db=1)\n"
        for number in range(len(DAMAGE))
    ]
    text = "".join(tests) + "def test_whole(image_baseline):\n    image_baseline.check(picture(99))\n"
    run(text, *ACCEPT).assert_outcomes(passed=len(DAMAGE) + 1)
    for number, (damage, _) in enumerate(DAMAGE.values()):
        damage(stored(pytester.path, f"test_{number}"))
    ended = run(text)
    ended.assert_outcomes(failed=len(DAMAGE), passed=1)
    for _, told in DAMAGE.values():
        ended.stdout.fnmatch_lines([told])
    run(text, *ACCEPT).assert_outcomes(passed=len(DAMAGE) + 1)
    run(text).assert_outcomes(passed=len(DAMAGE) + 1)


# --- several pictures, names, places ---------------------------------------------------------------------------------

SEVERAL = """
@pytest.mark.parametrize("word", ["blue", "a/b", "a:b", "../up", "x" * 300, "blue@2"])
def test_cup(image_baseline, word):
    image_baseline.check(picture(1))
    image_baseline.check(picture(2))
    image_baseline.check(picture(3), "after")

class TestEdit:
    def test_cup(self, image_baseline):
        image_baseline.check(picture(4))
"""


def test_every_picture_has_a_file_of_its_own_also_side_by_side(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run(SEVERAL, *ACCEPT, "-n", "2").assert_outcomes(passed=7)
    files = sorted(path.name for path in stored(pytester.path).parent.iterdir())
    assert len(files) == 2 * (6 * 3 + 1)
    assert {"test_cup-blue.png", "test_cup-blue@2.png", "test_cup-blue@after.png", "TestEdit.test_cup.png"} <= set(
        files
    )
    assert all(len(name) < 150 for name in files)
    run(SEVERAL).assert_outcomes(passed=7)
    ended = run(SEVERAL.replace("picture(4)", "picture(5)").replace("picture(2)", "picture(6)"), "-n", "2")
    ended.assert_outcomes(failed=7)
    ended.stdout.fnmatch_lines(["7 failed; side by side in *image_baseline_report/image_baselines.html"])


GROUPED = """
@pytest.mark.xdist_group("cups")
@pytest.mark.parametrize("word", ["blue", "red@cups"])
def test_cup(image_baseline, word):
    image_baseline.check(picture())
"""


def test_a_group_of_xdist_is_no_part_of_the_name(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run(GROUPED, *ACCEPT, "-n", "2", "--dist", "loadgroup").assert_outcomes(passed=2)
    assert stored(pytester.path, "test_cup-blue").is_file()
    run(GROUPED).assert_outcomes(passed=2)


def test_the_command_to_accept_works_where_one_stands(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (pytester.path / "tests").mkdir()
    (pytester.path / "docs").mkdir()
    monkeypatch.chdir(pytester.path / "docs")
    ended = run(check(), "../tests", "--harness-baselines", "my pictures", name="tests/test_port.py")
    # Where CI is set, pytest repeats the whole message in its summary.
    line = next(line for line in ended.outlines if "accept it: " in line)
    command = shlex.split(line.partition("accept it: ")[2])
    assert command[:4] == ["pytest", "../tests/test_port.py::test_cup", "--harness-baselines", "my pictures"]
    plugin = ["-p", "harness.pytest_plugin", "-p", "no:cacheprovider"]
    pytester.runpytest_subprocess(*plugin, *command[1:-1], REASON).assert_outcomes(passed=1)
    assert (pytester.path / "docs" / "my pictures" / "tests" / "test_port" / "test_cup.png").is_file()


def test_a_failure_that_a_test_expects_is_not_on_the_page(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    text = "def test_cup(image_baseline):\n    with pytest.raises(AssertionError, match='no accepted picture'):\n"
    text += "        image_baseline.check(picture())\n"
    text += "@pytest.mark.xfail\ndef test_sky(image_baseline):\n    image_baseline.check(picture())\n"
    run(text).assert_outcomes(passed=1, xfailed=1)
    assert [path.name for path in (pytester.path / "image_baseline_report").iterdir()] == [".gitignore"]


@pytest.mark.parametrize(
    ("test", "label"),
    [("t.py::test_a[x@2]", "1"), ("t.py::test_a[x]", "2"), ("t.py::test_a-x", "2"), ("t.py::test_a[x/2]", "1")],
)
def test_no_two_pictures_share_a_name(test: str, label: str) -> None:
    others = {
        ("t.py::test_a[x@2]", "1"),
        ("t.py::test_a[x]", "2"),
        ("t.py::test_a[x/2]", "1"),
        ("t.py::test_a[x:2]", "1"),
    }
    mine = file_name(test, label)
    same = [other for other in others - {(test, label)} if file_name(*other) == mine]
    assert same == ([("t.py::test_a[x]", "2")] if test == "t.py::test_a-x" else [])  # no function is called test_a-x


def test_baselines_can_be_kept_elsewhere(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    (pytester.path / "tests").mkdir()
    words = ["--harness-baselines", "kept", "--harness-report", "out/pages"]
    run(check(), *ACCEPT, *words, name="tests/test_port.py").assert_outcomes(passed=1)
    assert (pytester.path / "kept" / "tests" / "test_port" / "test_cup.png").is_file()
    run(check(plus=1), *words, name="tests/test_port.py").assert_outcomes(failed=1)
    assert (pytester.path / "out" / "pages" / "image_baselines.html").is_file()
    assert not (pytester.path / "tests" / "image_baselines").exists()


# --- the page --------------------------------------------------------------------------------------------------------


def test_failures_are_one_page_with_the_pictures_side_by_side(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run(check(), *ACCEPT)
    text = check(plus=9) + "def test_new(image_baseline):\n    image_baseline.check(picture(3), '<b>')\n"
    text = text.replace("'<b>'", "'b'") + "@pytest.mark.parametrize('word', ['<i>&'])\n"
    text += "def test_sky(image_baseline, word):\n    image_baseline.check(picture(4))\n"
    ended = run(text)
    ended.assert_outcomes(failed=3)
    ended.stdout.fnmatch_lines(["*= image baselines =*", "3 failed; side by side in *image_baselines.html"])
    folder = pytester.path / "image_baseline_report"
    page = (folder / "image_baselines.html").read_text(encoding="utf-8")
    assert problems(page) == []
    assert lost_files(page, folder) == []
    assert page.count("data:image/webp") == 3 + 1 + 1  # actual, expected and difference; two have no expected one
    assert "the pictures are not identical, and no limit was given." in page
    assert "test_port.py::test_new (b)" in page
    assert "&lt;i&gt;&amp;" in page
    assert "<i>" not in page
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_the_page_of_an_earlier_session_goes_when_nothing_fails_any_more(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    folder = pytester.path / "image_baseline_report"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "pictures").mkdir()
    write_picture(folder / "pictures" / "actual.png", np.zeros((2, 2, 3), np.uint8))
    run(check(), *ACCEPT)
    run(check(plus=1)).assert_outcomes(failed=1)
    assert (folder / "image_baselines.html").is_file()
    run("def test_other():\n    pass\n").assert_outcomes(passed=1)
    assert (folder / "image_baselines.html").is_file(), "a session that checks no picture says nothing about pictures"
    run(check()).assert_outcomes(passed=1)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "pictures"]


# --- who does not use it ---------------------------------------------------------------------------------------------

UNUSED = """
import sys

def test_nothing_is_loaded():
    heavy = {"numpy", "PIL", "pydantic", "numba", "cv2", "jinja2", "torch"} & set(sys.modules)
    ours = {name for name in sys.modules if name.split(".")[0] == "harness"} - {"harness", "harness.pytest_plugin"}
    assert (heavy, ours) == (set(), set())
"""


@pytest.mark.parametrize("words", [[], ["-n", "1"], ["-p", "no:terminal"]])
def test_who_does_not_use_it_loads_and_sees_nothing(
    words: list[str], pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    del run  # for its variables
    (pytester.path / "test_plain.py").write_text(UNUSED, encoding="utf-8")
    ended = pytester.runpytest_subprocess(
        "-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-W", "error", *words
    )
    assert ended.ret == pytest.ExitCode.OK
    ended.stdout.no_fnmatch_line("*image baselines*")
    assert not (pytester.path / "image_baseline_report").exists()
    assert not (pytester.path / "image_baselines").exists()


def test_what_is_loaded_would_be_noticed(run: Callable[..., pytest.RunResult]) -> None:
    text = UNUSED.replace("():", "(image_baseline):").replace(
        "    heavy", "    image_baseline.check\n    import numpy\n    heavy"
    )
    run(text, apart=True).assert_outcomes(failed=1)


def test_the_entry_point_is_named_as_its_module() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"harness.pytest_plugin": "harness.pytest_plugin"}


# --- who accepts -----------------------------------------------------------------------------------------------------


def place_in(folder: Path) -> Place:
    return Place(folder=folder, test="test_port.py::test_cup", label="1", accept_command="pytest")


def test_a_user_without_a_name_has_to_say_who_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(image_baselines, "getuser", nameless)
    with pytest.raises(UsageError, match="--harness-who"):
        Acceptance(why=REASON, who="").require_sound()
    Acceptance(why=REASON, who="Ada").require_sound()


def test_a_stored_record_is_strict_json_without_paths(tmp_path: Path) -> None:
    picture: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    judged_image(picture, place_in(tmp_path), {}, Acceptance(why=REASON, who="Ada"))
    text = (tmp_path / "test_cup.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert json.loads(text)["schema_version"] == 1
