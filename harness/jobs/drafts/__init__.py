"""Draft a scenario from what a folder holds: a pipeline, an inference script, or pictures.

Nothing is loaded or run and no torch is imported; what is drafted is what the files say of themselves.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scenario
from harness.errors import UnknownName, UsageError
from harness.jobs.drafts.form import INDEX, SCENARIOS, Draft, Origin
from harness.jobs.drafts.pictures import images, pictures_in
from harness.jobs.drafts.pipelines import class_name, deepgen, diffusers, is_deepgen
from harness.jobs.drafts.scripts import INFERENCE, command, scripts_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SCENARIOS", "Draft", "draft"]


def draft(project: Path, adapter: str | None, source: str | None) -> Draft:
    """A scenario for ``source`` and ``adapter``; the folder decides what is left out.

    Without a source it is the project's own folder where that holds a pipeline, else the example on the embedded model.

    Raises:
        UnknownName: there is no such adapter.
        UsageError: an adapter needs a source; there is no such folder; it does not fit the adapter; or what it holds
            does not say what is needed.
    """
    if adapter is not None and adapter not in _DRAFTED:
        raise UnknownName("adapter that a scenario can be drafted for", adapter, _DRAFTED)
    if source is None and not (project / INDEX).is_file():
        if adapter not in {None, "deepgen"}:
            raise UsageError(
                f"--adapter {adapter} was given without --source, and {project.absolute()} is no pipeline's folder. "
                "Say with --source where the pipeline, the script or the pictures are."
            )
        text = (resources.files("harness") / "starter" / "example.yaml").read_text(encoding="utf-8")
        return Draft(name="example", adapter="deepgen", text=text)
    origin = _origin(project, str(project) if source is None else source)
    return _DRAFTED[adapter or _fitting(origin)](origin)


def _origin(project: Path, source: str) -> Origin:
    if not scenario.names_a_folder(source) or "$" in source:
        return Origin(written=source, source=source, folder=None)
    path = Path(source).expanduser()
    script = path.name if path.is_file() else ""
    folder = path.parent if script else path
    if not folder.is_dir() or not path.exists():
        raise UsageError(
            f"--source {source}: there is no folder {path.absolute()}; allowed is a folder with a model_index.json, an "
            "inference script or pictures, hf:REPO@REV or modelscope:REPO@REV. Check the path."
        )
    whole = folder.resolve()
    if whole.is_relative_to(project.resolve()):
        inside = Path(os.path.relpath(whole, project.resolve() / SCENARIOS)).as_posix()
        return Origin(written=source, source=inside, folder=folder, script=script)
    note = f"{whole} is outside the project, so a CI machine has no such folder"
    return Origin(written=source, source=str(whole), folder=folder, script=script, notes=[note])


def _fitting(origin: Origin) -> str:
    """The adapter for what a folder holds.

    Raises:
        UsageError: it cannot be looked into, or holds nothing that an adapter takes.
    """
    if origin.written.startswith("builtin:"):
        return "deepgen"
    if origin.folder is None:
        raise UsageError(
            f"--source {origin.written} is not looked into, so it does not say which adapter it needs. Give --adapter "
            "diffusers, or --adapter deepgen for DeepGen-1.0."
        )
    if origin.script:
        return "command"
    if (origin.folder / INDEX).is_file():
        return "deepgen" if is_deepgen(class_name(origin.folder)) else "diffusers"
    if any(INFERENCE.search(name) for name in scripts_in(origin.folder)):
        return "command"
    if pictures_in(origin.folder):
        return "images"
    raise UsageError(
        f"{origin.folder.absolute()} holds no model_index.json, no script whose name says that it makes pictures, such "
        "as inference.py, and no pictures. Give another --source, such as the script itself."
    )


_DRAFTED: Mapping[str, Callable[[Origin], Draft]] = {
    "deepgen": deepgen,
    "diffusers": diffusers,
    "command": command,
    "images": images,
}
