"""Whether a picture of the small world shows what its prompt asks for: 1 when every rule holds, else 0.

The small world is what the embedded model is trained on: coloured shapes, their number, place and background, signs
with one to three capitals, and edits of such pictures. The rules are those of GenEval (Ghosh, Hajishirzi and Schmidt
2023, arXiv 2310.11513), for shapes instead of photographed objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.contracts import Scored
from harness.scores.shapes_prompt_score.prompts import asked_by
from harness.scores.shapes_prompt_score.reader import rules, see

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEC = "shapes_prompt_score:strict:count,colours,shapes,objects,ground,place,letters,frame:1"


def score(image: NDArray[np.uint8], *, prompt: str, input_image: NDArray[np.uint8] | None) -> Scored:
    """Score one picture ``uint8[128, 128, 3]``; each part is a rule that the prompt sets, 1 where it holds and else 0.

    Raises:
        UndefinedScore: the prompt or the input picture is none of the small world, or a picture has another size.
    """
    seen = see(image)
    asked = asked_by(prompt, None if input_image is None else see(input_image))
    kept = rules(seen, asked)
    broken = [rule for rule, holds in kept.items() if not holds]
    sentence = f"breaks {', '.join(broken)}: asked {asked.words}; seen {seen.words(asked)}" if broken else ""
    return Scored(value=float(not broken), parts={rule: float(holds) for rule, holds in kept.items()}, words=sentence)
