"""Where a model comes from, what exactly it is, and that workers load what was looked at."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from harness.errors import ModelError, RunError, UnknownName
from harness.models import tiny_deepgen
from harness.records import ModelRef
from harness.run.sources import PreparedModel, check_folder, locate, prepare
from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[Path], object]

CODE = b"print('a pipeline')\n"
FILES = {
    "model_index.json": b'{"_class_name": "Pipeline"}',
    "deepgen_pipeline.py": CODE,
    "scheduler/scheduler_config.json": b"{}",
    "tokenizer/tokenizer.json": b"{}",
    **{f"{part}/config.json": b"{}" for part in ("transformer", "vae", "vlm", "connector")},
    **{f"{part}/model.safetensors": part.encode() * 8 for part in ("transformer", "vae", "vlm", "connector")},
}
REVISION = "0123456789abcdef0123456789abcdef01234567"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_model(folder: Path) -> Path:
    """A folder with the layout of a model; its weights are a few bytes that nobody loads."""
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def reference(**changes: Any) -> ModelRef:
    wanted = {"source": "somewhere", "trust_remote_code": True, **changes}
    return ModelRef(**wanted)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def prepared(folder: Path, tmp_path: Path) -> PreparedModel:
    return prepare(str(folder), reference(), tmp_path / "copy")


# --- hubs ------------------------------------------------------------------------------------------------------------

ASK = """
import json, sys
from harness.errors import HarnessError
from harness.run.sources import locate
for source in sys.argv[1:]:
    try:
        folder, revision = locate(source)
        print(json.dumps({"folder": str(folder), "revision": revision}))
    except HarnessError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


def located(*sources: str, **variables: str) -> list[dict[str, str]]:
    """What each source leads to in a fresh interpreter without network, as hubs read their variables once."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *sources],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as huggingface_hub leaves it: contents by digest, a snapshot of links, and a branch that points to it."""
    pytest.importorskip("huggingface_hub")
    place = tmp_path_factory.mktemp("hub")
    repository = place / "models--org--name"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION, encoding="utf-8")
    for name, data in FILES.items():
        blob = repository / "blobs" / sha256(data)
        blob.write_bytes(data)
        link = repository / "snapshots" / REVISION / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return place


@pytest.fixture(scope="module")
def hub_answers(hub: Path) -> dict[str, dict[str, str]]:
    sources = ["hf:org/name@main", f"hf:org/name@{REVISION}", "hf:org/name@v2", "hf:org/other@main", "hf:a/b/c@main"]
    return dict(zip(sources, located(*sources, HF_HUB_CACHE=str(hub)), strict=True))


@pytest.mark.parametrize("revision", ["main", REVISION])
def test_a_cached_repository_is_found_offline_by_branch_and_by_commit(
    revision: str, hub: Path, hub_answers: dict[str, dict[str, str]]
) -> None:
    snapshot = hub / "models--org--name" / "snapshots" / REVISION
    assert hub_answers[f"hf:org/name@{revision}"] == {"folder": str(snapshot), "revision": REVISION}


@pytest.mark.parametrize("source", ["hf:org/name@v2", "hf:org/other@main", "hf:a/b/c@main"])
def test_what_a_hub_does_not_give_is_refused_with_the_next_step(
    source: str, hub_answers: dict[str, dict[str, str]]
) -> None:
    answer = hub_answers[source]
    assert answer["error"] == "ModelError"
    assert answer["message"].startswith(f"{source} could not be fetched (")
    assert "copy the folder over and give its path" in answer["message"]


def test_a_snapshot_of_links_is_the_same_model_as_a_folder_of_files(hub: Path, folder: Path, tmp_path: Path) -> None:
    snapshot = hub / "models--org--name" / "snapshots" / REVISION
    from_hub = prepare(str(snapshot), reference(), tmp_path / "one")
    from_folder = prepare(str(folder), reference(), tmp_path / "two")
    assert from_hub.identity == from_folder.identity
    assert (from_hub.folder / "deepgen_pipeline.py").read_bytes() == CODE


@pytest.mark.parametrize("source", ["hf:org/name", "hf:org/name@", "hf:@main", "hf:", "modelscope:org/name"])
def test_a_hub_without_a_revision_is_refused(source: str) -> None:
    with pytest.raises(ModelError, match=r"names no revision; write it as .*@REVISION"):
        locate(source)


