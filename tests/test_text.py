from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import text

if TYPE_CHECKING:
    from collections.abc import Callable


# --- printable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain words stay, 猫 and é too", "plain words stay, 猫 and é too"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("\x1bP1$r0m\x1b\\text", "text"),
        ("\x1bctext\x1b(B", "text"),
        ("\x1b[2J\x1b[H\x1b[?25l", ""),
        ("bell\a null\0 back\b\b delete\x7f", "bell null back delete"),
        ("10 %\r20 %\r\n30 %", "10 %\n20 %\n30 %"),
        ("a\u2028b\u2029c\x85d", "a\nb\nc\nd"),
        ("user\u202egnp.exe\u2066x\u2069\u200f", "usergnp.exex"),
        ("zero\u200bwidth\ufeff\U000e0041", "zerowidth"),
        ("half \ud800 a pair", "half  a pair"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_printable_takes_out_what_acts_and_keeps_what_is_seen(raw: str, shown: str) -> None:
    assert text.printable(raw) == shown


def test_an_unfinished_escape_sequence_cannot_swallow_the_rest() -> None:
    assert text.printable("\x1b]0;never ended\nnext line") == "0;never ended\nnext line"


@given(st.text(st.characters()))
def test_printable_text_is_stable_and_can_always_be_written(raw: str) -> None:
    shown = text.printable(raw)
    assert text.printable(shown) == shown
    assert "\x1b" not in shown
    shown.encode("utf-8")


# --- one_line --------------------------------------------------------------------------------------------------------


@given(st.text(), st.integers(1, 40))
def test_one_line_is_one_line_within_its_limit(raw: str, limit: int) -> None:
    line = text.one_line(raw, limit=limit)
    assert len(line.splitlines()) <= 1
    assert len(line) <= limit


def test_one_line_shows_that_it_was_cut() -> None:
    assert text.one_line("x" * 300).endswith("x…")
    assert text.one_line("x" * 200) == "x" * 200


# --- redact ----------------------------------------------------------------------------------------------------------

SECRETS = {
    "hub token": ("token hf_AbCdEf1234567890 here", "AbCdEf1234567890"),
    "bearer": ("-H 'Authorization: Bearer abc.def-ghi'", "abc.def-ghi"),
    "bearer alone": ("sent Bearer abc.def-ghi=", "abc.def-ghi"),
    "basic": ("Authorization: Basic dXNlcjpwdw==", "dXNlcjpwdw"),
    "token assigned": ("export HF_TOKEN=s3cr3tvalue", "s3cr3tvalue"),
    "key assigned": ("OPENAI_API_KEY='s3cr3t value'", "s3cr3t value"),
    "password assigned": ("PASSWORD=pw", "=pw"),
    "lower case": ("password: hunter22", "hunter22"),
    "dictionary": ("{'HF_TOKEN': 's3cr3t', 'A': 'b'}", "s3cr3t"),
    "url": ("https://ada:hunter22@example.org/x", "hunter22"),
    "url with a sign in the password": ("https://ada:hun@ter22@example.org/x", "ter22"),
    "url with a token": ("git clone https://s3cr3t@example.org/x", "s3cr3t"),
    "database": ("postgres://ada:hunter22@db/x", "hunter22"),
    "query": ("https://example.org/x?a=b&access_token=s3cr3t&c=d", "s3cr3t"),
    "flag": ("tool --token s3cr3t --out x", "s3cr3t"),
    "flag with sign": ("tool --password=s3cr3t", "s3cr3t"),
    "git host": ("ghp_abcdefghijklmnopqrst", "abcdefghijklmnopqrst"),
    "cloud": ("AKIAABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
    "home": ("open /home/ada/model", "ada"),
    "home on a share": ("open /mnt/nfs/home/ada/model", "ada"),
    "home deep on a share": ("open /a/b/c/d/e/home/ada/model", "ada"),
    "home in a flag": ("cc -I/home/ada/include", "ada"),
    "home in an address": ("file:///home/ada/x", "ada"),
    "home behind two slashes": ("open //home/ada/x", "ada"),
    "home of the superuser": ("open /root/model", "root"),
    "home on another system": ("open /Users/ada/model", "ada"),
    "home with backslashes": (r"open C:\Users\ada\model", "ada"),
    "home with doubled backslashes": (r"open 'C:\\Users\\ada\\model'", "ada"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_redact_takes_each_planted_secret_out(name: str) -> None:
    raw, secret = SECRETS[name]
    assert secret in raw
    assert secret not in text.redact(raw, environment={})


@pytest.mark.parametrize(
    "harmless",
    [
        "import hf_transfer, hf_hub_download",
        "eos_token='<|endoftext|>' pad_token=0 max_tokens=5",
        "tokenizer loaded, keyword=3, monkey=chimp",
        "/rootfs/data and /homework/x and ./home",
        "see https://example.org/home/page and git@example.org",
        "a flag bearer walks at noon",
        "12:30 and a::b and C:/work",
    ],
)
def test_redact_leaves_harmless_text_alone(harmless: str) -> None:
    assert text.redact(harmless, environment={}) == harmless


def test_redact_keeps_what_stands_around_a_secret() -> None:
    raw = "tool --token s3cr3t --out /home/ada/x?y=1 HF_TOKEN=abcdefgh, next"
    assert text.redact(raw, environment={}) == "tool --token *** --out ~/x?y=1 HF_TOKEN=***, next"


def test_redact_takes_out_values_of_secret_variables_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "swordfish")
    monkeypatch.setenv("OTHER_SECRET", "swordfish-and-more")
    monkeypatch.setenv("SHORT_TOKEN", "true")
    monkeypatch.setenv("HOME", "/srv/people/ada")
    assert text.redact("swordfish, swordfish-and-more, true, /srv/people/ada/x") == "***, ***, true, ~/x"


def test_redact_with_an_empty_environment_depends_on_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "swordfish")
    monkeypatch.setenv("HOME", "/srv/people/ada")
    assert text.redact("swordfish /srv/people/ada", environment={}) == "swordfish /srv/people/ada"


@given(st.text("/home:@=?&TOKEN_abc \n'\"\\", max_size=80))
def test_redacting_twice_changes_nothing_more(raw: str) -> None:
    once = text.redact(raw, environment={})
    assert text.redact(once, environment={}) == once


# --- markdown_cell ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("a | b", r"a \| b"),
        (r"a \| b", r"a \\\| b"),
        ("`code`", r"\`code\`"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("[x](y) ![z](w)", r"\[x\](y) !\[z\](w)"),
        ("see https://x.org or www.x.org or a@b.org", r"see https\://x.org or www\.x.org or a\@b.org"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("---", r"\---"),
        ("**bold** _it_ ~~gone~~ $x$", r"\*\*bold\*\* \_it\_ \~\~gone\~\~ \$x\$"),
        ("p99_abs_diff", "p99_abs_diff"),
        ("one\ntwo", "one<br>two"),
        ("-1.5", "-1.5"),
        ("\x1b[31mred", "red"),
    ],
)
def test_markdown_cell_keeps_text_text(raw: str, escaped: str) -> None:
    assert text.markdown_cell(raw) == escaped


@given(st.text())
def test_no_text_can_open_another_markdown_cell_or_row(raw: str) -> None:
    cell = text.markdown_cell(raw)
    assert "\n" not in cell
    assert "|" not in cell.replace(r"\\", "").replace(r"\|", "")
    assert "<" not in cell.replace("<br>", "")


# --- csv_cell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["=cmd()", "+1+1", "-1+1", "@sum(a)", "\t=x", "\r=x", "\n=x", "  =x", "＝x", "-"])  # noqa: RUF001
def test_csv_cell_guards_formulas(formula: str) -> None:
    assert text.csv_cell(formula).startswith("'")


@pytest.mark.parametrize("value", ["1", "-1", "+1.5", "-1.5e-05", "inf", "-inf", "", "word", "a=b", "1-2"])
def test_csv_cell_leaves_numbers_and_words(value: str) -> None:
    assert text.csv_cell(value) == value


@given(st.text())
def test_any_text_survives_a_csv_file(raw: str) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow(["before", text.csv_cell(raw), "after"])
    rows = list(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert rows == [["before", text.csv_cell(raw), "after"]]


# --- xml_text and ascii_only -----------------------------------------------------------------------------------------


@given(st.text(st.characters()))
def test_any_text_survives_an_xml_file(raw: str) -> None:
    element = ET.Element("x", {"value": text.xml_text(raw)})
    read_back = ET.fromstring(ET.tostring(element, encoding="utf-8"))  # written one line above
    assert read_back.get("value") == text.xml_text(raw)


def test_what_xml_forbids_breaks_a_file_that_is_not_cleaned() -> None:
    with pytest.raises(ET.ParseError):
        ET.fromstring('<x value="\x1b"/>')  # written here


@given(st.text(st.characters()))
def test_ascii_only_is_ascii(raw: str) -> None:
    assert text.ascii_only(raw).isascii()


def test_ascii_only_has_words_for_the_signs_of_the_harness() -> None:
    shown = text.ascii_only("∞ – → ✓ ✗ × ≤ ± …")  # noqa: RUF001
    assert shown == "inf - -> ok x x <= +/- ..."


@pytest.mark.parametrize(
    "function", [text.printable, text.redact, text.markdown_cell, text.csv_cell, text.xml_text, text.ascii_only]
)
@pytest.mark.parametrize(
    "pattern", ["\x1b]", "\x1b[", "a", "A_", "/a", "https://", "hf_", "@:", "'", "TOKEN=", "eyJaaaaaaaa."]
)
def test_long_hostile_text_comes_back_and_grows_by_its_escapes_only(
    function: Callable[[str], str], pattern: str
) -> None:
    hostile = pattern * (60_000 // len(pattern))
    assert len(function(hostile)) <= 8 * len(hostile)
