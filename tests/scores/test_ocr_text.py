"""Text in pictures is read and held against what the prompt quotes; faults lower the score, harmless changes do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from harness.errors import UndefinedScore
from harness.scores import ocr_text
from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import Scene, Sign
from tests.command_line import PLANTED, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.contracts import Scored
    from tests.command_line import RunHarness, WriteScenario

PROMPT = 'a shop with a sign that says "OPEN DAILY" and a card with "9:00-21:30"'
SIDE = 320


def drawn(*lines: str, ink: str = "#141414", ground: str = "#c8dcf0", points: int = 40) -> Image.Image:
    """Lines of text below each other."""
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    for index, line in enumerate(lines):
        place = 20, 30 + 80 * index
        ImageDraw.Draw(picture).text(place, line, fill=ink, font=ImageFont.load_default(points))
    return picture


def score(picture: Image.Image | NDArray[np.uint8], prompt: str = PROMPT) -> Scored:
    return ocr_text.score(np.asarray(picture, dtype=np.uint8), prompt=prompt, input_image=None)


# --- where the extra is installed ------------------------------------------------------------------------------------


@pytest.fixture
def reader() -> None:
    for package in ("rapidocr", "onnxruntime"):
        pytest.importorskip(package, reason=f"the extra ocr is not installed here: no {package}")


@pytest.mark.usefixtures("reader")
def test_the_text_that_was_asked_for_scores_1() -> None:
    found = score(drawn("OPEN DAILY", "9:00-21:30"))
    assert (found.value, found.parts, found.words) == (1, {"words": 1}, "")


def patched(picture: Image.Image) -> Image.Image:
    """A patch over some letters of the first line, as a broken tile leaves."""
    ImageDraw.Draw(picture).rectangle((100, 20, 180, 80), fill="black")
    return picture


FAULTS: dict[str, tuple[Callable[[], Image.Image], float]] = {
    "no text at all": (drawn, 0),
    "one letter is another": (lambda: drawn("OPEM DAILY", "9:00-21:30"), 18 / 19),
    "a letter is doubled": (lambda: drawn("OPPEN DAILY", "9:00-21:30"), 0.9526),
    "one text is missing": (lambda: drawn("OPEN DAILY"), 9 / 19),
    "letters are hidden": (lambda: patched(drawn("OPEN DAILY", "9:00-21:30")), 0.9),
    "mirrored": (lambda: drawn("OPEN DAILY", "9:00-21:30").transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.5),
}
"""Pictures that are not what was asked, and the most that they may score."""


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_lowers_the_score_and_says_what_was_read(fault: str) -> None:
    make, most = FAULTS[fault]
    found = score(make())
    assert found.value <= most + 1e-4
    assert found.parts["words"] <= 0.5
    assert found.words.startswith("asked opendaily, 9:00-21:30; read ")


def noisy(picture: Image.Image) -> NDArray[np.uint8]:
    """Noise of three levels, as another device's arithmetic leaves at most."""
    levels = np.asarray(picture).astype(int) + np.random.default_rng(0).integers(-3, 4, (SIDE, SIDE, 3))
    return levels.clip(0, 255).astype(np.uint8)


HARMLESS: dict[str, Callable[[], Image.Image | NDArray[np.uint8]]] = {
    "faint noise": lambda: noisy(drawn("OPEN DAILY", "9:00-21:30")),
    "another order": lambda: drawn("9:00-21:30", "OPEN DAILY"),
    "a text on two lines": lambda: drawn("OPEN", "DAILY", "9:00-21:30"),
    "more text than was asked for": lambda: drawn("OPEN DAILY", "WELCOME", "9:00-21:30"),
    "smaller, light on dark, without capitals": lambda: drawn(
        "open daily", "9:00-21:30", points=30, ink="#fae650", ground="#141e3c"
    ),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_change_does_not_lower_the_score(change: str) -> None:
    assert score(HARMLESS[change]()).value == 1


@pytest.mark.usefixtures("reader")
def test_a_sign_of_the_embedded_model_is_read() -> None:
    def sign(letters: str) -> NDArray[np.uint8]:
        return draw_scene(Scene(ground="white", sign=Sign(letters, "blue", frame_named=True)))

    assert score(sign("NPU"), 'a blue sign that says "NPU"').value == 1
    assert score(sign("NPX"), 'a blue sign that says "NPU"').value < 1


# --- everywhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ('a sign that says "OPEN" and “9 to 5”', ["OPEN", "9 to 5"]),
        ("the dog's bowl says 'REX', and isn't full", ["REX"]),
        ("a note with 'don't touch'", ["don't touch"]),
        ("写着「营业中」和『欢迎』", ["营业中", "欢迎"]),
        ("a red cup", []),
        ('an inch is 1"', []),
    ],
)
def test_what_stands_in_quotation_marks_is_asked_for(prompt: str, texts: list[str]) -> None:
    assert ocr_text.quotes(prompt) == texts


def test_edits_are_counted_over_the_longer_text() -> None:
    assert ocr_text.likeness("open", "opeen") == pytest.approx(0.8)
    assert ocr_text.likeness("abc", "cab") == pytest.approx(1 / 3)
    assert ocr_text.likeness("open", "open") == 1


def test_a_prompt_that_quotes_nothing_has_no_score() -> None:
    with pytest.raises(UndefinedScore, match="the prompt quotes no text"):
        score(drawn("OPEN"), "a red cup")


def test_what_is_not_installed_is_told_before_anything_is_made(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    (tmp_path / "planted" / "rapidocr").mkdir(parents=True)
    (tmp_path / "planted" / "rapidocr" / "__init__.py").write_text("", encoding="utf-8")
    path = f"{tmp_path / 'planted'}:{PLANTED}:{ROOT}"
    ended = run_harness("check", write_scenario(scores=["ocr_text"]), PYTHONPATH=path)
    assert ended.code == 2
    assert "the score ocr_text needs " in ended.err
    assert "which is not installed here; pip install" in ended.err
    assert not (tmp_path / "runs").exists()
