"""Where a model comes from, what exactly it is, and the private copy that workers load.

Weights are hashed once and remembered by size and time of change. Everything else that a loader reads is copied before
it is hashed, and workers load the copy, so that the code that was hashed is the code that runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import chooses, is_outside
from harness.errors import ModelError, RunError, UsageError
from harness.load_files import load_file
from harness.progress import task
from harness.records import ModelIdentity, json_digest
from harness.run.identity import WEIGHTS, file_identities, sha256_of
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.contracts import OutsideAdapter
    from harness.records import Load, ModelRef

_PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
_INDEX = "model_index.json"
_LARGEST_COPY_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model that workers may load."""

    folder: Path
    """Private copy of what is loaded; weights are links to the originals."""
    identity: ModelIdentity
    """What it is."""


@dataclass(frozen=True, kw_only=True)
class Permission:
    """Which commands of scenarios the user lets run; none, when nothing is said."""

    every: bool = False
    """Whether any may run."""
    listed: Path | None = None
    """File of the user's with the digest of an allowed command as the first word of each line."""

    def require(self, line: str, digest: str) -> None:
        """Refuse a command, a function or an environment that is not allowed: a scenario in a pull request is code.

        ``line`` says what would run, and ``digest`` covers it.

        Raises:
            UsageError: it is not allowed, with the line to list; or the list cannot be read.
        """
        if self.every or digest in self._digests():
            return
        raise UsageError(
            f"the scenario would run `{line}` with your rights. Read the command and its script, then give "
            "--allow-command, or list it in a file of your own, given by --allowed-commands FILE, with this line "
            f"(it holds for these words and these bytes of the script):\n{digest}  {line}"
        )

    def _digests(self) -> set[str]:
        if self.listed is None:
            return set()
        try:
            lines = self.listed.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"--allowed-commands {self.listed} cannot be read: {error}. Give a text file with one command a line."
            ) from error
        return {line.split()[0] for line in lines if line.strip()}


NO_COMMANDS = Permission()
"""What holds when nothing is said."""
EVERY = Permission(every=True)
"""For what looks at models and runs nothing."""


def cache_folder() -> Path:
    """Where built checkpoints and digests are kept: ``HARNESS_CACHE_DIR``, or below the user's cache folder."""
    if own := os.environ.get("HARNESS_CACHE_DIR"):
        return Path(own).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "accuracy-harness"


def locate(source: str, load: Load | None = None) -> tuple[Path, str | None]:
    """Folder of a model on this machine, and the revision it resolved to; fetches or builds it where needed.

    ``load`` may name the revision, where the source does not, and a folder of the source.

    Raises:
        ModelError: there is no such folder or embedded model, or the hub's package is not installed.
        RunError: an embedded checkpoint does not have its pinned digest.
    """
    revision = load.revision if load else None
    folder, resolved = _located(f"{source}@{revision}" if revision else source)
    if load is None or load.subfolder is None:
        return folder, resolved
    if not (folder / load.subfolder).is_dir():
        raise ModelError(f"{folder} holds no folder {load.subfolder}, which load.subfolder names. Check the path.")
    return folder / load.subfolder, resolved


def _located(source: str) -> tuple[Path, str | None]:
    scheme, _, rest = source.partition(":")
    if scheme == "builtin":
        return _built(rest), None
    if scheme == "hf":
        return _from_hugging_face(*_repository(source, rest))
    if scheme == "modelscope":
        return _from_modelscope(*_repository(source, rest))
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"the model folder {folder.absolute()} does not exist; give a folder, builtin:tiny-deepgen, hf:REPO@REV "
            "or modelscope:REPO@REV as the model's source. A folder in a scenario is relative to the scenario's file."
        )
    return folder.resolve(), None


