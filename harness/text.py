r"""Text from outside made safe for the place it is shown in: terminal, Markdown, CSV, XML.

Scenarios, libraries and drivers write what they like; every text passes one of these functions before anyone sees it.
The functions are pure but for ``redact``, which also looks up secrets in the environment unless it is given one.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "***"
"""What stands where a secret was."""

_ESCAPE_SEQUENCE = re.compile(
    r"""
    (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]                       # CSI: colours, cursor
    | (?:\x1b\]|\x9d) [^\x07\x1b\x9c]* (?:\x07|\x1b\\|\x9c)   # OSC: window title, links
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\x9c]* (?:\x1b\\|\x9c)  # other strings for the terminal
    | \x1b [ -/]* [0-~]                                       # short sequences
    """,
    re.VERBOSE,
)
_LINE_BREAK = re.compile("\r\n|[\r\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of text
    "\u200b\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # what takes no room and could hide text
    "\ud800-\udfff"  # lone surrogates, which no encoding can write
    "]"
)
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    r"""Text without escape sequences and without characters that act instead of being seen.

    Newline and tab stay, every other line break becomes a newline; joiners inside words and emoji stay.

    >>> printable("\x1b[31mred\x1b[0m\a and\r\n\u202eturned")
    'red and\nturned'
    >>> printable("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\")
    'link'
    """
    return _UNSEEN.sub("", _LINE_BREAK.sub("\n", _ESCAPE_SEQUENCE.sub("", text)))


def one_line(text: str, limit: int = 200) -> str:
    r"""Printable text on one line, each run of white space one space, cut to ``limit`` characters with an ellipsis.

    >>> one_line("  first\n\n second ")
    'first second'
    >>> one_line("abcdefgh", limit=5)
    'abcd…'
    """
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


# --- secrets ---------------------------------------------------------------------------------------------------------

_SECRET_NAMES = ("TOKEN", "SECRET", "PASSWORD", "KEY")
_SHORTEST_SECRET = 8
"""Values shorter than this are words such as ``true``; taking them out would destroy other text."""

_HIDING: tuple[tuple[re.Pattern[str], str], ...] = (
    # A URL's user and password; any user of http, because a token alone can stand there.
    (re.compile(r"(?i)\b(https?://)[^\s/@]*(?:@[^\s/@]*)*@"), rf"\g<1>{HIDDEN}@"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,15}://)[^\s/@:]*:[^\s/@]*(?:@[^\s/@]*)*@"), rf"\g<1>{HIDDEN}@"),
    (re.compile(r"(?i)([?&;](?:[a-z_-]*token|[a-z_-]*key|[a-z-]*signature|password)=)[^\s&;#'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token)?\s*)[^\s'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b((?:Bearer|BEARER)\s+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1{HIDDEN}"),
    # Assignments: upper-case names of the environment, and the few lower-case ones that always hold a secret.
    (
        re.compile(
            r"(?<![A-Za-z0-9_])("
            r"(?:[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|_KEY|APIKEY)"
            r"|(?i:[a-z0-9_]*(?:password|passwd|secret|api_?key|access_?key|auth_?token|access_token|hf_token)))"
            r"['\"]?\s*[=:]\s*)"
            r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;'\"]+)"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)(--[a-z-]*(?:token|password|secret|api-?key)(?:\s+|=))[^\s]+"), rf"\1{HIDDEN}"),
    # Tokens that show by their form what they are.
    (re.compile(r"\bhf_(?:[A-Za-z0-9]{16,}|(?=[a-z]*[0-9A-Z])[A-Za-z0-9]{8,})"), f"hf_{HIDDEN}"),
    (re.compile(r"\b(?:gh[opsru]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,})"), HIDDEN),
    (re.compile(r"\b(?:AKIA[0-9A-Z]{16}|xox[abp]-[\w-]{8,}|ms-[0-9a-f]{8}-[0-9a-f-]{20,})"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"), HIDDEN),
)
_HOME_FOLDERS = re.compile(
    r"(?:(?<![\w.~/-])|(?<=file://)|(?<=-[IL]))(?:(?<!:)/(?=/))?"
    r"(?:/[\w.-]+){0,8}?/(?:home|Users)/[^\s/'\":,;<>()\[\]]+"
    r"|(?<![\w.~/-])/(?:var/)?root(?![\w.-])"
    r"|(?i:\b[a-z]:(?:\\{1,2}|/)(?:Users|Documents\ and\ Settings)(?:\\{1,2}|/)[^\s\\/'\":,;<>]+)"
)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Text without home folders, tokens and passwords.

    ``environment`` names the variables whose values are looked for, by default the process's own; with an empty one
    the result depends on the text alone.

    >>> redact("open /home/ada/model.safetensors with Bearer abc123def456", environment={})
    'open ~/model.safetensors with Bearer ***'
    >>> redact("HF_TOKEN=hf_abcDEF123456789 https://ada:pw@example.org/x", environment={})
    'HF_TOKEN=*** https://***@example.org/x'
    >>> redact("it said swordfish7", environment={"DB_PASSWORD": "swordfish7"})
    'it said ***'
    """
    names = os.environ if environment is None else environment
    for value in _secret_values(names):
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _HIDING:
        text = pattern.sub(replacement, text)
    text = _HOME_FOLDERS.sub("~", text)
    home = names.get("HOME", "").rstrip("/")
    # A home such as /root or / is left to the patterns above: cut out blindly it would tear other paths apart.
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if home.count("/") > 1 else text


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    values = {
        value
        for name, value in environment.items()
        if any(word in name.upper() for word in _SECRET_NAMES) and len(value) >= _SHORTEST_SECRET
    }
    # Longest first, so that no value leaves the rest of a longer one behind.
    return sorted(values, key=lambda value: (-len(value), value))


# --- Markdown --------------------------------------------------------------------------------------------------------

_MARKDOWN_SIGNS = re.compile(r"[\\`*~\[\]|$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=//)|(?<=www)\.|@(?=\w)")
_MARKDOWN_START = re.compile(r"^(#|[-+=](?=[\s\-+=]|$)|[0-9]{1,9}(?=[.)](?:\s|$)))")
_HTML_SIGNS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_cell(text: str) -> str:
    r"""Printable text escaped so that Markdown shows it as it is, in a table cell or in a line.

    Pipes, backticks, emphasis, links, HTML and headings stay text; a newline becomes ``<br>``; an underscore inside a
    word needs no escape and gets none, so that names stay readable.

    >>> print(markdown_cell("a|b `c` <script> p99_abs_diff"))
    a\|b \`c\` &lt;script&gt; p99_abs_diff
    >>> print(markdown_cell("# one\n[two](http://x)"))
    \# one<br>\[two\](http\://x)
    """
    return "<br>".join(_markdown_line(line.strip()) for line in printable(text).strip().split("\n"))


def _markdown_line(line: str) -> str:
    line = _MARKDOWN_SIGNS.sub(lambda match: "\\" + match[0], line.replace("\t", " "))
    line = re.sub(r"[&<>]", lambda match: _HTML_SIGNS[match[0]], line)
    # A list number is escaped behind its digits, any other sign in front.
    return _MARKDOWN_START.sub(lambda match: match[0] + "\\" if match[0].isdigit() else "\\" + match[0], line)


# --- CSV -------------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf)")
_FORMULA_START = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # spreadsheets read these too


def csv_cell(text: str) -> str:
    """Printable text that no spreadsheet takes for a formula; a number stays as it is.

    >>> csv_cell("=cmd()"), csv_cell("-1.5e-3"), csv_cell("- one"), csv_cell("@sum")
    ("'=cmd()", '-1.5e-3', "'- one", "'@sum")
    """
    text = printable(text)
    if _NUMBER.fullmatch(text):
        return text
    return "'" + text if text.startswith(_FORMULA_START) or text.lstrip().startswith(_FORMULA_START) else text


# --- XML and terminals -----------------------------------------------------------------------------------------------


def xml_text(text: str) -> str:
    r"""Text without the characters that XML 1.0 forbids; escaping is left to the writer of the document.

    >>> xml_text("a\x00b\x1b[1m\ufffe\nc")
    'ab[1m\nc'
    """
    return _FORBIDDEN_IN_XML.sub("", text)


_ASCII = str.maketrans(
    {
        "∞": "inf",
        "–": "-",  # noqa: RUF001  # the sign itself is what is replaced, here and below
        "—": "-",
        "−": "-",  # noqa: RUF001
        "‑": "-",  # noqa: RUF001
        "×": "x",  # noqa: RUF001
        "·": "-",
        "•": "*",
        "…": "...",
        "→": "->",
        "←": "<-",
        "↑": "^",
        "↓": "v",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "≈": "~",
        "±": "+/-",
        "µ": "u",
        "Δ": "d",
        "²": "^2",
        "°": " deg",
        "✓": "ok",
        "✔": "ok",
        "✗": "x",
        "✘": "x",
        "⚠": "!",
        "‘": "'",  # noqa: RUF001
        "’": "'",  # noqa: RUF001
        "“": '"',
        "”": '"',
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)


def ascii_only(text: str) -> str:
    r"""Printable text in ASCII, for terminals that can show nothing else.

    The signs that the harness prints get words or look-alikes, anything else its escape, so nothing is lost.

    >>> ascii_only("PSNR ∞ dB → ✓ identical, 猫")
    'PSNR inf dB -> ok identical, \\u732b'
    """
    return printable(text).translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
