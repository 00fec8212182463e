"""Stage 2: language model, queries and connector, by telling what the picture must show.

Small linear readers sit on the connector's output and are thrown away later: what they can tell from the conditioning,
the transformer can too. Edits count as their result, so the vision tower has to see the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import COLOURS, GROUNDS, LETTERS, SHAPES
from training.batches import pixels, random_of
from training.model import CONDITIONING_WIDTH, META_QUERIES, hidden_states
from training.world import (
    EDIT_KINDS,
    EDIT_WEIGHTS,
    TEXT_KINDS,
    TEXT_WEIGHTS,
    draw_example,
    draw_mixed,
)

if TYPE_CHECKING:
    from torch import Tensor

    from harness.scores.shapes_prompt_score.world import Scene
    from training.world import Example

MOST_THINGS = 4
MOST_LETTERS = 3
FIELDS = (
    *((f"colour {k}", k, 1 + len(COLOURS)) for k in range(MOST_THINGS)),
    *((f"shape {k}", k, 1 + len(SHAPES)) for k in range(MOST_THINGS)),
    ("ground", 7, len(GROUNDS)),
    ("frame", 7, 1 + len(COLOURS)),
    *((f"letter {k}", 4 + k, 1 + len(LETTERS)) for k in range(MOST_LETTERS)),
)
"""Name, query that is asked, and number of answers; the answer 0 says that there is none."""

UNKNOWN = -1
"""The prompt leaves it open."""

GEOMETRY_WEIGHT = 2.0


class Labels(NamedTuple):
    """What a batch of pictures shows: answers [n, fields], geometry [n, 4, 3] and which of it is there [n, 4]."""

    answers: Tensor
    geometry: Tensor
    there: Tensor


class LanguageStage:
    """Half of the steps read prompts, half read edits with their picture."""

    name = "language"
    steps: int | None = 6_000
    tail_steps = 2_000
    average_decay = 0.998

    def __init__(self, pipe: Any, batch: int = 32) -> None:
        torch.manual_seed(1)
        self._pipe, self._batch = pipe, batch
        device = pipe.lmm.device
        self._readers = nn.ModuleList(nn.Linear(CONDITIONING_WIDTH, answers) for _, _, answers in FIELDS).to(device)
        self._geometry = nn.Linear(CONDITIONING_WIDTH, 3).to(device)
        # The pooled vector is asked too, or its projection would stay as it began.
        self._pooled = nn.Linear(CONDITIONING_WIDTH, len(GROUNDS)).to(device)
        self.module = nn.ModuleDict(
            {
                "lmm": pipe.lmm,
                "connector": pipe.connector_module,
                "readers": self._readers,
                "geometry": self._geometry,
                "pooled": self._pooled,
            }
        )
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(self.module.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        ]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Cross entropy of all fields and distance of the geometry, on prompts or on edits by turns."""
        rng = random_of(self.name, step)
        editing = step % 2 == 1
        weights = EDIT_WEIGHTS if editing else TEXT_WEIGHTS
        loss, right = self._judge([draw_mixed(weights, rng) for _ in range(self._batch)])
        kind = "edit" if editing else "text"
        return loss, {f"{kind}_loss": float(loss.detach()), f"{kind}_all_right": float(right.float().mean())}

    @torch.no_grad()
    def conclude(self) -> dict[str, Any]:
        """Shares of held-out prompts of which every field is right."""
        shares = {}
        for kind in (*TEXT_KINDS, *EDIT_KINDS):
            rng = random_of(self.name, "conclude", kind)
            _, right = self._judge([draw_example(kind, rng, held_out=True) for _ in range(128)])
            shares[kind] = float(right.float().mean())
        return {"all_fields_right_held_out": shares}

    def _judge(self, examples: list[Example]) -> tuple[Tensor, Tensor]:
        """The loss, and which examples have all fields right [n]."""
        labels = labels_of(examples, self._pipe.lmm.device)
        pooled, sequence = self._pipe.connector_module.llm2dit(conditioning_states(self._pipe, examples))
        queries = sequence[:, -META_QUERIES:]
        loss = functional.cross_entropy(self._pooled(pooled), labels.answers[:, 2 * MOST_THINGS])
        right = torch.ones(len(examples), dtype=torch.bool, device=loss.device)
        for k, (reader, (_, query, _)) in enumerate(zip(self._readers, FIELDS, strict=True)):
            scores, answer = reader(queries[:, query]), labels.answers[:, k]
            loss = loss + functional.cross_entropy(scores, answer, ignore_index=UNKNOWN, reduction="sum") / len(answer)
            right &= (scores.argmax(dim=1) == answer) | (answer == UNKNOWN)
        distance = (self._geometry(queries[:, :MOST_THINGS]) - labels.geometry).abs().mean(dim=2) * labels.there
        return loss + GEOMETRY_WEIGHT * distance.mean(), right


def conditioning_states(pipe: Any, examples: list[Example], prompts: list[str] | None = None) -> Tensor:
    """Picked states for examples that are all prompts or all edits; ``prompts`` replace theirs where given."""
    prompts = [example.prompt for example in examples] if prompts is None else prompts
    sources = [example.source for example in examples if example.source is not None]
    pictures = pixels([draw_scene(source) for source in sources]).to(pipe.lmm.device) if sources else None
    return hidden_states(pipe, prompts, pictures)


def labels_of(examples: list[Example], device: torch.device | str = "cpu") -> Labels:
    """What the pictures of the examples must show."""
    geometry = torch.zeros(len(examples), MOST_THINGS, 3)
    there = torch.zeros(len(examples), MOST_THINGS)
    for row, example in enumerate(examples):
        for k, thing in enumerate(_in_reading_order(example.scene)):
            geometry[row, k] = torch.tensor([thing.x / 64 - 1, thing.y / 64 - 1, thing.radius / 40])
            there[row, k] = 1
    answers = torch.tensor([_answers(example.scene) for example in examples])
    return Labels(answers.to(device), geometry.to(device), there.to(device))


def _answers(scene: Scene) -> list[int]:
    things = _in_reading_order(scene)
    none = [0] * (MOST_THINGS - len(things))
    answers = [*(1 + list(COLOURS).index(thing.colour) for thing in things), *none]
    answers += [*(1 + SHAPES.index(thing.shape) for thing in things), *none, list(GROUNDS).index(scene.ground)]
    if scene.sign is None:
        return [*answers, 0, *[0] * MOST_LETTERS]
    letters = [1 + LETTERS.index(letter) for letter in scene.sign.letters]
    frame = 1 + list(COLOURS).index(scene.sign.frame) if scene.sign.frame_named else UNKNOWN
    return [*answers, frame, *letters, *[0] * (MOST_LETTERS - len(letters))]


def _in_reading_order(scene: Scene) -> list[Any]:
    return sorted(scene.things, key=lambda thing: (round(thing.y / 40), thing.x))