def check_folder(folder: Path, model: ModelRef) -> None:
    """Refuse a folder that must not or cannot be loaded.

    Raises:
        ModelError: no ``model_index.json``, a pickle, Python code without trust, or code other than the pinned one.
    """
    if not (folder / _INDEX).is_file():
        raise ModelError(
            f"{folder} has no model_index.json, so it is no model in diffusers format; give the folder that holds it."
        )
    files = _files(folder)
    if pickles := [path for path in files if path.suffix.lower() in _PICKLES]:
        raise ModelError(
            f"{folder} holds {pickles[0].relative_to(folder)}, a pickle, which can run any code when it is read; "
            "only safetensors are loaded. Convert it, or remove it from the folder."
        )
    code = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files if path.suffix == ".py"}
    if code and not model.trust_remote_code:
        raise ModelError(
            f"{folder} brings its own code ({', '.join(code)}), which runs with your rights. Read it, then allow it "
            f"with `trust_remote_code: true` under `model:`. To allow only this content, add:\n{_pin(code)}"
        )
    if model.code_sha256 is not None and code != model.code_sha256:
        changed = sorted(name for name in {*code, *model.code_sha256} if code.get(name) != model.code_sha256.get(name))
        raise ModelError(
            f"the code of {folder} is not the one that the scenario pins: {', '.join(changed)} differ. If the change "
            f"is meant, replace code_sha256 by:\n{_pin(code)}"
        )
    plugins.load("adapters", model.adapter).check(folder, model)


def prepare(
    source: str,
    model: ModelRef,
    destination: Path,
    permission: Permission = NO_COMMANDS,
    files: Mapping[str, Path] | None = None,
) -> PreparedModel:
    """Locate a model, copy what its loader reads, check the copy and give it an identity.

    A file that is not copied cannot change a picture, so the identity of what is loaded covers all that can.
    What an adapter for pictures from outside the worker uses stays where it is: a script needs its neighbours.
    ``source`` is the model's source with variables expanded; ``destination`` must not exist. ``files`` are those that
    ``load`` names, by their paths as they are written.

    Raises:
        ModelError: the model must not or cannot be loaded.
        UsageError: the model is a command, or is prepared by a function, that ``permission`` does not cover.
    """
    folder, revision = locate(source, model.load)
    adapter = plugins.load("adapters", model.adapter)
    if is_outside(adapter):
        identity = _outside_identity(adapter, folder, model)
        if model.command is not None:
            permission.require(" ".join(model.command.words), identity.digest)
        return PreparedModel(folder=folder, identity=identity)
    check_folder(folder, model)
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    read = set(names)
    if chooses(adapter):
        read = {*adapter.reads(folder, names, model), *filter(_is_always_read, names)}
    _copy(sorted(read), folder, destination)
    check_folder(destination, model)
    places = {name: (destination if name in read else folder) / name for name in names}
    identities = file_identities(places, cache_folder() / "digests.json")
    digests = {name: file.sha256 for name, file in identities.items()}
    identity = ModelIdentity(
        source=model.source,
        revision=revision,
        digest=json_digest(digests),
        code={name: digest for name, digest in digests.items() if name.endswith(".py")},
        weights_bytes=sum(path.stat().st_size for path in _files(destination) if path.suffix == WEIGHTS),
        loaded=json_digest({name: digest for name, digest in digests.items() if name in read}),
        files={name: file for name, file in identities.items() if name in read},
        other_files={name: digest for name, digest in digests.items() if name not in read},
        load_files=_take_load_files(model.load, files or {}, destination, permission),
    )
    return PreparedModel(folder=destination, identity=identity)


def _take_load_files(
    load: Load | None, files: Mapping[str, Path], destination: Path, permission: Permission
) -> dict[str, str]:
    """Put the files that ``load`` names beside the copy of the model; gives their SHA-256 by what is written.

    Raises:
        ModelError: LoRA weights are no safetensors.
        UsageError: a function that ``permission`` does not cover would prepare the pipeline.
    """
    if load is None:
        return {}
    function = (load.prepare or "").rpartition(":")[0]
    written = [*(lora.file for lora in load.lora or []), *([function] if function else [])]
    if strange := [name for name in written if name != function and files[name].suffix != WEIGHTS]:
        raise ModelError(
            f"load.lora: found {strange[0]}; only safetensors are loaded, because a pickle can run any code when it is "
            "read. Convert it."
        )
    digests = {}
    for name in written:
        target = load_file(destination, name, ".py" if name == function else WEIGHTS)
        target.parent.mkdir(exist_ok=True)
        if name == function:
            shutil.copyfile(files[name], target)
        else:
            target.symlink_to(files[name].resolve())
        digests[name] = sha256_of(target)
    if load.prepare:
        permission.require(load.prepare, json_digest({"prepare": load.prepare, "sha256": digests[function]}))
    return digests


