"""What exactly a model is: digests of its files, and of the values in those that are JSON."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness.files import write_text
from harness.progress import BYTES, task
from harness.records import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WEIGHTS = ".safetensors"
_REMEMBERED_BYTES = 64 * 2**20
"""Files above this are hashed once, whatever they are."""
_LARGEST_JSON_BYTES = 16 * 2**20
_MOST_KEYS = 96
"""Keys of one JSON file that are kept: enough for configurations, too few for vocabularies."""
_LONGEST_KEY = 80
_SHORT = 12


def file_identities(files: Mapping[str, Path], memory_file: Path) -> dict[str, FileIdentity]:
    """What each file holds, by name; ``memory_file`` remembers the digests of weights."""
    memory = _DigestMemory(memory_file)
    sizes = {name: path.stat().st_size for name, path in files.items()}
    identities = {}
    with task("hashing the model", sum(sizes.values()), BYTES) as work:
        for name, path in files.items():
            work.doing(name)
            identities[name] = _identity(path, sizes[name], memory)
            work.advance(sizes[name])
    memory.save()
    return identities


def _identity(path: Path, size: int, memory: _DigestMemory) -> FileIdentity:
    if path.suffix == WEIGHTS or size > _REMEMBERED_BYTES:
        return FileIdentity(sha256=memory.sha256(path))
    if path.suffix != ".json" or size > _LARGEST_JSON_BYTES:
        return FileIdentity(sha256=sha256_of(path))
    data = path.read_bytes()
    return FileIdentity(sha256=hashlib.sha256(data).hexdigest(), keys=json_keys(data))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_keys(data: bytes) -> dict[str, str]:
    """The beginning of the SHA-256 of each value of a JSON object, by key, as far as there is room.

    Inner keys stand behind a slash, those of outer objects first; in a key ``~`` is ``~0`` and ``/`` is ``~1``, as in a
    JSON pointer (RFC 6901). Nothing for what is no object, or has more keys than are kept.

    >>> list(json_keys(b'{"shift": 3, "text": {"width": 8}}'))
    ['shift', 'text', 'text/width']
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    keys: dict[str, str] = {}
    waiting = [("", value)] if isinstance(value, dict) else []
    for around, mapping in waiting:
        if len(keys) + len(mapping) > _MOST_KEYS or not all(map(_is_plain, mapping)):
            continue
        for key, inner in mapping.items():
            place = around + key.replace("~", "~0").replace("/", "~1")
            keys[place] = _short_digest(inner)
            if isinstance(inner, dict):
                waiting.append((f"{place}/", inner))
    return keys


def _is_plain(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and key.isprintable()


def _short_digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)  # with NaN and lone surrogates, which files from outside may hold
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]


class _DigestMemory:
    """Digests of large files by path, size and time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError, TypeError):  # a damaged memory is forgotten
            self._known = dict(json.loads(path.read_text(encoding="utf-8")))
        self._changed = False

    def sha256(self, path: Path) -> str:
        real = path.resolve()
        stat = real.stat()
        key = f"{real}|{stat.st_size}|{stat.st_mtime_ns}"
        if key not in self._known:
            self._known[key] = sha256_of(real)
            self._changed = True
        return self._known[key]

    def save(self) -> None:
        if self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(self._known, indent=1, sort_keys=True))
