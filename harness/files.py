"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part")


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` as a whole: after a crash the file is the old one or the new one, never a part.

    The bytes go to a hidden file in the same folder, are flushed to the disk, and that file then takes the name. The
    folder must exist; a file that is already there is replaced. What a killed process leaves behind is hidden and
    locked by nobody; ``remove_leftovers`` takes it away.

    Raises:
        OSError: the folder is missing, read-only or full; the old file is untouched and nothing is left behind.
    """
    temporary, stream = _locked_temporary(path)
    try:
        with stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _locked_temporary(path: Path) -> tuple[Path, IO[bytes]]:
    """A new hidden file beside ``path``; its lock says that the writer lives."""
    while True:
        temporary = path.with_name(f".{token_hex(8)}.part")
        # Not tempfile: its files are private to the owner, and results are read by others.
        stream = os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        with suppress(OSError):  # a file system without locks; nothing is taken for a leftover there
            fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return temporary, stream
        stream.close()  # somebody took it for a leftover before it was locked


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left of ``write_atomically`` in a folder; what is still being written stays.

    Only files of the names it gives are looked at, and not those of folders below.

    Raises:
        OSError: there is no such folder.
    """
    for path in folder.iterdir():
        if not _TEMPORARY.fullmatch(path.name) or not path.is_file():
            continue
        with suppress(OSError), path.open("r+b") as stream:  # gone meanwhile, of another user, or locked: it lives
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def write_text(path: Path, text: str) -> None:
    r"""Put ``text`` at ``path`` as a whole, in UTF-8, with every ``\n`` as the single byte it is on all systems.

    Raises:
        OSError: as for ``write_atomically``.
        UnicodeEncodeError: the text holds half a surrogate pair; nothing was written.
    """
    write_atomically(path, text.encode("utf-8"))


def flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, so that a rename in it outlives a loss of power.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_safe_path(path: str) -> bool:
    """Whether a path from a foreign record stays below the folder it is relative to, on every system.

    >>> [is_safe_path(each) for each in ("samples/cup/42/p0r0.png", "../up", "/etc/passwd", "a//b", "c:x", "")]
    [True, False, False, False, False, False]
    """
    parts = path.split("/")
    return not any(word in {"", ".", ".."} for word in parts) and not set(path) & set("\\:\0")