def test_a_hub_whose_package_is_missing_is_refused_with_what_to_install(tmp_path: Path) -> None:
    for package in ("huggingface_hub", "modelscope"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('planted: not installed')\n", encoding="utf-8")
    hugging_face, modelscope = located("hf:org/name@main", "modelscope:org/name@master", PYTHONPATH=str(tmp_path))
    assert hugging_face["error"] == modelscope["error"] == "ModelError"
    assert "need huggingface_hub; install" in hugging_face["message"]
    assert "need the package modelscope; install it: pip install modelscope" in modelscope["message"]


def test_modelscope_as_it_is_here_answers_in_words(tmp_path: Path) -> None:
    (answer,) = located("modelscope:org/name@master", MODELSCOPE_CACHE=str(tmp_path), http_proxy="http://127.0.0.1:9")
    assert answer["error"] == "ModelError"
    expected = "could not be fetched (" if find_spec("modelscope") else "need the package modelscope; install it"
    assert expected in answer["message"]


def test_an_error_of_modelscopes_own_kind_becomes_words(tmp_path: Path) -> None:
    stand_in = (
        "class NotExistError(Exception): pass\ndef snapshot_download(*words, **options):\n    raise NotExistError"
    )
    (tmp_path / "modelscope.py").write_text(f"{stand_in}('planted: no such revision')\n", encoding="utf-8")
    (answer,) = located("modelscope:org/name@master", PYTHONPATH=str(tmp_path))
    assert answer["error"] == "ModelError"
    words = "modelscope:org/name@master could not be fetched (NotExistError: planted: no such revision)."
    assert answer["message"].startswith(words)


def test_modelscope_is_asked_for_the_repository_and_the_revision(tmp_path: Path) -> None:
    stand_in = "def snapshot_download(repository, revision):\n    return f'/models/{repository}/{revision}'\n"
    (tmp_path / "modelscope.py").write_text(stand_in, encoding="utf-8")
    (answer,) = located("modelscope:org/name@v1", PYTHONPATH=str(tmp_path))
    assert answer == {"folder": "/models/org/name/v1", "revision": "v1"}


# --- folders and embedded models -------------------------------------------------------------------------------------


def test_a_folder_is_found_from_the_home_folder_and_from_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    assert locate("~/model") == locate("model") == locate(str(folder)) == (folder.resolve(), None)


def test_a_folder_that_is_not_there_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist; give a folder, builtin:tiny-deepgen, hf:REPO@REV"):
        locate(str(tmp_path / "nowhere"))


def test_an_embedded_model_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'tiny-deepgen'"):
        locate("builtin:tiny-deepgne")


def test_an_embedded_model_is_built_once_and_refused_when_it_was_changed(cache: Path) -> None:
    built, revision = locate("builtin:tiny-deepgen")
    assert (built.parent, revision) == (cache / "models", None)
    assert tiny_deepgen.checkpoint_digest(built) == tiny_deepgen.DIGEST
    stamps = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    assert locate("builtin:tiny-deepgen")[0] == built
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == stamps
    (built / "model_index.json").write_bytes(b"{}")
    with pytest.raises(RunError, match=r"a file was changed or is damaged\. Delete the folder, it is built again"):
        locate("builtin:tiny-deepgen")


def test_two_processes_may_build_the_same_model_at_once(cache: Path) -> None:
    words = [sys.executable, "-c", ASK, "builtin:tiny-deepgen"]
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(child.communicate(timeout=patience_seconds())[0]) for child in children]
    assert answers[0] == answers[1]
    assert [path.name for path in (cache / "models").iterdir()] == [Path(answers[0]["folder"]).name]


def test_a_process_that_was_slower_takes_what_the_other_one_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tiny_deepgen.build

    def overtaken(destination: Path) -> None:
        real(destination)
        shutil.copytree(destination, cache / "models" / f"tiny-deepgen-{tiny_deepgen.DIGEST[:16]}")

    monkeypatch.setattr(tiny_deepgen, "build", overtaken)
    folder, _ = locate("builtin:tiny-deepgen")
    assert list((cache / "models").iterdir()) == [folder]


