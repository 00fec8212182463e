"""The Markdown report stays small whatever the work was, shows the worst first and counts what it leaves out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.language import spoken
from harness.records import Failure, Status
from harness.render import markdown
from harness.render._document import Bullets, Document, Listing, Mark, Paragraph, Section, code, plain, table, word
from harness.render._report import document
from harness.render._size_limit import shortened
from tests.render import sample_reports
from tests.render.readers import Page, markdown_tables, rendered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.records import Report
    from harness.render._document import Block, Table

ARMS = ("candidate", "second", "third")


def large(folder: Path, count: int) -> Report:
    """Many cases with long prompts, three arms; every tenth case of each arm is unstable."""
    report = sample_reports.many(folder, count)
    cases = [case.model_copy(update={"prompt": f"{case.id} " * 300}) for case in report.scenario.cases]
    (run,), (compared,) = report.runs, report.comparisons
    repetitions = [
        each.model_copy(update={"status": Status.UNSTABLE}) if index % 10 == 9 else each
        for index, each in enumerate(compared.repetitions)
    ]
    runs, comparisons = [], []
    for name in ARMS:
        arm = run.plan.arm.model_copy(update={"name": name})
        plan = run.plan.model_copy(update={"arm": arm, "cases": cases})
        runs.append(run.model_copy(update={"id": f"job/{name}", "plan": plan}))
        side = compared.actual.model_copy(update={"id": f"job/{name}", "arm": name})
        update = {"actual": side, "expected": side, "repetitions": repetitions, "outcome": Status.UNSTABLE}
        comparisons.append(compared.model_copy(update=update))
    update = {"runs": runs, "comparisons": comparisons, "outcome": Status.UNSTABLE}
    return report.model_copy(update=update)


def titled(report: Document) -> dict[str, Table]:
    return {
        block.title: block
        for section in report.sections
        for block in section.blocks
        if block.kind == "table" and block.title
    }


def uncounted(whole: Document, short: Document) -> list[str]:
    """Titles of tables whose rows and the number of more rows do not make the rows of the whole table."""
    wrong = []
    for title, shown in titled(short).items():
        more = re.search(r"(\d+) more rows?:", shown.note)
        if len(shown.rows) + int(more[1] if more else 0) != len(titled(whole)[title].rows):
            wrong.append(title)
    return wrong


def fits(found: Document) -> bool:
    return len(markdown._page(found).encode()) < markdown.MOST_BYTES


def counted(text: str) -> dict[str, tuple[int, int]]:
    """Rows that are shown and rows that are said to be more, by the title of each table that begins with cases."""
    found = {}
    for part in re.split(r"^\*\*(?=[^*]+\*\*$)", text, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("**")
        more = re.search(r"(\d+) more rows?:", rest.partition("\n#")[0])
        shown = len(re.findall(r"^\| `case-", rest, flags=re.MULTILINE))
        if shown:
            found[title] = (shown, int(more[1]) if more else 0)
    return found


def test_hundreds_of_cases_make_a_small_page_that_counts_what_it_leaves_out(tmp_path: Path) -> None:
    text = rendered("markdown", large(tmp_path, 400), tmp_path)
    assert markdown.MOST_BYTES / 2 < len(text.encode()) < markdown.MOST_BYTES
    assert "This page is shortened" in text
    found = counted(text)
    assert len(found) > 2 * len(ARMS)
    assert {title: sum(rows) for title, rows in found.items()} == dict.fromkeys(found, 400)
    for arm in ARMS:
        cases = text.partition(f"**{arm}: case by case")[2].partition("more rows")[0]
        assert cases.count("**UNSTABLE**") > 6


def test_a_row_that_is_lost_without_a_word_is_noticed(tmp_path: Path) -> None:
    text = rendered("markdown", large(tmp_path, 200), tmp_path)
    lines = text.splitlines()
    lines.remove(next(line for line in lines if line.startswith("| `case-")))
    assert [sum(rows) for rows in counted("\n".join(lines)).values()].count(199) == 1


def test_a_large_page_is_small_in_chinese_too(tmp_path: Path) -> None:
    with spoken("zh"):
        text = rendered("markdown", large(tmp_path, 200), tmp_path)
    assert len(text.encode()) < markdown.MOST_BYTES
    assert "本页已缩短" in text


def test_the_page_for_browsers_keeps_every_row(tmp_path: Path) -> None:
    report = sample_reports.many(tmp_path, 200)
    named = {row[0].strip() for row in Page(rendered("html", report, tmp_path)).rows}
    assert {f"case-{index:04}" for index in range(200)} <= named
    shown = {row[0].strip("`") for each in markdown_tables(rendered("markdown", report, tmp_path)) for row in each}
    assert "case-0000" in shown
    assert "case-0199" not in shown


def test_what_fits_is_left_as_it_is(tmp_path: Path) -> None:
    whole = document(sample_reports.drift(tmp_path))
    assert shortened(whole, fits=fits) is whole
    assert "shortened" not in rendered("markdown", sample_reports.drift(tmp_path), tmp_path)


def test_failures_stay_as_far_as_there_is_room(tmp_path: Path) -> None:
    report = sample_reports.error(tmp_path)
    failures = [
        Failure(stage="generate", key=None, process=each, repeat=None, error="Lost", message=f"card {each} is lost")
        for each in range(300)
    ]
    prompts = [
        case.model_copy(update={"id": f"c{index}"}) for index in range(900) for case in report.scenario.cases[:1]
    ]
    run = report.runs[0]
    run = run.model_copy(update={"failures": failures, "plan": run.plan.model_copy(update={"cases": prompts})})
    compared = report.comparisons[0].model_copy(update={"failures": []})
    report = report.model_copy(update={"runs": [run], "comparisons": [compared]})
    text = rendered("markdown", report, tmp_path)
    assert len(text.encode()) < markdown.MOST_BYTES
    assert [each for each in range(300) if f"| card {each} is lost |" not in text] == []
    assert "800 more rows" in text


# --- documents by hand -----------------------------------------------------------------------------------------------


def by_hand(*sections: Section) -> Document:
    mark = Mark("UNFINISHED", "m" * 5_000, "unfinished")
    return Document("t" * 9_000, "s" * 9_000, Status.ERROR, "Failed.", ("r" * 900,) * 900, (mark,), sections)


def wide(columns: int, rows: int, *, bad: Iterable[int] = (), title: str = "wide") -> Table:
    """A table whose last column says how a row fared."""
    words = {index: word(Status.DRIFT) for index in bad}
    heads = [f"column {index}" for index in range(columns)]
    cells = [
        [code(f"row {row}"), *[plain("x" * 30)] * (columns - 2), words.get(row, word(Status.IDENTICAL))]
        for row in range(rows)
    ]
    return table(heads, cells, title=title)


def most_extreme() -> Iterator[Section]:
    for index in range(20):
        blocks: list[Block] = [
            *(wide(60, 20, title=f"table {index} {number}") for number in range(10)),
            Bullets(("b" * 2_000,) * 120),
            Paragraph("p" * 5_000),
            *(Listing("line\n" * 500, f"log {number}") for number in range(20)),
        ]
        yield Section(f"s{index}", f"Section {index}", tuple(blocks))


def test_even_the_most_extreme_document_is_small_and_names_what_it_lacks() -> None:
    short = shortened(by_hand(*most_extreme()), fits=fits)
    assert fits(short)
    text = markdown._page(short)
    assert "## Section 0" in text
    left_out = re.search(r"Sections left out for want of room: (.*)\.", text)
    assert left_out is not None
    kept = [section.title for section in short.sections]
    assert kept + left_out[1].split(", ") == [f"Section {index}" for index in range(20)]
    assert re.search(r"\d+ more parts of this section are in index.html", text)
    assert re.search(r"\d+ more columns: index.html has all", text)
    assert "more: index.html and report.json have all." in text


def test_rows_that_complain_are_kept_before_others_and_in_the_order_of_the_table() -> None:
    bad = [3, 400, 799]
    whole = by_hand(Section("s", "Section", (wide(4, 800, bad=bad),)))
    short = shortened(whole, fits=lambda found: len(titled(found)["wide"].rows) <= 8)
    found = [int(row[0].text.removeprefix("row ")) for row in titled(short)["wide"].rows]
    assert found == [*range(len(found) - 2), 400, 799]
    assert 3 in found
    assert uncounted(whole, short) == []


def test_more_complaints_than_room_are_counted() -> None:
    whole = by_hand(Section("s", "Section", (wide(6, 2_000, bad=range(1_500)),)))
    short = shortened(whole, fits=fits)
    kept = titled(short)["wide"].rows
    assert fits(short)
    assert len(kept) > 100
    assert all(row[-1].status is Status.DRIFT for row in kept)
    assert uncounted(whole, short) == []


def test_the_end_of_a_log_is_kept() -> None:
    lines = "".join(f"line {index}\n" for index in range(20_000))
    whole = by_hand(Section("s", "Section", (Listing(lines, "log"),)))
    (_, log) = shortened(whole, fits=fits).sections[0].blocks
    assert isinstance(log, Listing)
    assert log.text.startswith("…")
    assert log.text.endswith("line 19999\n")
