"""The scenario ``tiny-parity``: enough prompts to say something about the scores of two arms."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from training.batches import random_of
from training.world import TEXT_KINDS, draw_example

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPTS_OF_EACH_KIND = 72
"""504 in all: about 500 pairs that agree are the least that can show one percentage point."""


def scenario() -> str:
    """The scenario file's text; ``python -m training parity`` writes it."""
    return _SCENARIO.format(cases="\n".join(_cases()), count=PROMPTS_OF_EACH_KIND * len(TEXT_KINDS))


def _cases() -> Iterator[str]:
    for kind in TEXT_KINDS:
        for number, prompt in enumerate(_prompts(kind), 1):
            yield f"  - {{id: {kind}-{number:02d}, prompt: '{prompt}'}}"


def _prompts(kind: str) -> list[str]:
    """Prompts that differ: the same words with the same noise would give the same picture again, and no new pair."""
    drawn: dict[str, None] = {}
    steps = count()
    while len(drawn) < PROMPTS_OF_EACH_KIND:
        rng = random_of("parity", kind, step := next(steps))
        drawn.setdefault(draw_example(kind, rng, held_out=step % 2 == 1).prompt)
    return list(drawn)


_SCENARIO = """\
# Does a score come out alike on two arms? {count} prompts of the embedded model's world, half of them held out in
# training, each once on either arm with the same noise. Written by: python -m training parity.
# yaml-language-server: $schema=../docs/scenario.schema.json
name: tiny-parity
summary: The score of the embedded model in bfloat16 against that of the same model in float32 on the CPU.
task: text_to_image
model:
  adapter: deepgen
  source: builtin:tiny-deepgen
  dtype: bfloat16
  trust_remote_code: true
cases:
{cases}
seeds: [1]
width: 128
height: 128
steps: 20
guidance_scale: 4.0
scores: [shapes_prompt_score]
parity_margin: 0.03
arms:
  - name: candidate
    device: cpu
  - name: cpu-fp32
    role: reference
    device: cpu
    dtype: float32
repeats:
  in_process: 1
  processes: 1
limits:
  - metric: shapes_prompt_score
    scope: reference
    at_most: 0.03
    reason: >-
      What a port may cost of the score. One point instead of three would take some thousand pairs where a few per cent
      of the pictures change sides.
tags: [embedded, text-to-image, parity]
translations:
  zh:
    ? >-
      The score of the embedded model in bfloat16 against that of the same model in float32 on the CPU.
    : 内嵌模型的 bfloat16 得分与同一模型在 CPU 上的 float32 得分比较。
    ? >-
      What a port may cost of the score. One point instead of three would take some thousand pairs where a few per cent
      of the pictures change sides.
    : 移植最多可损失的得分。若有百分之几的图片得分改变，要把三个百分点收紧为一个百分点，需要数千对图片。
"""
