"""Whether two runs loaded the same model, and in which files and keys they did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import recorded, recorded_many
from harness.message import joined
from harness.records import FileDifference, ModelDifference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import FileIdentity, ModelIdentity

_MOST_FILES = 3
"""Files that a sentence names; the records hold all."""
_MOST_KEYS = 4
"""Keys of one file that a sentence names."""


def model_difference(actual: ModelIdentity, expected: ModelIdentity) -> ModelDifference | None:
    """In what two models differ; None where they are the same.

    Files that neither loader reads make no difference. A record from before files were told apart knows one digest over
    all of them, so it is compared with the same digest of the other side.
    """
    if actual.digest == expected.digest:
        return None
    if actual.loaded is None or expected.loaded is None:
        return ModelDifference(actual=actual.digest, expected=expected.digest, files=[])
    names = sorted(actual.files.keys() | expected.files.keys())
    files = [difference for name in names if (difference := _file_difference(name, actual, expected))]
    return ModelDifference(actual=actual.loaded, expected=expected.loaded, files=files) if files else None


def _file_difference(name: str, actual: ModelIdentity, expected: ModelIdentity) -> FileDifference | None:
    """In what one file differs; another adapter may have read it on one side alone, and it is still the same file."""
    actual_digest, expected_digest = _sha256(name, actual), _sha256(name, expected)
    if actual_digest == expected_digest:
        return None
    if actual_digest is None or expected_digest is None:
        return FileDifference(name=name, missing="actual" if actual_digest is None else "expected")
    return FileDifference(name=name, keys=_differing_keys(actual.files.get(name), expected.files.get(name)))


def _sha256(name: str, model: ModelIdentity) -> str | None:
    return model.files[name].sha256 if name in model.files else model.other_files.get(name)


def _differing_keys(actual: FileIdentity | None, expected: FileIdentity | None) -> list[str]:
    """Keys with other values, the innermost that tell; empty where a side's keys are not known."""
    if actual is None or expected is None or not actual.keys or not expected.keys:
        return []
    sides = actual.keys, expected.keys
    unlike = sorted(key for key in {*actual.keys, *expected.keys} if actual.keys.get(key) != expected.keys.get(key))
    # What is inside a key says more than the key, where both records looked inside.
    return [
        key
        for key in unlike
        if not _looked_inside(key, *sides) and (not _outer(key) or _looked_inside(_outer(key), *sides))
    ]


def _outer(key: str) -> str:
    return key.rpartition("/")[0]


def _looked_inside(key: str, *sides: Mapping[str, str]) -> bool:
    return all(any(inner.startswith(f"{key}/") for inner in keys) for keys in sides)


# --- in words --------------------------------------------------------------------------------------------------------


def barring(difference: ModelDifference) -> str:
    """Why the two are not compared, and what would allow it."""
    return recorded(
        "the model differs, and nothing says that this is meant (differs_in of the scenario, with model and a reason): "
        "{what!s}",
        what=_what(difference),
    )


def plain(difference: ModelDifference) -> str:
    """The same where nothing would allow it."""
    return recorded("the model differs: {what!s}", what=_what(difference))


def on_purpose(difference: ModelDifference, reason: str) -> str:
    """In what the two differ, and why they are compared all the same."""
    return recorded("the models differ on purpose ({reason!s}): {what!s}", reason=reason, what=_what(difference))


def _what(difference: ModelDifference) -> str:
    if not difference.files:
        return recorded(
            "actual {actual:s}, expected {expected:s} over all files, which is all that one of the two records knows",
            actual=difference.actual[:16],
            expected=difference.expected[:16],
        )
    sentences = [_of_file(file) for file in difference.files[:_MOST_FILES]]
    if (more := len(difference.files) - _MOST_FILES) > 0:
        sentences.append(recorded_many("1 more file differs", "{count:d} more files differ", more))
    return joined(sentences)


def _of_file(file: FileDifference) -> str:
    if file.missing == "actual":
        return recorded("the actual side has no {file}", file=file.name)
    if file.missing == "expected":
        return recorded("the expected side has no {file}", file=file.name)
    if not file.keys:
        return recorded("{file} has other bytes", file=file.name)
    return recorded("{file} has other values of {keys}", file=file.name, keys=_listed(file.keys))


def _listed(keys: Sequence[str]) -> str:
    more = len(keys) - _MOST_KEYS
    if more <= 0:
        return recorded("{keys}", keys=keys)
    return recorded("{keys} and {count:d} more keys", keys=keys[:_MOST_KEYS], count=more)
