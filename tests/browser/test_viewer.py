"""The report as Chromium shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.language import languages, spoken
from tests import test_videos
from tests.browser.complaints import CUT, UNDECODED, WIDTHS, complaints
from tests.command_line import job_folder
from tests.render import many_cases, sample_reports
from tests.render.readers import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Chromium
    from tests.command_line import MadeOnce

SAMPLES = list(sample_reports.BUILDERS)
VIEWS = {
    "1": ("all", {"actual", "expected", "difference"}),
    "2": ("actual", {"actual"}),
    "3": ("expected", {"expected"}),
    "4": ("difference", {"difference"}),
    "5": ("slider", {"actual", "expected", "slide"}),
    "6": ("channels", {"channels"}),
    "b": ("blink", {"actual", "expected", "blinking"}),
    "z": ("tile", {"tile"}),
}
"""For each key the view and the parts of a pair that it shows."""
PARTS = ["actual", "expected", "difference", "slide", "blinking", "channels", "tile"]

SHOWN = """
(parts => {
  const pair = document.querySelector(".pair");
  return parts.filter(part => pair.querySelector("." + part)?.getClientRects().length);
})(%s)
"""


def written(builder: str, folder: Path, language: str = "en") -> Path:
    """The page of a sample report, where a job folder has it."""
    page = folder / "report" / "index.html"
    page.parent.mkdir(parents=True)
    with spoken(language):
        text = rendered("html", sample_reports.BUILDERS[builder](folder), folder)
    page.write_text(text, encoding="utf-8")
    return page


@pytest.fixture(params=languages())
def language(request: pytest.FixtureRequest) -> str:
    """Each language that reports speak."""
    code: str = request.param
    return code


@pytest.fixture
def unstable(tmp_path: Path, language: str) -> Path:
    """A page with one failing case that has a pair, and one that passes."""
    return written("unstable", tmp_path, language)


def shown(browser: Chromium) -> set[str]:
    return set(browser.value(SHOWN % json.dumps(PARTS)))


def view(browser: Chromium) -> str:
    found: str = browser.value("document.querySelector('.pair').dataset.view")
    return found


def pressed(browser: Chromium) -> list[str]:
    found: list[str] = browser.value(
        "[...document.querySelectorAll('.pair button[aria-pressed=true]')].map(each => each.dataset.view)"
    )
    return found


def status(browser: Chromium) -> str:
    found: str = browser.value("document.querySelector('.keys [role=status]').textContent")
    return found


# --- views -----------------------------------------------------------------------------------------------------------


def test_keys_and_buttons_show_their_view_and_nothing_else(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    for key, (name, parts) in VIEWS.items():
        browser.press("4" if key != "4" else "1")
        browser.press(key)
        assert (view(browser), pressed(browser), shown(browser)) == (name, [name], parts)
        browser.press("4" if key != "4" else "1")
        browser.value(f"document.querySelector('.pair button[data-view={name}]').click()")
        assert (view(browser), pressed(browser), shown(browser)) == (name, [name], parts)
    assert complaints(browser, unstable) == []


def test_the_key_that_opened_the_worst_place_closes_it(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    browser.press("z")
    browser.press("z")
    assert view(browser) == "all"


def test_keys_with_a_modifier_belong_to_the_browser(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    browser.value("document.dispatchEvent(new KeyboardEvent('keydown', {key: '4', ctrlKey: true}))")
    assert view(browser) == "all"
    browser.value("document.dispatchEvent(new KeyboardEvent('keydown', {key: '4'}))")
    assert view(browser) == "difference"


def test_the_slider_follows_the_mouse_and_the_arrow_keys(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    browser.press("5")
    browser.value("document.querySelector('.stage').scrollIntoView({behavior: 'instant', block: 'center'})")
    box = browser.value(
        "(({left, top, width, height}) => [left, top, width, height])"
        "(document.querySelector('.pair .framed').getBoundingClientRect())"
    )
    left, top, width, height = box
    clip = "getComputedStyle(document.querySelector('.pair .expected')).clipPath"
    assert browser.value(clip) == "inset(0px 0px 0px 50%)"
    browser.drag((left + width * 0.5, top + height / 2), (left + width * 0.2, top + height / 2))
    assert browser.value(clip) == "inset(0px 0px 0px 20%)"
    browser.value("document.querySelector('.slide input').focus()")
    browser.press("ArrowRight")
    assert browser.value(clip) == "inset(0px 0px 0px 21%)"
    both = browser.value(
        "['.actual', '.expected'].map(name => {"
        "const box = document.querySelector(`.pair ${name} img`).getBoundingClientRect();"
        "return [box.left, box.top, box.width]})"
    )
    assert both[0] == both[1], "the two lie exactly on each other"


SWAPS = """
new Promise(done => {
  const pair = document.querySelector(".pair");
  let swaps = 0;
  new MutationObserver(() => swaps++).observe(pair, { attributeFilter: ["class"] });
  setTimeout(() => done(swaps), 1800);
})
"""


@pytest.mark.parametrize("language", ["en", pytest.param("zh", marks=pytest.mark.nightly)])  # it says nothing
def test_blinking_is_off_until_asked_for_and_ends_when_asked_again(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    assert browser.value(SWAPS) == 0
    browser.press("b")
    assert browser.value(SWAPS) >= 2
    browser.press("b")
    assert view(browser) == "all"
    assert browser.value(SWAPS) == 0


def test_where_motion_is_reduced_the_key_swaps_and_nothing_moves_by_itself(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable, prefers_reduced_motion="reduce")
    browser.press("n")
    browser.press("b")
    expected = "getComputedStyle(document.querySelector('.pair .expected')).visibility"
    assert browser.value(expected) == "hidden"
    assert browser.value(SWAPS) == 0
    assert browser.value("document.querySelector('.blinking').textContent") in {
        "Now: actual. Press b to swap: motion is reduced.",
        "当前：实际。已减少动态效果：按 b 键切换。",
    }
    browser.press("b")
    assert (view(browser), browser.value(expected)) == ("blink", "visible")


WALKED = {
    "en": (
        "Failing case 1 of 2.",
        "Failing case 2 of 2.",
        "There is no further failing case.",
        "There is no earlier failing case.",
    ),
    "zh": (
        "未通过的用例：第 1 个，共 2 个。",
        "未通过的用例：第 2 个，共 2 个。",
        "后面没有未通过的用例。",
        "前面没有未通过的用例。",
    ),
}


def test_n_and_p_walk_over_the_failing_cases_alone(browser: Chromium, tmp_path: Path, language: str) -> None:
    page = written("not_comparable", tmp_path, language)
    browser.open(page)
    seen = []
    for key in "nnnpp":
        browser.press(key)
        seen.append((browser.value("document.activeElement.id"), status(browser)))
    first, second, further, earlier = WALKED[language]
    assert seen == [
        ("case-1", first),
        ("case-2", second),
        ("case-2", further),
        ("case-1", first),
        ("case-1", earlier),
    ]


def test_where_no_case_fails_n_says_so(browser: Chromium, tmp_path: Path, language: str) -> None:
    page = written("identical", tmp_path, language)
    browser.open(page)
    browser.press("n")
    assert status(browser) == {"en": "No case fails.", "zh": "没有未通过的用例。"}[language]
    assert complaints(browser, page) == []


def test_j_and_k_walk_over_every_case_and_open_what_is_folded(browser: Chromium, many: Path) -> None:
    browser.open(many)
    assert browser.value("document.querySelectorAll('details.case[open]').length") == 0
    seen = []
    for key in "jjjk":
        browser.press(key)
        seen.append(browser.value("document.activeElement.id"))
        assert browser.value(ON_SCREEN), seen
    assert seen == ["case-1", "case-2", "case-3", "case-2"]
    assert browser.value("document.querySelector('.others').open && document.getElementById('case-3').open")
    assert status(browser) == f"Case 2 of {MANY}."
    assert complaints(browser, many) == []


def test_a_link_to_a_folded_case_opens_it(browser: Chromium, many: Path) -> None:
    browser.open(many)
    browser.value(f"location.hash = '#case-{MANY}'")
    case = f"document.getElementById('case-{MANY}')"
    assert browser.value(f"new Promise(done => setTimeout(() => done({case}.open), 200))") is True
    assert browser.value(f"{case}.getBoundingClientRect().top < innerHeight") is True


def test_the_filter_leaves_the_cases_whose_name_or_outcome_holds_every_word(browser: Chromium, many: Path) -> None:
    browser.open(many)
    left = "[...document.querySelectorAll('.others > .case:not([hidden]) > summary')].map(line => line.textContent)"
    total = len(browser.value(left))

    def filtered(text: str) -> list[str]:
        browser.value(
            f"(field => {{ field.value = {text!r}; field.dispatchEvent(new Event('input')); }})"
            "(document.querySelector('.filter input'))"
        )
        lines: list[str] = browser.value(left)
        return lines

    failing = filtered("drift")
    assert 0 < len(failing) < total
    assert all("drift" in line for line in failing)
    assert browser.value("document.querySelector('.filter [role=status]').textContent") == f"{len(failing)} / {total}"
    assert filtered("no such case") == []
    assert len(filtered("")) == total
    browser.value("document.querySelector('.others').open = true, document.querySelector('.filter input').focus()")
    browser.press("n")
    assert browser.value("document.activeElement.tagName") == "INPUT"


def test_where_there_is_no_case_keys_do_nothing(browser: Chromium, tmp_path: Path) -> None:
    page = written("nothing_loaded", tmp_path)
    browser.open(page)
    for key in "np1b":
        browser.press(key)
    assert browser.value("document.querySelectorAll('.case').length") == 0
    assert complaints(browser, page) == []


MANY = 306


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of many cases, of which a third fails."""
    folder = tmp_path_factory.mktemp("many")
    page = folder / "report" / "index.html"
    page.parent.mkdir()
    page.write_text(rendered("html", many_cases.built(folder, MANY), folder), encoding="utf-8")
    return page


