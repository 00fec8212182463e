"""Any script that makes one picture, such as an existing inference.py: one child process for each picture.

The words are a list and meet no shell. The worker does not touch the device; the command is told its name, and which
noise it begins with nobody can verify.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.adapters._templates import check_names, fields, filled
from harness.contracts import Picture
from harness.errors import ModelError, RunError
from harness.images import read_picture
from harness.language import recorded
from harness.records import json_digest

if TYPE_CHECKING:
    from harness.contracts import Device, Request, Watch
    from harness.records import CommandRef, ModelRef

NOISE: Literal["unverified"] = "unverified"
COMPUTES = True

_NEEDED = ("prompt", "seed")
_OPTIONAL = ("negative_prompt", "input_image")
_SETTINGS = ("width", "height", "steps", "guidance_scale", "device", "dtype")
NAMES = ("python", *_NEEDED, *_OPTIONAL, *_SETTINGS, "arm", "output")
"""What may stand in braces; ``python`` is the interpreter of the arm, or of the worker where it has none."""
_SCRIPTS = (".py", ".sh")
_GUARD = Path(__file__).with_name("_guard.py")
_LAST_LINES = 30


def check_template(model: ModelRef) -> None:
    """Look at the words alone.

    Raises:
        UnknownName: a word has a name in braces that stands for nothing.
        ModelError: there is no command, a word cannot be read, it is not told prompt and seed, or it is not clear where
            the picture appears.
    """
    command = _command(model)
    for text in (*command.words, command.output or ""):
        check_names(text, NAMES)
    placeholders = _placeholders(command)
    if missing := [name for name in _NEEDED if name not in placeholders]:
        raise ModelError(
            f"model.command is not told {', '.join(missing)}, so different cases or seeds would get one picture. Add "
            + " and ".join(f"a word with {{{name}}}" for name in missing)
            + "."
        )
    if ("output" in placeholders) == (command.output is not None):
        raise ModelError(
            "model.command must say once where the picture appears: by a word with {output}, a path that the harness "
            "chooses, or by `output:`, the file that the command writes by itself. Give one of them, not both."
        )


def check(folder: Path, model: ModelRef) -> None:
    """Look at the words and for the scripts that they name; nothing is started.

    Raises:
        UnknownName: as ``check_template``.
        ModelError: as ``check_template``, or a script is not there.
    """
    check_template(model)
    command = _command(model)
    lost = [word for word in command.words if word.endswith(_SCRIPTS) and not fields(word) and not _file(folder, word)]
    if lost:
        raise ModelError(f"{folder} holds no file {lost[0]}; model.command runs in the source folder. Check the path.")


def digests(folder: Path, model: ModelRef) -> dict[str, str]:
    """SHA-256 of the command as it is written, and of every file that it names; what a script imports is not covered.

    Raises:
        ModelError: as ``check``.
    """
    check(folder, model)
    command = _command(model)
    files = [word for word in command.words if not fields(word) and _file(folder, word)]
    written = json_digest(command.model_dump(mode="json", exclude={"time_limit_seconds"}))
    return {"command": written} | {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


def load(folder: Path, model: ModelRef, device: Device) -> Command:
    """Nothing is loaded: the command loads its model for each picture."""
    return Command(folder, model, device)


class Command:
    """A command in the place of a pipeline."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        self._command = _command(model)
        self._placeholders = _placeholders(self._command)
        self._folder = folder
        self._fixed = {"python": sys.executable, "device": device.torch_device, "dtype": model.dtype}
        own = [name for name in _SETTINGS if name not in self._placeholders]
        self.modules: dict[str, object] = {}
        self.components: dict[str, str] = {}
        untold = recorded("the command is not told {names}, so it uses its own", names=", ".join(own))
        self.substitutions = [untold] if own else []
        self.notes = [
            recorded("command: {words}", words=" ".join(self._command.words)),
            recorded("noise unverified: which noise a command begins with cannot be seen from outside"),
        ]

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Start the command, wait for it and read the picture that it made.

        Raises:
            RunError: the command cannot be told what the case asks, failed, ran past its time limit, or left no
                picture; the message ends with the last lines it wrote.
            ImageError: what it left cannot be read as 8-bit RGB without loss.
        """
        del watch
        with tempfile.TemporaryDirectory(prefix="harness-command-") as scratch:
            values = self._values(request, Path(scratch) / "picture.png")
            own = self._command.output
            picture = Path(values["output"]) if own is None else self._folder / filled(own, values)
            if picture.exists():
                raise RunError(
                    f"{picture} is there before the command has run, so it could be taken for what the command makes. "
                    "Move it away."
                )
            written = self._run([filled(word, values) for word in self._command.words], Path(scratch) / "log")
            if not picture.is_file():
                raise RunError(f"the command ended well and left no picture {picture.name}. {written}")
            try:
                return Picture(image=read_picture(picture), float_image=None, float_image_dtype=None)
            finally:
                picture.unlink()

    def _values(self, request: Request, output: Path) -> dict[str, str]:
        offered = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "input_image": request.input_image,
            "seed": request.seed,
            "width": request.width,
            "height": request.height,
            "steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "arm": request.arm,
            "output": output,
        }
        values = self._fixed | ({"python": request.python} if request.python else {})
        values |= {name: str(value) for name, value in offered.items() if value is not None}
        if lacking := sorted(self._placeholders - set(values)):
            raise RunError(f"the command asks for {', '.join(lacking)}, and the case {request.case} has none; add it.")
        if unheard := [name for name in _OPTIONAL if name in values and name not in self._placeholders]:
            raise RunError(
                f"the case {request.case} has {', '.join(unheard)}, and the command is not told; add a word with "
                f"{{{unheard[0]}}} to model.command."
            )
        return values

    def _run(self, words: list[str], log: Path) -> str:
        """Run to the end in a process group of its own; gives the last lines that it wrote, in a sentence."""
        limit = self._command.time_limit_seconds
        lifeline_in, lifeline_out = os.pipe()
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(lifeline_in), *words],
                cwd=self._folder,
                env={**os.environ, **self._command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lifeline_in,),
                start_new_session=True,
            )
        os.close(lifeline_in)
        problem = ""
        try:
            code = child.wait(timeout=limit)
            problem = f"the command ended with exit code {code}." if code else ""
        except subprocess.TimeoutExpired:
            problem = f"the command was ended at its time limit (model.command.time_limit_seconds: {limit:g})."
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # what it left running as well
            child.wait()
            os.close(lifeline_out)
        written = log.read_text(encoding="utf-8", errors="replace")
        sys.stdout.write(written)
        last = "\n".join(written.splitlines()[-_LAST_LINES:])
        report = f"The last lines it wrote:\n{last}" if last else "It wrote nothing."
        if problem:
            raise RunError(f"{problem} {report}")
        return report


def _command(model: ModelRef) -> CommandRef:
    if model.command is None:
        raise ModelError("the adapter command needs `command:` under `model:`, with the list `words:` in it.")
    return model.command


def _placeholders(command: CommandRef) -> set[str]:
    return {name for word in command.words for name in fields(word)}


def _file(folder: Path, word: str) -> bool:
    return bool(word) and (folder / word).is_file()
