"""Upsampling by another interpolation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("upsampling takes another interpolation than the model's")
SOURCE = marked("nearest and bilinear upsampling mixed up, a slip of ports")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Nearest, bilinear and bicubic interpolation, with corners that are aligned and that are not."""
    for form in ("nearest", "bilinear", "bicubic"):
        for aligned in (False, True) if form != "nearest" else (None,):
            yield {"interpolate": partial(_interpolated, {"mode": form, "align_corners": aligned})}


def _interpolated(form: Mapping[str, Any], right: Any, x: Any, *given: Any, **options: Any) -> Any:
    kept = {name: value for name, value in options.items() if name in {"size", "scale_factor"}}
    return right(x.float(), *given[:2], **kept, **form).to(x.dtype)