ON_SCREEN = "(({top}) => top >= -1 && top < innerHeight)(document.activeElement.getBoundingClientRect())"
"""Whether the element with the focus begins within the window."""


def test_a_page_of_many_cases_opens_scrolls_and_walks_from_failure_to_failure(browser: Chromium, many: Path) -> None:
    browser.open(many)
    assert browser.value("document.querySelectorAll('.case').length") == MANY
    failing = MANY // 3
    for number in range(1, failing + 1):
        browser.press("n")
        assert browser.value("document.activeElement.id") == f"case-{number}"
        assert browser.value(ON_SCREEN), f"case-{number}"
    assert status(browser) == f"Failing case {failing} of {failing}."
    browser.value("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
    assert browser.value("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert complaints(browser, many) == []
    assert browser.value(UNDECODED) == []


# --- without a script, and on paper ----------------------------------------------------------------------------------


def test_without_a_script_everything_is_shown(browser: Chromium, unstable: Path) -> None:
    browser.open(unstable, scripts=False)
    assert shown(browser) == {"actual", "expected", "difference", "channels", "tile"}
    assert browser.value("document.querySelectorAll('.views[hidden], .keys[hidden]').length") == 2
    browser.open(unstable)
    assert shown(browser) == {"actual", "expected", "difference"}


def test_on_paper_every_view_is_there_whatever_was_chosen(browser: Chromium, unstable: Path, tmp_path: Path) -> None:
    browser.open(unstable)
    browser.press("n")
    browser.press("5")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert shown(browser) == {"actual", "expected", "difference", "channels", "tile"}
    assert not browser.value("document.querySelector('.views').getClientRects().length")
    browser.print_to(tmp_path / "report.pdf")
    pictures = browser.value("new Set([...document.images].map(each => each.src)).size")
    assert (tmp_path / "report.pdf").read_bytes().count(b"/Subtype /Image") >= pictures


# --- every page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("builder", SAMPLES)
def test_a_page_fits_its_window_fetches_nothing_and_logs_nothing(
    builder: str, language: str, browser: Chromium, tmp_path: Path
) -> None:
    page = written(builder, tmp_path, language)
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            browser.open(page, width=width, prefers_color_scheme=scheme)
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(CUT) == []
            assert complaints(browser, page) == []
    assert browser.value(UNDECODED) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("<img src='http://127.0.0.1:9/x.png'>", "violates the following Content Security Policy"),
        ("<script>fetch('http://127.0.0.1:9/')</script>", "violates the following Content Security Policy"),
        ("<p onclick='x'>", "violates the following Content Security Policy"),
    ],
)
def test_what_a_page_may_not_do_is_seen(fault: str, expected: str, browser: Chromium, unstable: Path) -> None:
    text = unstable.read_text(encoding="utf-8")
    unstable.write_text(text.replace("<main>", f"<main>{fault}"), encoding="utf-8")
    browser.open(unstable)
    # Some versions of Chromium look at a handler only when it is called.
    browser.value("document.querySelector('main > p[onclick]')?.click()")
    assert any(expected in complaint for complaint in complaints(browser, unstable))


