"""Whether a picture shows the text that its prompt quotes: 1 when every character is read, less by each edit it takes.

The text is read by RapidOCR (PP-OCRv6 small, whose weights lie in its wheel), offline and on the CPU; the extra ``ocr``
installs it. Asked for is what stands in quotation marks in the prompt. It is compared without spaces and capitals.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import Scored
from harness.errors import UndefinedScore, UsageError
from harness.language import recorded
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SPEC = "ocr_text:1-edits/length:rapidocr-3.10:PP-OCRv6-small:1"

_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx", "ch_ppocr_mobile_v2.0_cls_mobile.onnx")
"""Weights that the definition names; another version of RapidOCR would read with others, or download them."""
_QUOTED = re.compile(
    r'"([^"]+)"|“([^”]+)”|「([^」]+)」|『([^』]+)』|‘([^’]+)’'  # noqa: RUF001 - quotation marks of other languages
    # An apostrophe stands between two letters, a quotation mark does not.
    r"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)"
)
_MOST_WORDS = 12
"""Words in a row that may be one of the texts."""


def require() -> None:
    """Nothing, where text can be read.

    Raises:
        UsageError: RapidOCR, what runs it or its weights are not installed; the message says what installs them.
    """
    missing = [name for name in ("rapidocr", "onnxruntime") if find_spec(name) is None]
    if not missing:
        missing = [path.name for path in _weights() if not path.is_file()]
    if missing:
        raise UsageError(
            f"the score ocr_text needs {', '.join(missing)}, which is not installed here; {install('ocr')} installs it "
            "with its weights."
        )


def score(image: NDArray[np.uint8], *, prompt: str, input_image: NDArray[np.uint8] | None) -> Scored:
    """Score a picture ``uint8[H, W, 3]`` by the texts that the prompt quotes; the part ``words`` counts whole texts.

    A text is held against every row of words that was read, and the whole of them against all that was read; the
    better of the two counts: ``1 - edits / length``, the edits of Levenshtein (1966) over the longer of the two, mean
    over the characters asked for. Text that nobody asked for costs nothing.

    Raises:
        UndefinedScore: the prompt quotes no text.
        UsageError: as ``require``.
    """
    del input_image
    asked = [text for quoted in quotes(prompt) if (text := plain(quoted))]
    if not asked:
        raise UndefinedScore(recorded("the prompt quotes no text"))
    lines = read(image)
    words = [word for line in lines for part in line.split() if (word := plain(part))]
    likenesses = [max((likeness(text, run) for run in _runs(words)), default=0.0) for text in asked]
    length = sum(map(len, asked))
    by_text = sum(len(text) * alike for text, alike in zip(asked, likenesses, strict=True)) / length
    value = max(by_text, likeness("".join(asked), "".join(words)))
    whole = 1.0 if value == 1 else sum(alike == 1 for alike in likenesses) / len(asked)
    seen = f"asked {', '.join(asked)}; read {' / '.join(lines) or 'nothing'}" if value < 1 else ""
    return Scored(value=value, parts={"words": whole}, words=seen)


def quotes(prompt: str) -> list[str]:
    r"""What stands in quotation marks.

    >>> quotes("a dog's sign says 'OPEN', a note 'don't'")
    ['OPEN', "don't"]
    """
    return [next(filter(None, match.groups())) for match in _QUOTED.finditer(prompt)]


def plain(text: str) -> str:
    """A text in one form, without spaces and capitals.

    >>> plain("Open  Daily")
    'opendaily'
    """
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def likeness(one: str, other: str) -> float:
    """``1 - edits / length`` of the longer; 1 for equal texts.

    >>> likeness("npu", "npu"), likeness("npu", "npx"), likeness("npu", "")
    (1.0, 0.6666666666666667, 0.0)
    """
    return 1 - _edits(one, other) / max(len(one), len(other))


def _edits(one: str, other: str) -> int:
    """Insertions, deletions and replacements that make one text the other."""
    row = list(range(len(other) + 1))
    for index, sign in enumerate(one, 1):
        above, row[0] = row[0], index
        for place, letter in enumerate(other, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (sign != letter))
    return row[-1]


def _runs(words: Sequence[str]) -> Iterator[str]:
    """Every row of neighbouring words as one text."""
    for start in range(len(words)):
        yield from accumulate(words[start : start + _MOST_WORDS])


def read(image: NDArray[np.uint8]) -> list[str]:
    """Lines of text in a picture ``uint8[H, W, 3]``, from the top and in a row from the left."""
    require()
    found = _engine()(np.ascontiguousarray(image[..., ::-1]))  # it takes blue first
    return list(found.txts or ())


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "critical"})


def _weights() -> list[Path]:
    spec = find_spec("rapidocr")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return [Path(folder) / "models" / name for folder in folders for name in _MODELS]
