"""The JSON Schema of scenario files, and the command that writes it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.language import languages
from harness.records import Scenario
from harness.scenario.rules import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file, for editors; ``load`` checks more than a schema can say.

    >>> schema()["title"]
    'Scenario of the accuracy harness'
    """
    described = Scenario.model_json_schema()
    described["properties"]["seeds"]["uniqueItems"] = True
    described["properties"]["translations"]["propertyNames"] = {"enum": languages()}
    described["$defs"]["Limit"]["oneOf"] = [
        {"required": [bound], "properties": {bound: {"type": "number"}}} for bound in BOUNDS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **described,
        "title": "Scenario of the accuracy harness",
    }


def write_schema(path: Path) -> None:
    """Write the JSON Schema as indented UTF-8 text with a newline at the end."""
    path.write_text(_schema_text(), encoding="utf-8", newline="\n")


def _schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the JSON Schema to a file, or with ``--check`` say by exit code 1 that the file differs."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.scenario", description="Write the JSON Schema of scenarios."
    )
    parser.add_argument("path", type=Path, help="file to write, such as docs/scenario.schema.json")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file differs")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write_schema(chosen.path)
        return 0
    current = chosen.path.read_text(encoding="utf-8") if chosen.path.is_file() else None
    if current != _schema_text():
        sys.stderr.write(f"{chosen.path} differs from the records; write it with: {parser.prog} {chosen.path}\n")
        return 1
    return 0