def test_a_script_that_throws_is_seen(browser: Chromium, unstable: Path) -> None:
    text = unstable.read_text(encoding="utf-8")
    policy = text.index("<meta http-equiv")
    text = text[:policy] + text[text.index(">", policy) + 1 :]
    unstable.write_text(text.replace("</body>", "<script>throw new Error('planted')</script></body>"), encoding="utf-8")
    browser.open(unstable)
    assert any("planted" in each for each in complaints(browser, unstable))


@pytest.mark.parametrize(
    "fault",
    [
        "<div style='width: 1400px'>wide</div>",
        "<p style='width: 9px; overflow: hidden; white-space: nowrap'>cut off</p>",
    ],
)
def test_what_does_not_fit_is_seen(fault: str, browser: Chromium, unstable: Path) -> None:
    text = unstable.read_text(encoding="utf-8")
    unstable.write_text(text.replace("<main>", f"<main>{fault}"), encoding="utf-8")
    browser.open(unstable)
    assert len(browser.value(CUT)) == 1


@pytest.mark.slow
def test_keys_step_through_the_stored_frames_of_a_video(browser: Chromium, made_once: MadeOnce) -> None:
    job = job_folder(made_once("videos", test_videos.healthy) / "runs")
    browser.open(job / "report" / "index.html")
    at = "Number(document.activeElement.closest('.case')?.dataset.frame ?? 0)"
    browser.press("j")
    seen = [browser.value(at)]
    for key in (".", ".", ".", ",", ",", ","):
        browser.press(key)
        seen.append(browser.value(at))
    assert seen == [1, 4, 7, 7, 4, 1, 1], "beyond the first and the last one there is none"
