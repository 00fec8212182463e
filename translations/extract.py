"""Sentences of the code and what catalogues make of them: extract, compare, bring up to date.

``python -m translations.extract`` prints, for each language, what is not translated and what no code says any more;
``--update`` adds the first to the language's ``messages.po`` without a translation and removes the second; ``--strict``
ends with exit code 1 where there is anything to print.
"""

from __future__ import annotations

import argparse
import ast
import sys
from functools import cache
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple

import polib
from jinja2 import Environment, nodes

from harness.language import has_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PACKAGE = Path(__file__).parents[1] / "harness"
ONE_FORM = {"say", "marked", "recorded", "recordable", "Message"}
SEVERAL_FORMS = {"many", "recorded_many"}


class Sentence(NamedTuple):
    """A sentence of the code."""

    one: str
    several: str
    """Its form for any other count than one; empty where it has one form."""
    places: tuple[str, ...]


class Gap(NamedTuple):
    """A sentence that a catalogue lacks, has in vain, or has with other values."""

    what: str
    sentence: str


NOT_TRANSLATED, NOT_SAID, OTHER_VALUES, TWICE = (
    "not translated",
    "no code says it",
    "other values than in English",
    "a second time",
)


@cache
def sentences(package: Path = PACKAGE) -> tuple[Sentence, ...]:
    """Every sentence that the code of a package says, once, in the order of its files.

    Read from the syntax, not by Babel: that passes over calls inside of f-strings, and the terminal prints with a
    function of the same name.
    """
    places: dict[tuple[str, str], dict[str, None]] = {}
    for path in sorted((*package.rglob("*.py"), *package.rglob("*.j2"))):
        for one, several in (_in_python if path.suffix == ".py" else _in_template)(path):
            places.setdefault((one, several), {})[str(path.relative_to(package))] = None
    return tuple(Sentence(one, several, tuple(files)) for (one, several), files in places.items())


def _in_python(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    if "from harness.language import" not in text and path.name not in {"language.py", "message.py"}:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            yield from _called(str(name), [getattr(argument, "value", None) for argument in node.args])


def _in_template(path: Path) -> Iterator[tuple[str, str]]:
    for call in Environment(autoescape=True).parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
        yield from _called(getattr(call.node, "name", ""), [getattr(argument, "value", None) for argument in call.args])


def _called(function: str, texts: Sequence[object]) -> Iterator[tuple[str, str]]:
    """The sentence of one call, where it is written out."""
    match texts:
        case [str(one), str(several), *_] if function in SEVERAL_FORMS:
            yield one, several
        case [str(one), *_] if function in ONE_FORM:
            yield one, ""


def catalogues() -> dict[str, Path]:
    """The catalogues of the package's own languages, by code; those of other packages are theirs to keep."""
    return {path.parent.name: path for path in sorted((PACKAGE / "catalogues").glob("*/messages.po"))}


def gaps(said: Iterable[Sentence], entries: Iterable[polib.POEntry]) -> Iterator[Gap]:
    """What does not fit together."""
    by_sentence: dict[tuple[str, str], polib.POEntry] = {}
    for entry in entries:
        key = entry.msgid, entry.msgid_plural
        if key in by_sentence:
            yield Gap(TWICE, entry.msgid)
        by_sentence[key] = entry
    used = set()
    for sentence in said:
        used.add((sentence.one, sentence.several))
        known = by_sentence.get((sentence.one, sentence.several))
        if known is None or not known.translated():
            if has_words(sentence.one):
                yield Gap(NOT_TRANSLATED, sentence.one)
        elif any(values(text) != values(sentence.several or sentence.one) for text in _translations(known)):
            yield Gap(OTHER_VALUES, sentence.one)
    yield from (Gap(NOT_SAID, one) for one, several in by_sentence if (one, several) not in used)


def values(sentence: str) -> set[tuple[str, str]]:
    """Names and formats of the values of a sentence."""
    return {(name, form or "") for _, name, form, _ in Formatter().parse(sentence) if name is not None}


def _translations(entry: polib.POEntry) -> list[str]:
    # A form for one may do without the number.
    return list(entry.msgstr_plural.values())[-1:] if entry.msgid_plural else [entry.msgstr]


def update(said: Iterable[Sentence], path: Path) -> None:
    """Write a catalogue again: all sentences in the order of the code, with the translations that there are."""
    before = polib.pofile(str(path))
    kept = {(entry.msgid, entry.msgid_plural): entry for entry in before}
    after = polib.POFile(wrapwidth=before.wrapwidth)
    after.metadata, after.header = before.metadata, before.header
    for sentence in said:
        entry = kept.get((sentence.one, sentence.several)) or polib.POEntry(
            msgid=sentence.one,
            msgid_plural=sentence.several,
            msgstr_plural={0: ""} if sentence.several else {},
        )
        entry.occurrences = [(place, "") for place in sentence.places]
        after.append(entry)
    after.save(str(path))


def main() -> int:
    """Report, and update where that is asked for."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--update", action="store_true", help="write the catalogues again")
    words.add_argument("--strict", action="store_true", help="exit code 1 where there is a problem")
    options = words.parse_args()
    said, lacking = sentences(), 0
    for code, path in catalogues().items():
        if options.update:
            update(said, path)
        problems = list(gaps(said, polib.pofile(str(path))))
        lacking += len(problems)
        sys.stdout.write(f"{code}: {len(said)} sentences, {len(problems)} problems\n")
        sys.stdout.writelines(f"  {problem.what}: {problem.sentence!r}\n" for problem in problems)
    return 1 if options.strict and lacking else 0


if __name__ == "__main__":
    raise SystemExit(main())