def test_a_build_that_fails_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(destination: Path) -> None:
        (destination / "half").write_bytes(b"")
        raise OSError("planted: no space left")

    monkeypatch.setattr(tiny_deepgen, "build", planted)
    with pytest.raises(OSError, match="planted: no space left"):
        locate("builtin:tiny-deepgen")
    assert list((cache / "models").iterdir()) == []


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_folder_without_an_index_is_refused(folder: Path) -> None:
    (folder / "model_index.json").unlink()
    with pytest.raises(ModelError, match=r"has no model_index\.json"):
        check_folder(folder, reference())


@pytest.mark.parametrize("name", ["vae/model.bin", "model.pt", "vlm/weights.PTH", "a.ckpt", "b.pkl", "c.pickle"])
def test_a_pickle_is_refused_wherever_it_lies(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(ModelError, match=f"holds {name}, a pickle"):
        check_folder(folder, reference())


def test_a_part_that_is_missing_is_refused_by_the_adapter(folder: Path) -> None:
    shutil.rmtree(folder / "connector")
    with pytest.raises(ModelError, match=r"lacks connector, connector/\*\.safetensors"):
        check_folder(folder, reference())


def test_a_large_file_that_is_no_weight_is_not_copied(folder: Path, tmp_path: Path) -> None:
    with (folder / "vlm" / "table.npy").open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ModelError, match=r"table\.npy has 67108865 bytes and is not a safetensors file"):
        prepare(str(folder), reference(), tmp_path / "copy")
    (folder / "vlm" / "table.npy").rename(folder / "video.mp4")
    assert contents(prepare(str(folder), reference(), tmp_path / "again").folder) == FILES


def test_a_link_that_leads_back_is_refused(folder: Path) -> None:
    (folder / "vae" / "again").symlink_to(folder)
    with pytest.raises(ModelError, match="vae/again is a link to a folder that holds it"):
        check_folder(folder, reference())


# --- code ------------------------------------------------------------------------------------------------------------


def pinned_in(message: str) -> Any:
    """What a scenario gets when the lines of a refusal are pasted into it."""
    return YAML(typ="safe").load("model:\n" + message[message.index("  code_sha256:") :])["model"]["code_sha256"]


def test_code_without_trust_is_refused_with_lines_to_paste(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"brings its own code \(deepgen_pipeline\.py\)") as caught:
        check_folder(folder, reference(trust_remote_code=False))
    pins = pinned_in(str(caught.value))
    assert pins == {"deepgen_pipeline.py": sha256(CODE)}
    check_folder(folder, reference(code_sha256=pins))


def test_a_folder_without_code_needs_no_trust(folder: Path) -> None:
    (folder / "deepgen_pipeline.py").unlink()
    check_folder(folder, reference(trust_remote_code=False))


CODE_CHANGES: dict[str, tuple[str, Change]] = {
    "changed": ("deepgen_pipeline.py", lambda folder: (folder / "deepgen_pipeline.py").write_bytes(CODE + b"\n")),
    "gone": ("deepgen_pipeline.py", lambda folder: (folder / "deepgen_pipeline.py").unlink()),
    "beside it": ("vae/extra.py", lambda folder: (folder / "vae" / "extra.py").write_bytes(b"")),
}


@pytest.mark.parametrize("kind", CODE_CHANGES)
def test_code_other_than_the_pinned_one_is_refused_by_name(kind: str, folder: Path) -> None:
    pin = {"deepgen_pipeline.py": sha256(CODE)}
    check_folder(folder, reference(code_sha256=pin))
    name, change = CODE_CHANGES[kind]
    change(folder)
    with pytest.raises(ModelError, match=f"not the one that the scenario pins: {name} differ"):
        check_folder(folder, reference(code_sha256=pin))


def test_code_in_a_linked_folder_is_seen(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "extra.py").write_bytes(b"")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"more/extra\.py differ"):
        check_folder(folder, reference(code_sha256={"deepgen_pipeline.py": sha256(CODE)}))


# --- the private copy ------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_holds_every_file(prepared: PreparedModel) -> None:
    assert contents(prepared.folder) == FILES


def test_an_edit_of_the_original_does_not_reach_the_copy(prepared: PreparedModel, folder: Path) -> None:
    (folder / "deepgen_pipeline.py").write_bytes(b"raise SystemExit\n")
    (folder / "model_index.json").unlink()
    (folder / "late.py").write_bytes(b"")
    assert contents(prepared.folder) == FILES


