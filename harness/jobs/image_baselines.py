"""Compare the pictures of tests with stored ones, accept them on purpose, and show those that fail on one page.

FOLDER/NAME.png            the accepted picture
FOLDER/NAME.json           AcceptedImage: who accepted it, when and why, and the digest of its pixels
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from harness.compare.objects import Compared, compared, renderer
from harness.contracts import ShownPair
from harness.errors import ImageError, RecordError, UsageError
from harness.files import write_text
from harness.fitness import shows_nothing
from harness.images import array_digest, read_picture, write_picture
from harness.jobs.closeness import complaint_of, limits_of
from harness.picture_objects import held
from harness.records import AcceptedImage, PicturePair, from_json, read_record, to_json
from harness.store.acceptance import SHORTEST_REASON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.picture_objects import Held, Reading
    from harness.records import Limit

PAGE = "image_baselines.html"
_MADE_BY_CALLABLE = 2
_LONGEST_NAME = 100
_FIRST = "1"
"""Label of the first picture of a test that has no name."""
_UNSAFE = re.compile("[^A-Za-z0-9._-]+")
_KEPT = re.compile("[0-9a-f]{16}")
"""Names of the folders in which the pictures of failures are kept."""
_ACTUAL, _EXPECTED, _PAIR = "actual.png", "expected.png", "pair.json"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """That pictures are to be stored, and what is stored with them."""

    why: str
    """Why the pictures are right."""
    who: str
    """Who accepts them; empty for the user of this session."""

    def require_sound(self) -> None:
        """Nothing, where somebody gives a reason.

        Raises:
            UsageError: the reason is too short to be one, or nobody is named and the user has no name.
        """
        if len(self.why.strip()) < SHORTEST_REASON:
            raise UsageError(
                f"--harness-reason {self.why!r} has fewer than {SHORTEST_REASON} characters; say why these pictures "
                "are right, so that the next reader can judge it."
            )
        _ = self.name

    @property
    def name(self) -> str:
        """Who accepts."""
        try:
            return self.who or getuser()
        except (KeyError, OSError) as error:  # a container may have no name for its user
            raise UsageError("this session's user has no name; say with --harness-who who accepts.") from error


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which picture of which test, and where its accepted one lies."""

    folder: Path
    """Folder of the pictures of a test file."""
    test: str
    """Node id of the test."""
    label: str
    """Which of the test's pictures it is."""
    accept_command: str
    """What is given to accept it."""

    @property
    def name(self) -> str:
        """The file's name without its ending, safe on every system."""
        return file_name(self.test, self.label)

    @property
    def picture(self) -> Path:
        """The accepted picture."""
        return self.folder / f"{self.name}.png"

    @property
    def record(self) -> Path:
        """Who accepted it and why."""
        return self.folder / f"{self.name}.json"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a picture."""

    complaint: str = ""
    """Why it fails, in lines; empty where it passes."""
    accepted: bool = False
    """Whether it was stored."""
    actual: NDArray[np.uint8] | None = None
    """The picture; None where none was made."""
    expected: NDArray[np.uint8] | None = None
    """The one it was compared with, accepted or made a second time; None where there is none of this size."""
    measured: Compared | None = None
    """What was measured; None where nothing was."""


def file_name(test: str, label: str) -> str:
    """A name for the picture of a test, the same on every machine and another one for every other.

    >>> file_name("tests/test_port.py::test_cup[blue]", "1"), file_name("test_port.py::TestEdit::test_sky", "after")
    ('test_cup-blue', 'TestEdit.test_sky@after')
    >>> file_name("test_port.py::test_cup[a/b]", "2")
    'test_cup-a_b-545c304e@2'
    """
    test_name = "::".join(test.split("::")[1:]) or test
    plain = test_name.replace("::", ".", test_name.partition("[")[0].count("::"))
    if plain.endswith("]"):
        plain = plain[:-1].replace("[", "-", 1)
    safe = _UNSAFE.sub("_", plain)[:_LONGEST_NAME]
    if safe != plain:  # two names may have become one
        safe += f"-{hashlib.sha256(test_name.encode()).hexdigest()[:8]}"
    return safe if label == _FIRST else f"{safe}@{label}"


def judged_image(
    picture: Any, place: Place, bounds: Mapping[str, Any], acceptance: Acceptance | None, **reading: Unpack[Reading]
) -> Judged:
    """A picture, or what makes one when it is called, compared with the accepted one, or accepted.

    What makes pictures is called twice, and both have to be equal. Without bounds the picture has to be identical.

    Raises:
        ImageError: it is no picture.
        UsageError: a bound or an option is none.
        RecordError: what is stored is damaged.
    """
    limits = limits_of(bounds)
    makers = [picture] * _MADE_BY_CALLABLE if callable(picture) else []
    made = [held(make(), "actual", **reading) for make in makers] or [held(picture, "actual", **reading)]
    actual = made[0].pixels
    if unstable := _unstable(made):
        return unstable
    if why := shows_nothing(actual):
        complaint = (
            f"refused: the actual image shows nothing: {why}.\n  It would prove nothing, so it is never accepted."
        )
        return Judged(complaint=complaint, actual=actual)
    if acceptance is None:
        return _against_accepted(actual, place, limits)
    if _is_accepted(actual, place):
        return Judged(actual=actual)
    _store(actual, place, acceptance, len(made))
    return Judged(actual=actual, accepted=True)


def _against_accepted(actual: NDArray[np.uint8], place: Place, limits: list[Limit]) -> Judged:
    expected = _stored(place)
    if expected is None:
        complaint = f"there is no accepted picture of this test: {place.picture}\n  {_how_to_accept(place)}"
        return Judged(complaint=complaint, actual=actual)
    if expected.shape != actual.shape:
        return Judged(complaint=_sizes(actual, expected, place), actual=actual)
    measured = compared(actual, expected, limits)
    complaint = complaint_of(measured)
    if complaint:
        complaint += f"\n  Accepted: {place.picture}\n  {_how_to_accept(place)}"
    return Judged(complaint=complaint, actual=actual, expected=expected, measured=measured)


def _is_accepted(actual: NDArray[np.uint8], place: Place) -> bool:
    """Whether this very picture is stored, so that its date and reason stay; what is damaged is stored again."""
    try:
        expected = _stored(place)
    except (ImageError, RecordError):
        return False
    return expected is not None and np.array_equal(expected, actual)


def _unstable(made: Sequence[Held]) -> Judged | None:
    """What a picture that is not the same twice comes to; None where it is, or was made once."""
    first, *again = made
    for other in again:
        if first.pixels.shape != other.pixels.shape:
            complaint = "refused: it is unstable: made twice, it had two sizes."
            return Judged(complaint=complaint, actual=first.pixels)
        measured = compared(first.pixels, other.pixels, [])
        floats = (
            first.floats is not None and other.floats is not None and not np.array_equal(first.floats, other.floats)
        )
        if measured.identical and not floats:
            continue
        lines = [f"  {line}" for line in (measured.sentence, *measured.remarks)]
        if measured.identical:
            lines = ["  The two are equal in 8 bits; their floats are not."]
        complaint = "\n".join(["refused: it is unstable: made twice, it was not the same.", *lines])
        return Judged(complaint=complaint, actual=first.pixels, expected=other.pixels, measured=measured)
    return None


def _sizes(actual: NDArray[np.uint8], expected: NDArray[np.uint8], place: Place) -> str:
    (height, width, _), (other_height, other_width, _) = actual.shape, expected.shape
    return (
        f"the pictures differ in size: actual is {width} x {height} pixels, expected is {other_width} x {other_height}."
        f"\n  Accepted: {place.picture}\n  {_how_to_accept(place)}"
    )


def _how_to_accept(place: Place) -> str:
    return f"Look at the picture; where it is right, accept it: {place.accept_command}"


# --- storing ---------------------------------------------------------------------------------------------------------


def _stored(place: Place) -> NDArray[np.uint8] | None:
    """The accepted picture; None where there is none.

    Raises:
        ImageError: it is damaged, or another than was accepted.
        RecordError: its record is damaged.
    """
    if not place.picture.exists() and not place.record.exists():
        return None
    next_step = f"Restore both files from where they came, or accept again: {place.accept_command}"
    for path in (place.picture, place.record):
        if not path.exists():
            raise ImageError(f"{path} is missing; an accepted picture is a PNG and a JSON file. {next_step}")
    accepted, picture = read_record(AcceptedImage, place.record), read_picture(place.picture)
    if (digest := array_digest(picture)) != accepted.digest:
        raise ImageError(
            f"{place.picture} is not the picture that {accepted.who} accepted on {accepted.accepted_utc}: digest "
            f"{digest[:16]}…, recorded {accepted.digest[:16]}…. {next_step}"
        )
    return picture


def _store(picture: NDArray[np.uint8], place: Place, acceptance: Acceptance, made: int) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    record = AcceptedImage(
        test=place.test,
        label=place.label,
        digest=array_digest(picture),
        made=made,
        who=acceptance.name,
        why=acceptance.why.strip(),
        accepted_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_picture(place.picture, picture)
    write_text(place.record, to_json(record))


# --- the page --------------------------------------------------------------------------------------------------------


def keep_failure(report_folder: Path, place: Place, judged: Judged) -> dict[str, str]:
    """Keep the pictures of a failure for the page; gives what has to be told to whoever writes it."""
    if not report_folder.exists():
        report_folder.mkdir(parents=True, exist_ok=True)
        write_text(report_folder / ".gitignore", "*\n")
    folder = report_folder / hashlib.sha256(f"{place.test} {place.label}".encode()).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    for name, picture in ((_ACTUAL, judged.actual), (_EXPECTED, judged.expected)):
        if picture is not None:
            write_picture(folder / name, picture)
    if judged.measured is not None:
        write_text(folder / _PAIR, to_json(judged.measured.pair))
    title = place.test if place.label == _FIRST else f"{place.test} ({place.label})"
    return {"title": title, "message": judged.complaint, "folder": folder.name}


def write_page(report_folder: Path, failures: Sequence[Mapping[str, str]]) -> Path:
    """One page of all failures of a session, in the order of their tests; what earlier sessions left is removed."""
    report_folder.mkdir(parents=True, exist_ok=True)
    _forget(report_folder, {failure["folder"] for failure in failures})
    ordered = sorted(failures, key=lambda failure: failure["title"])
    shown = [pair for failure in ordered if (pair := _shown(report_folder, failure))]
    sentence = "Pictures that are not as accepted, or cannot be accepted; the accepted one stands in the middle."
    path = report_folder / PAGE
    write_text(path, renderer().render_pairs("Image baselines: FAILED", sentence, shown))
    return path


def remove_page(report_folder: Path) -> None:
    """Take away the page of an earlier session, and its pictures: nothing fails any more."""
    if report_folder.is_dir():
        _forget(report_folder, set())
        (report_folder / PAGE).unlink(missing_ok=True)


def _forget(report_folder: Path, kept: set[str]) -> None:
    """Remove the pictures of earlier sessions, and nothing that others keep in the folder."""
    for path in report_folder.iterdir():
        if _KEPT.fullmatch(path.name) and path.name not in kept and (path / _ACTUAL).is_file():
            shutil.rmtree(path)


def _shown(report_folder: Path, failure: Mapping[str, str]) -> ShownPair | None:
    folder = report_folder / failure["folder"]
    if not (folder / _ACTUAL).is_file():
        return None
    pair = folder / _PAIR
    names = [name for name in (_ACTUAL, _EXPECTED) if (folder / name).is_file()]
    return ShownPair(
        title=failure["title"],
        message=failure["message"],
        actual=read_picture(folder / _ACTUAL),
        expected=read_picture(folder / _EXPECTED) if _EXPECTED in names else None,
        pair=from_json(PicturePair, pair.read_text(encoding="utf-8"), place=pair) if pair.is_file() else None,
        files={name: f"{folder.name}/{name}" for name in names},
    )
