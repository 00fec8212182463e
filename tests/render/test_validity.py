"""Pages are valid HTML: read by a strict parser, every link leads somewhere, and everyone is told what there is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import unquote

import html5lib
import pytest

from harness.jobs.release import ReleaseRequest, release
from harness.language import languages, spoken
from tests.release_jobs import release_folder
from tests.render import sample_reports
from tests.render.readers import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

SCOPES = {"col", "row", "colgroup", "rowgroup"}
INTERACTIVE = {"a", "button", "details", "embed", "iframe", "input", "label", "select", "textarea"}
HOLD_NONE = {"a", "button", "label", "summary"}
"""Elements in which a reader cannot reach another interactive one."""
BLOCKS = {"article", "details", "div", "dl", "figure", "nav", "ol", "p", "pre", "section", "table", "ul"}
HOLD_PHRASES = {"button", "code", "h1", "h2", "h3", "h4", "kbd", "label", "p", "small", "span", "strong"}
"""Elements in which the standard allows no block; a parser forgives most of them."""
NAMES_OTHERS = ("for", "headers", "aria-labelledby", "aria-describedby", "aria-controls")
"""Attributes that hold ids of other elements, with spaces between them."""


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("name", sample_reports.BUILDERS)
def test_every_page_is_valid(name: str, code: str, tmp_path: Path) -> None:
    report = sample_reports.BUILDERS[name](tmp_path)
    with spoken(code):
        page = rendered("html", report, tmp_path)
    (tmp_path / "report").mkdir(exist_ok=True)
    assert problems(page) == []
    assert lost_files(page, tmp_path / "report") == []


def test_the_pages_of_a_release_are_valid(tmp_path: Path) -> None:
    place = release_folder(tmp_path)
    request = ReleaseRequest(
        name="r1",
        scenarios=[],
        jobs=[],
        languages=languages(),
        runs_folder=place / "runs",
        scenarios_folder=place / "scenarios",
    )
    made = release(request, place / "reports")
    pages = [path for path in made.files if path.suffix == ".html"]
    assert len(pages) == len(languages())
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert problems(text) == []
        assert lost_files(text, path.parent) == []


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>page</title></head><body>
<nav aria-labelledby="top"><a href="#top">up</a></nav>
<h1 id="top">page</h1>
<img src="a.png" alt="a cup">
<table><thead><tr><th scope="col">one</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>
<label>width <input type="range"></label>
<details><summary>more</summary><a href="../a.png">open</a></details>
</body></html>
"""

FAULTS: dict[str, tuple[str, str, str]] = {
    # what is wrong: (a part of the page, what stands in its place, how it is told)
    "no document type": ("<!DOCTYPE html>\n", "", "line 1: expected-doctype"),
    "an element that is never closed": ("</details>", "", "line 9: expected-one-end-tag"),
    "a block in a paragraph": ("<h1 id", "<p><table></table></p><h1 id", "line 4: unexpected-end-tag"),
    "a lone bracket": ("more<", "a < b<", "line 8: expected-tag-name"),
    "an unknown entity": ("more<", "&more;<", "line 8: expected-named-entity"),
    "an attribute twice": ('alt="a cup"', 'alt="a cup" alt=""', "line 5: duplicate-attribute"),
    "a word beside the cells": ("<tbody>", "<tbody><b>1</b>", "line 6: unexpected-start-tag-implies-table-voodoo"),
    "a table in a heading": ('<h1 id="top">', '<h1 id="top"><table></table>', "table in h1"),
    "a list in a span": (">more<", "><span><ul><li>more</li></ul></span><", "ul in span"),
    "an id twice": ('<h1 id="top">', '<h1 id="top"><b id="top">page</b>', "the id top stands here 2 times"),
    "an id with a space": ('<h1 id="top">', '<h1 id="top"><b id="to p">page</b>', "the id 'to p' is no word"),
    "a link to nothing": ('href="#top"', 'href="#tip"', "a: nothing has the id tip"),
    "a name of nothing": ('by="top"', 'by="top tip"', "nav: nothing has the id tip"),
    "a picture without words": (' alt="a cup"', "", "img a.png: no alt"),
    "a heading of unknown scope": (' scope="col"', "", "th one: no scope"),
    "a heading of another scope": ('scope="col"', 'scope="column"', "th one: no scope"),
    "a link in a button": ('<a href="#top">up</a>', '<button><a href="#top">up</a></button>', "a in button"),
    "a button in a link": (">up</a>", "><b><button>up</button></b></a>", "button in a"),
    "two fields of one label": ("<input ", "<input><input ", "2 fields in label"),
    "a link in a summary": (">more<", '><a href="#top">more</a><', "a in summary"),
    "what the keyboard reaches in a link": (">up</a>", '><b tabindex="0">up</b></a>', "b in a"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    part, instead, told = FAULTS[fault]
    assert PAGE.count(part) == 1
    found = problems(PAGE.replace(part, instead))
    assert any(told in each for each in found), found


def test_the_page_without_a_fault_has_none() -> None:
    assert problems(PAGE) == []


def test_a_link_to_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    assert lost_files(PAGE, tmp_path / "report") == ["../a.png"]
    (tmp_path / "report").mkdir()
    (tmp_path / "a.png").touch()
    assert lost_files(PAGE, tmp_path / "report") == []


def problems(text: str) -> list[str]:
    """Everything that is wrong with a page, in words."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False)
    root = parser.parse(text)
    found = [f"line {line}: {name} {values}" for (line, _), name, values in parser.errors]
    return [*found, *id_problems(root), *word_problems(root), *nesting_problems(root, [])]


def lost_files(text: str, folder: Path) -> list[str]:
    """Links of a page in this folder that lead to no file."""
    root = html5lib.parse(text, namespaceHTMLElements=False)
    links = [each.get("href", "") for each in root.iter("a")]
    return [link for link in links if not link.startswith("#") and not (folder / unquote(link)).exists()]


def id_problems(root: Element) -> Iterator[str]:
    counts = Counter(each.get("id", "") for each in root.iter() if "id" in each.attrib)
    for name, count in counts.items():
        if count > 1:
            yield f"the id {name} stands here {count} times"
        if len(name.split()) != 1:
            yield f"the id {name!r} is no word"
    for element in root.iter():
        href = element.get("href", "")
        wanted = [href[1:]] if href.startswith("#") else []
        wanted += [name for key in NAMES_OTHERS for name in element.get(key, "").split()]
        yield from (f"{element.tag}: nothing has the id {name}" for name in wanted if name not in counts)


def word_problems(root: Element) -> Iterator[str]:
    for image in root.iter("img"):
        if not image.get("alt"):
            yield f"img {image.get('src', '')[:40]}: no alt"
    for heading in root.iter("th"):
        if heading.get("scope") not in SCOPES:
            yield f"th {''.join(heading.itertext())}: no scope"


def nesting_problems(element: Element, around: list[str]) -> Iterator[str]:
    """Interactive elements inside others, of which a label may hold one field, and blocks inside phrases."""
    tag = str(element.tag)
    holders = [each for each in around if each in HOLD_NONE and not (each == "label" and tag == "input")]
    if holders and (tag in INTERACTIVE or "tabindex" in element.attrib):
        yield f"{tag} in {holders[-1]}"
    phrases = [each for each in around if each in HOLD_PHRASES]
    if phrases and tag in BLOCKS:
        yield f"{tag} in {phrases[-1]}"
    if tag == "label" and (fields := len(list(element.iter("input")))) > 1:
        yield f"{fields} fields in label"
    for child in element:
        yield from nesting_problems(child, [*around, tag])