def test_weights_are_links_to_the_originals_and_nothing_else_is(prepared: PreparedModel, folder: Path) -> None:
    links = {path.relative_to(prepared.folder).as_posix() for path in prepared.folder.rglob("*") if path.is_symlink()}
    assert links == {name for name in FILES if name.endswith(".safetensors")}
    assert (prepared.folder / "vae/model.safetensors").resolve() == (folder / "vae/model.safetensors").resolve()


def test_a_linked_part_of_a_model_is_followed(folder: Path, tmp_path: Path, prepared: PreparedModel) -> None:
    shutil.move(folder / "vlm", tmp_path / "big-disk")
    (folder / "vlm").symlink_to(tmp_path / "big-disk")
    again = prepare(str(folder), reference(), tmp_path / "again")
    assert contents(again.folder) == FILES
    assert again.identity.digest == prepared.identity.digest


HIDDEN = [
    ".git/config",
    ".cache/huggingface/download/x.lock",
    ".gitattributes",
    "__pycache__/deepgen.pyc",
    "vae/.ds.pt",
]


def test_hidden_files_are_neither_copied_nor_part_of_the_identity(
    folder: Path, tmp_path: Path, prepared: PreparedModel
) -> None:
    for name in HIDDEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    again = prepare(str(folder), reference(), tmp_path / "again")
    assert contents(again.folder) == FILES
    assert again.identity == prepared.identity


# --- the identity ----------------------------------------------------------------------------------------------------


def test_the_identity_says_what_the_model_is(prepared: PreparedModel) -> None:
    identity = prepared.identity
    assert (identity.source, identity.revision) == ("somewhere", None)
    assert identity.code == {"deepgen_pipeline.py": sha256(CODE)}
    assert identity.weights_bytes == sum(len(data) for name, data in FILES.items() if name.endswith(".safetensors"))


def test_the_same_files_in_another_folder_are_the_same_model(tmp_path: Path, prepared: PreparedModel) -> None:
    elsewhere = write_model(tmp_path / "far" / "away")
    assert prepare(str(elsewhere), reference(), tmp_path / "again").identity == prepared.identity


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_changed_file_is_another_model(name: str, folder: Path, tmp_path: Path, prepared: PreparedModel) -> None:
    (folder / name).write_bytes(FILES[name] + b" ")
    assert prepare(str(folder), reference(), tmp_path / "again").identity.digest != prepared.identity.digest


def test_a_renamed_file_is_another_model(folder: Path, tmp_path: Path, prepared: PreparedModel) -> None:
    (folder / "tokenizer" / "tokenizer.json").rename(folder / "tokenizer" / "vocab.json")
    assert prepare(str(folder), reference(), tmp_path / "again").identity.digest != prepared.identity.digest


# --- remembered digests ----------------------------------------------------------------------------------------------


def rewritten(weights: Path, *, keep_time: bool) -> None:
    """Other bytes of the same number; a new time of change unless the old one is put back."""
    before = weights.stat()
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    later = before.st_mtime_ns + (0 if keep_time else 1)
    os.utime(weights, ns=(before.st_atime_ns, later))
    assert weights.stat().st_size == before.st_size


def test_weights_of_the_same_size_are_hashed_again_when_their_time_changes(
    folder: Path, tmp_path: Path, prepared: PreparedModel
) -> None:
    rewritten(folder / "vlm" / "model.safetensors", keep_time=False)
    assert prepare(str(folder), reference(), tmp_path / "again").identity.digest != prepared.identity.digest


def test_weights_whose_size_and_time_are_known_are_not_read_again(
    folder: Path, tmp_path: Path, prepared: PreparedModel
) -> None:
    rewritten(folder / "vlm" / "model.safetensors", keep_time=True)
    assert prepare(str(folder), reference(), tmp_path / "again").identity.digest == prepared.identity.digest


@pytest.mark.parametrize("damage", ["", "{", "[]", "[1, 2]", "17", "null", "\x00"])
def test_a_damaged_memory_is_forgotten(
    damage: str, cache: Path, folder: Path, tmp_path: Path, prepared: PreparedModel
) -> None:
    assert (cache / "digests.json").is_file()
    (cache / "digests.json").write_text(damage, encoding="utf-8")
    assert prepare(str(folder), reference(), tmp_path / "again").identity == prepared.identity
