"""The files of samples: records, pictures, float arrays and drawn noise."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.files import write_text
from harness.images import array_digest, write_arrays, write_picture
from harness.records import ArrayRef, Sample, read_record, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts import Picture
    from harness.run.worker.draws import DrawLog
    from harness.run.worker.recorder import Recorder


class ArtifactStore:
    """Where the samples of one case and seed are kept; samples with the same bytes share files.

    Other processes may work on the same case and seed: a sample is kept and written while nobody else does so.
    """

    def __init__(self, run_folder: Path, folder: Path) -> None:
        self._run_folder = run_folder
        self._folder = folder
        self._read: set[Path] = set()
        self._known: dict[tuple[str, ...], list[ArrayRef]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the folder, and learn what they have put there; their end frees it too."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for record in sorted(set(self._folder.glob("p*.json")) - self._read):
                sample = read_record(Sample, record)
                latents = sample.video.latents if sample.video else sample.latents
                self._index([ref for ref in (sample.image, sample.float_image, latents) if ref is not None])
                self._read.add(record)
            yield
        finally:
            os.close(descriptor)

    def write(self, sample: Sample) -> None:
        """Write the record of a sample, which is what makes it one of the run."""
        record = self._run_folder / sample.place
        write_text(record, to_json(sample))
        self._read.add(record)

    def save(self, name: str, image: NDArray[np.uint8], floats: list[Kept]) -> list[ArrayRef]:
        """Save a picture and its float arrays, unless the very same bytes are there already."""
        digests = (array_digest(image), *(array_digest(kept.array) for kept in floats))
        if digests not in self._known:
            picture, bundle = self._folder / f"{name}.png", self._folder / f"{name}.safetensors"
            write_picture(picture, image)
            write_arrays(bundle, {str(kept.name): kept.array for kept in floats}, {})
            self._index(
                [
                    self._ref(picture, Kept(None, image, "uint8"), digests[0]),
                    *(self._ref(bundle, kept, digest) for kept, digest in zip(floats, digests[1:], strict=True)),
                ]
            )
        return self._known[digests]

    def save_noise(self, draws: DrawLog) -> str:
        """Save the drawn values once; returns the file, relative to the run folder."""
        path = self._folder / f"noise-{draws.digest[:16]}.safetensors"
        if not path.exists():
            write_arrays(path, draws.values, {})
        return path.relative_to(self._run_folder).as_posix()

    def _index(self, refs: list[ArrayRef]) -> None:
        self._known[tuple(ref.digest for ref in refs)] = refs

    def _ref(self, path: Path, kept: Kept, digest: str) -> ArrayRef:
        return ArrayRef(
            digest=digest,
            path=path.relative_to(self._run_folder).as_posix(),
            name=kept.name,
            dtype=str(kept.array.dtype),
            computed_in=kept.computed_in,
            shape=list(kept.array.shape),
        )


class Kept(NamedTuple):
    """An array to keep: the picture, which has a file of its own, or a named array."""

    name: str | None
    array: NDArray[Any]
    computed_in: str


def float_arrays(picture: Picture, recorder: Recorder, image: int = 0, images: int = 1) -> list[Kept]:
    """The float output and the last latents of a picture, counted from 0 in its call, as far as there are any."""
    floats = []
    if picture.float_image is not None:
        floats.append(Kept("float_image", picture.float_image, picture.float_image_dtype or "float32"))
    if (latents := recorder.last_latents(image, images)) is not None:
        floats.append(Kept("latents", *latents))
    return floats