def _is_always_read(name: str) -> bool:
    """Whether a file is what a folder was allowed by, whatever an adapter says."""
    return name == _INDEX or name.endswith(".py")


def _outside_identity(adapter: OutsideAdapter, folder: Path, model: ModelRef) -> ModelIdentity:
    digests = dict(adapter.digests(folder, model))
    code = {name: digest for name, digest in digests.items() if name.endswith(".py")}
    return ModelIdentity(source=model.source, digest=json_digest(digests), code=code, weights_bytes=0)


def _built(name: str) -> Path:
    """Folder of an embedded model, built on first use; two processes may build at once."""
    model = plugins.load("models", name)
    folder = cache_folder() / "models" / f"{name}-{model.DIGEST[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            model.build(building)
            building.chmod(0o755)
            building.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same bytes
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    if (digest := model.checkpoint_digest(folder)) != model.DIGEST:
        raise RunError(
            f"the embedded model in {folder} has the digest {digest[:16]}…, not {model.DIGEST[:16]}…; "
            "a file was changed or is damaged. Delete the folder, it is built again."
        )
    return folder


def _repository(source: str, rest: str) -> tuple[str, str]:
    repository, at, revision = rest.partition("@")
    if not (repository and at and revision):
        raise ModelError(f"the source {source} names no revision; write it as {source.rstrip('@')}@REVISION.")
    return repository, revision


def _from_hugging_face(repository: str, revision: str) -> tuple[Path, str]:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise ModelError(f"hf: sources need huggingface_hub; install the model side: {install('run')}") from error
    try:
        with task(f"fetching hf:{repository}@{revision}"):
            folder = Path(snapshot_download(repository, revision=revision))
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"hf:{repository}@{revision} could not be fetched ({type(error).__name__}: {error}). On a host without "
            "internet, copy the folder over and give its path as the source."
        ) from error
    return folder, folder.name


def _from_modelscope(repository: str, revision: str) -> tuple[Path, str]:
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        message = "modelscope: sources need the package modelscope; install it: pip install modelscope"
        raise ModelError(message) from error
    try:
        with task(f"fetching modelscope:{repository}@{revision}"):
            return Path(snapshot_download(repository, revision=revision)), revision
    except Exception as error:  # its errors have no common class, and changed their names between versions
        raise ModelError(
            f"modelscope:{repository}@{revision} could not be fetched ({type(error).__name__}: {error}). On a host "
            "without internet, copy the folder over and give its path as the source."
        ) from error


def _files(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """All files below a folder, sorted; hidden ones, such as a hub's bookkeeping, are left out, links are followed.

    Raises:
        ModelError: a link leads back to a folder that holds it.
    """
    real = folder.resolve()
    if real in above:
        raise ModelError(f"{folder} is a link to a folder that holds it; remove the link from the model's folder.")
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            files += _files(path, above | {real})
        elif path.is_file():
            files.append(path)
    return files


def _copy(names: Iterable[str], folder: Path, destination: Path) -> None:
    for name in names:
        path, target = folder / name, destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == WEIGHTS:
            target.symlink_to(path.resolve())
        elif path.stat().st_size > _LARGEST_COPY_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size} bytes and is not a safetensors file; at most {_LARGEST_COPY_BYTES} "
                "are copied. Move what the model does not need out of its folder."
            )
        else:
            shutil.copyfile(path, target)


def _pin(code: dict[str, str]) -> str:
    return "\n".join(["  code_sha256:", *(f"    {name}: {digest}" for name, digest in sorted(code.items()))])
