"""What all records share: version, base and basic types, and how they become strict JSON and are read back."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)

from harness.errors import RecordError
from harness.message import Message, from_data, to_data
from harness.yaml_tree import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

SCHEMA_VERSION = 2
"""Newest version of any kind of record. Files of version 1 hold sentences as plain texts, and are still read."""


def _from_json(value: Any) -> Any:
    return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}.get(value, value) if isinstance(value, str) else value


def _to_json(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


Number = Annotated[float, BeforeValidator(_from_json), PlainSerializer(_to_json, when_used="json")]
"""A float that survives strict JSON even when it is not finite."""

TEXT_ALONE = object()
"""Context of a dump that holds messages as their English text, as digests of what may come from version 1 do."""


def _text_from_json(value: Any, read: Callable[[Any], str]) -> str:
    if isinstance(value, Message):
        return value
    return from_data(value) if isinstance(value, dict) else read(value)


def _text_to_json(value: str, info: SerializationInfo) -> str | dict[str, Any]:
    return to_data(value) if isinstance(value, Message) and info.context is not TEXT_ALONE else str(value)


Version = Literal[1, 2]
"""Versions of the kinds of records that hold sentences."""

Text = Annotated[
    str,
    WrapValidator(_text_from_json),
    PlainSerializer(_text_to_json, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "template": {"type": "string"},
                        "several": {"type": "string"},
                        "values": {"type": "object"},
                    },
                    "required": ["text", "template", "values"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""A sentence: in files a message with its English text, template and values, or a plain text where nothing more is
known, as of a library's error or in files of version 1."""

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""An identifier that is safe as a folder name on every system."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""

Reason = Annotated[str, StringConstraints(min_length=10)]
"""Why something may be as it is, in a few words."""

Day = date
"""A day of the calendar; in files ``YYYY-MM-DD``."""


class Record(BaseModel):
    """Base of every record: frozen, no unknown fields; in a schema the sentences under the fields describe them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        from harness.records.descriptions import descriptions

        schema = handler(core)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for name, text in descriptions(cls).items():
            fields[name].setdefault("description", text)
        return schema


class LaterRecord(Record):
    """Base of the kinds that scenarios did not have at first: all their fields are as if marked by ``Later``."""


class Later:
    """Marks a field that scenarios did not have at first: while it has its default, it is not part of their digest.

    So a new optional field makes no stored scenario, and no baseline of one, another than it was.
    """


def without_defaults(record: Record, dumped: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A dump without those of the named fields that have their defaults: files are written as before there were any."""
    fields = type(record).model_fields
    return {
        name: value
        for name, value in dumped.items()
        if name not in names or getattr(record, name) != fields[name].get_default(call_default_factory=True)
    }


def digested(record: Record, dumped: dict[str, Any]) -> dict[str, Any]:
    """What a record's dump holds without its later fields that have their defaults, however deep they lie."""
    kept = {}
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        is_later = Later in field.metadata or isinstance(record, LaterRecord)
        if name not in dumped or (is_later and value == field.get_default(call_default_factory=True)):
            continue
        kept[name] = dumped[name]
        if isinstance(value, Record):
            kept[name] = digested(value, dumped[name])
        elif isinstance(value, list):
            kept[name] = [
                digested(item, inner) if isinstance(item, Record) else inner
                for item, inner in zip(value, dumped[name], strict=True)
            ]
    return kept


# --- files -----------------------------------------------------------------------------------------------------------

AnyRecord = TypeVar("AnyRecord", bound=Record)


def to_json(record: Record) -> str:
    """Text of a record as it is stored: strict JSON, two spaces, a newline at the end."""
    return json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record's file.

    Raises:
        RecordError: there is no such file, or it is not such a record.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path} cannot be read: it is not UTF-8 text (byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start}). Give a file that the harness wrote."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no system allows
        raise RecordError(f"{path} cannot be read: {error}. Give a file that the harness wrote.") from error
    return from_json(kind, text, place=path)


def from_json(kind: type[AnyRecord], text: str, *, place: Path | str) -> AnyRecord:
    """Read a record back; nothing is converted, so a number that is written as a text is refused.

    Raises:
        RecordError: the text is not such a record, or of another version; the message names ``place`` and the field.
    """
    data = parse_json(text, place=place)
    newest = _newest(kind)
    version = data.get("schema_version", newest) if isinstance(data, dict) else newest
    try:
        if version in range(1, newest + 1) and type(version) is not int:  # true and 1.0 are equal to 1 for Python
            raise RecordError(
                f"{place} is not a {kind.__name__} of format {newest}: schema_version: found {version!r}; "
                f"allowed is {newest}. It is damaged or was edited; make it again."
            )
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(_step(step) for step in first["loc"]) or "the whole file"
        observed = "" if first["type"] in {"missing", "json_invalid"} else f"; found {shown(first['input'])}"
        raise RecordError(
            f"{place} is not a {kind.__name__} of format {newest}: {field}: {first['msg']}{observed}. "
            "It may be from another version of the harness, or damaged; make it again."
        ) from error


def _newest(kind: type[Record]) -> int:
    """The version of a kind that is written today."""
    field = kind.model_fields.get("schema_version")
    return int(field.default) if field else SCHEMA_VERSION


def parse_json(text: str, *, place: Path | str) -> Any:
    """Lists, dictionaries and scalars of a JSON text from outside.

    Raises:
        RecordError: the text is no strict JSON, is nested too deeply, has a key twice, or a number that no record
            holds; the message names ``place``.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError as error:
        raise RecordError(
            f"{place} is not valid JSON: it is nested too deeply; allowed are some hundred levels, and a record needs "
            "about ten. It is damaged, or no file of the harness; make it again."
        ) from error
    except ValueError as error:
        raise RecordError(f"{place} is not valid JSON: {error}. The file may be truncated; make it again.") from error


def json_digest(data: Any) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8.

    >>> json_digest({"b": 1, "a": 2}) == json_digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


_PLAIN_KEY = re.compile("[A-Za-z0-9_-]{1,80}")

_LARGEST_WHOLE = 2**63 - 1

_LONGEST_WHOLE = 20
"""Characters of the largest whole number, its sign included."""


def _step(step: str | int) -> str:
    """One step of the way to a field; a key that the harness does not write is shown with care."""
    return str(step) if isinstance(step, int) or _PLAIN_KEY.fullmatch(step) else quoted(step)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not strict JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"found the number {quoted(digits, 40)}; allowed are numbers up to 1.8e308")
    return value


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_WHOLE or abs(value := int(digits)) > _LARGEST_WHOLE:
        raise ValueError(f"found the whole number {quoted(digits, 40)}; allowed are those up to {_LARGEST_WHOLE}")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {quoted(again)} stands twice in one mapping; allowed is once")
    return mapping
