"""Words of records as reports say them, and how names and sentences are put one after another."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from harness.language import marked, say, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TERMS = frozenset(
    {
        # roles of arms, states of runs
        marked("candidate"),
        marked("reference"),
        marked("finished"),
        marked("unfinished"),
        # where the noise comes from
        marked("portable"),
        marked("device"),
        marked("baseline"),
        marked("unverified"),
        # switches, and who set one
        marked("deterministic"),
        marked("as shipped"),
        marked("default"),
        marked("scenario"),
        marked("environment"),
        marked("backend"),
        # tasks
        marked("text to image"),
        marked("image editing"),
        marked("reasoning generation"),
        marked("reasoning editing"),
        marked("text rendering"),
        # stages of a worker, in which it can fail
        marked("start"),
        marked("load"),
        marked("generate"),
        marked("output"),
        marked("process"),
        # stages of a picture
        marked("text encoding"),
        marked("text encoding 2"),
        marked("text encoding 3"),
        marked("image encoding"),
        marked("conditioning"),
        marked("VAE encode"),
        marked("denoising"),
        marked("VAE decode"),
    }
)
"""Words that records write with underscores and reports with spaces."""


def term(word: str) -> str:
    """A word of a record in the spoken language; one that nobody knows, such as a plugin's stage, stays as it is.

    >>> term("as_shipped"), term("vae_decode")
    ('as shipped', 'VAE decode')
    """
    return translated(word.replace("_", " ").replace("vae", "VAE"))


def listed(names: Sequence[str]) -> str:
    """Names one after another.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    if len(names) < 2:  # noqa: PLR2004  # one name needs no joining word
        return "".join(names)
    return say("{names} and {last}", names=", ".join(names[:-1]), last=names[-1])


def running(sentences: Iterable[str]) -> str:
    """Sentences one after another, the empty ones left out; not every language puts a space between two.

    >>> running(["One.", "", "Two."])
    'One. Two.'
    """
    found = [sentence for sentence in sentences if sentence]
    return reduce(lambda before, after: say("{before} {after}", before=before, after=after), found) if found else ""
