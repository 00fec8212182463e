"""Pictures that something else made before: nothing is computed, and their noise is unverified.

The source is a folder, and ``pictures`` under ``model:`` says where in it the picture of a case and seed is, or the
pictures that one call made.
"""

from __future__ import annotations

import hashlib
import re
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from harness.adapters._templates import check_names, fields, filled
from harness.contracts import Picture
from harness.errors import ModelError, RunError
from harness.images import read_picture
from harness.language import recorded
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef

NOISE: Literal["unverified"] = "unverified"
COMPUTES = False
SEVERAL_PICTURES = True

DEFAULT = "{case}/{seed}.png"
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm")
FRAMES = True
_NAMES = ("arm", "case", "process", "repeat", "seed", "image", "frame")
_NUMBERED = ("image", "frame")
_NEEDED = ("case", "seed")


def check_template(model: ModelRef) -> None:
    """Look at the template alone.

    Raises:
        UnknownName: the template has a name that stands for nothing.
        ModelError: the template cannot be read, leads out of the folder, does not tell cases and seeds apart, or
            names frames twice.
    """
    template = _template(model)
    check_names(template, _NAMES)
    if missing := [name for name in _NEEDED if name not in fields(template)]:
        raise ModelError(
            f"pictures: {template!r} does not name {', '.join(missing)}, so different cases or seeds would get one "
            f"picture. Write it like {DEFAULT!r}."
        )
    if fields(template).count("frame") > 1:
        raise ModelError(f"pictures: {template!r} names frame more than once; allowed is once. Remove the others.")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts:
        raise ModelError(f"pictures: {template!r} leads out of the source; write it relative to the folder.")


def check(folder: Path, model: ModelRef) -> None:
    """Look at the template and at the folder; no picture is read.

    Raises:
        UnknownName: as ``check_template``.
        ModelError: as ``check_template``, or no file fits the template.
    """
    check_template(model)
    template = _template(model)
    if not _found(folder, template):
        raise ModelError(
            f"{folder} holds no file that fits {template!r}. Write under `model:` where the pictures are, "
            f"for instance `pictures: '{{case}}-{{seed}}.png'`."
        )


def digests(folder: Path, model: ModelRef) -> dict[str, str]:
    """SHA-256 of every file that fits the template, by its path below the folder.

    Raises:
        ModelError: as ``check``.
    """
    check(folder, model)
    template = _template(model)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _found(folder, template)}


def load(folder: Path, model: ModelRef, device: Device) -> Pictures:
    """Nothing is loaded; each picture is read when it is its turn."""
    del device
    return Pictures(folder, _template(model))


class Pictures:
    """A folder of pictures in the place of a pipeline."""

    def __init__(self, folder: Path, template: str) -> None:
        self.modules: dict[str, object] = {}
        self.components: dict[str, str] = {}
        self.substitutions: list[str] = []
        self.notes = [
            recorded("nothing was computed: the pictures were made before and read from {template}", template=template),
            recorded("noise unverified: nothing about a picture file tells which noise it began with"),
        ]
        if is_video(template):
            av = _av()
            codec = ".".join(map(str, av.library_versions["libavcodec"]))
            self.notes.append(
                recorded(
                    "frames were decoded to 8-bit RGB by PyAV {version} (libavcodec {codec}); another decoder may "
                    "round otherwise",
                    version=av.__version__,
                    codec=codec,
                )
            )
        self._folder = folder
        self._template = template

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Read the picture of a request.

        Raises:
            RunError: there is no such file.
            ImageError: it cannot be read as 8-bit RGB without loss.
        """
        return self.generate_several(request, watch)[0]

    def generate_several(self, request: Request, watch: Watch) -> list[Picture]:
        """Read the pictures of a request, those of one call by their numbers from 1.

        Raises:
            RunError: there is no such file.
            ImageError: it cannot be read as 8-bit RGB without loss.
        """
        del watch
        names = _names(request)
        numbered = [names | {"image": str(number)} for number in range(1, request.pictures + 1)]
        return [self._read(filled(self._template, values)) for values in numbered]

    def generate_frames(self, request: Request, watch: Watch) -> Iterator[Picture]:
        """Read the frames of a video one after the other: its files in the order of their numbers, or its video file.

        Raises:
            RunError: there is no such file, or it cannot be read as a video.
            ImageError: a frame cannot be read as 8-bit RGB without loss.
        """
        del watch
        if is_video(self._template):
            yield from self._decoded(filled(self._template, _names(request)))
            return
        before, _, after = self._template.partition("{frame}")
        written = (re.escape(filled(part, _names(request))) for part in (before, after))
        pattern = re.compile("([0-9]+)".join(written))  # with or without zeros in front, from 0 or from 1
        numbered = {int(match[1]): name for name in _files(self._folder) if (match := pattern.fullmatch(name))}
        if not numbered:
            raise RunError(
                f"there is no frame of case {request.case} and seed {request.seed} in the source folder; the template "
                f"is {self._template!r}. Put the frames there, or leave the case or seed out."
            )
        for number in sorted(numbered):
            yield self._read(numbered[number])

    def _decoded(self, name: str) -> Iterator[Picture]:
        path = self._folder / name
        if not path.is_file():
            raise RunError(
                f"there is no video {name} in the source folder; the template is {self._template!r}. Put the video "
                "there, or leave the case, seed or repeat out."
            )
        av = _av()
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    yield Picture(image=frame.to_ndarray(format="rgb24"), float_image=None, float_image_dtype=None)
        except (av.FFmpegError, IndexError) as error:
            raise RunError(f"{name} cannot be read as a video: {error}. Give a file that FFmpeg decodes.") from error

    def _read(self, name: str) -> Picture:
        if not (self._folder / name).is_file():
            raise RunError(
                f"there is no picture {name} in the source folder; the template is {self._template!r}. Put the "
                "picture there, or leave the case, seed or repeat out."
            )
        return Picture(image=read_picture(self._folder / name), float_image=None, float_image_dtype=None)


def _template(model: ModelRef) -> str:
    return model.pictures or DEFAULT


def is_video(template: str) -> bool:
    """Whether a template names video files.

    >>> is_video("{case}/{seed}.mp4"), is_video("{case}/{seed}-{frame}.png")
    (True, False)
    """
    return PurePosixPath(template).suffix.lower() in VIDEO_ENDINGS


def _av() -> Any:
    """The package that decodes videos.

    Raises:
        RunError: it is not installed; the message says what installs it.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise RunError(
            f"a video file needs PyAV, which is not installed here; {install('video')} installs it. Or write the "
            "frames as PNG files, and name them by {frame}."
        ) from error


def _names(request: Request) -> dict[str, str]:
    return {name: str(getattr(request, name)) for name in _NAMES if name not in _NUMBERED}


def _found(folder: Path, template: str) -> list[str]:
    """Paths below the folder that fit the template with anything but a separator for its names, sorted."""
    pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)))
    return sorted(name for name in _files(folder) if pattern.fullmatch(name))


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
