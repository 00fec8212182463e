"""What stops a sample before it is stored: switches that are not in force, and output that is no usable picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.errors import RunError
from harness.language import recorded
from harness.message import joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.contracts import Picture, Request
    from harness.records import Environment
    from harness.run.worker.draws import DrawLog
    from harness.run.worker.recorder import NotFinite


class BadOutput(RunError):
    """A pipeline returned something that is not a usable picture."""


def require_switches(environment: Environment) -> None:
    """Refuse to go on when a switch that was asked for is not in force.

    Raises:
        RunError: names the switch, what was asked for and what was read back.
    """
    for switch in environment.switches:
        if switch.requested is not None and switch.effective != switch.requested:
            raise RunError(
                recorded(
                    "the switch {name} was set to {requested!r} before the start but is {effective!r} in the worker; "
                    "something in this environment overrides it.",
                    name=switch.name,
                    requested=switch.requested,
                    effective=switch.effective,
                )
            )


def require_numbers(broken: NotFinite | None) -> None:
    """Refuse a picture on whose way a value was NaN or infinite, however it looks in 8 bits.

    Raises:
        BadOutput: says where that was first seen, and of how many values.
    """
    if broken is not None:
        raise BadOutput(
            recorded(
                "{count:d} of {total:d} values ({share:.1%}) in {place!s} are NaN or infinite; they were first seen "
                "there.",
                place=broken.place,
                count=broken.broken,
                total=broken.total,
                share=broken.broken / broken.total,
            )
        )


def require_count(pictures: Sequence[Picture], request: Request) -> None:
    """Refuse another number of pictures than was asked for: none is left out, and none is counted twice.

    Raises:
        BadOutput: says how many there are and how many were asked for.
    """
    if len(pictures) != request.pictures:
        raise BadOutput(
            recorded(
                "the call returned {actual:d} images; expected {expected:d}, as pictures_per_case says. Write the "
                "number that the pipeline makes, or remove what makes it return another one.",
                actual=len(pictures),
                expected=request.pictures,
            )
        )


def require_frames(actual: int, expected: int) -> None:
    """Refuse another number of frames than was asked for.

    Raises:
        BadOutput: says how many there are and how many were asked for.
    """
    if actual != expected:
        raise BadOutput(
            recorded(
                "the call returned {actual:d} frames; expected {expected:d}, as frames.count says. Write the number "
                "that the pipeline makes; some make only numbers such as 4k + 1.",
                actual=actual,
                expected=expected,
            )
        )


def require_effect(counts: Mapping[str, int]) -> None:
    """Refuse a picture in which something that ``load`` turns on did not work once.

    Raises:
        BadOutput: names it.
    """
    for name, count in counts.items():
        if count < 1:
            raise BadOutput(
                recorded(
                    "{name} was asked for, and nothing of it ran while this image was made; expected is at least one "
                    "call. Look whether this pipeline can use it, or take it out of load.",
                    name=name,
                )
            )


def require_output(picture: Picture, request: Request) -> None:
    """Refuse a picture of the wrong form or size, and numbers that are not finite.

    Raises:
        BadOutput: says what was found and what was expected.
    """
    expected = (request.height, request.width, 3)
    actual = picture.image.shape
    if picture.image.dtype != np.uint8 or len(actual) != len(expected) or actual[2] != expected[2]:
        raise BadOutput(
            recorded(
                "the pipeline returned {actual}; expected {expected}.",
                actual=f"{picture.image.dtype}{list(actual)}",
                expected=f"uint8{list(expected)}",
            )
        )
    if actual != expected:
        raise BadOutput(
            recorded(
                "the pipeline returned uint8{actual}; expected uint8{expected}. Where that is the size that it should "
                "make, write 'width: {width:d}' and 'height: {height:d}' in the scenario.",
                actual=str(list(actual)),
                expected=str(list(expected)),
                width=actual[1],
                height=actual[0],
            )
        )
    if picture.float_image is not None and (broken := int((~np.isfinite(picture.float_image)).sum())):
        raise BadOutput(
            recorded(
                "the float output has {broken} of {total} values that are NaN or infinite, although the latents and "
                "what the decoders gave were finite.",
                broken=broken,
                total=picture.float_image.size,
            )
        )


def require_noise(draws: DrawLog) -> None:
    """Refuse a picture made without a single logged draw: its noise is unknown.

    Raises:
        BadOutput: says what was looked for.
    """
    if not draws.draws:
        signs = joined(draws.hidden) or recorded("no generator moved either")
        raise BadOutput(
            recorded(
                "the pipeline made a picture without a draw through torch.randn, torch.randn_like or Tensor.normal_ "
                "({signs}), so its noise can be neither injected nor logged.",
                signs=signs,
            )
        )
