"""Two folders are one model where every file that a loader reads is the same, and only there.

The folders are those of real pipelines; each kind of file that diffusers or transformers read is changed in turn.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.compare.models import model_difference
from harness.records import ModelIdentity, ModelRef, json_digest
from harness.run.identity import json_keys
from harness.run.sources import locate, prepare
from tests.command_line import environment, patience_seconds
from tests.run.test_sources import write_model

pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved

if TYPE_CHECKING:
    from tests.command_line import MadeOnce

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PIPELINE_CODE = b"from diffusers import StableDiffusionPipeline\nclass Own(StableDiffusionPipeline): pass\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pipeline(made_once: MadeOnce) -> Path:
    """The folder of a real pipeline of diffusers, with the READMEs and licences that one folder of a hub has."""

    def fill(folder: Path) -> None:
        saved("sd15", folder / "sd15")
        (folder / "sd15" / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
        (folder / "sd15" / "README.md").write_text("# a model\n", encoding="utf-8")
        (folder / "sd15" / "LICENSE.txt").write_text("as you like\n", encoding="utf-8")

    return made_once("identity-sd15", fill) / "sd15"


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline, tmp_path / "model"))


def identity(folder: Path, tmp_path: Path, adapter: str = "diffusers") -> ModelIdentity:
    """What a folder is to an adapter."""
    number = sum(path.name.startswith("copy-") for path in tmp_path.iterdir())
    model = ModelRef(source="somewhere", adapter=adapter, trust_remote_code=True)
    return prepare(str(folder), model, tmp_path / f"copy-{number}").identity


def changed(path: Path) -> None:
    """One bit of the middle turned over, or a number in JSON, which stays JSON."""
    if path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "planted": 1}), encoding="utf-8")
        return
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


LOADED = {
    "index": "model_index.json",
    "weights of the denoiser": "unet/diffusion_pytorch_model.safetensors",
    "weights of the text encoder": "text_encoder/model.safetensors",
    "configuration of a model": "vae/config.json",
    "configuration of the scheduler": "scheduler/scheduler_config.json",
    "vocabulary": "tokenizer/vocab.json",
    "merges": "tokenizer/merges.txt",
    "configuration of the tokenizer": "tokenizer/tokenizer_config.json",
    "chat template": "tokenizer/chat_template.jinja",
}


@pytest.mark.parametrize("kind", LOADED)
def test_a_change_in_any_file_that_is_loaded_is_another_model_by_name(kind: str, folder: Path, tmp_path: Path) -> None:
    before = identity(folder, tmp_path)
    assert model_difference(identity(folder, tmp_path), before) is None
    changed(folder / LOADED[kind])
    found = model_difference(identity(folder, tmp_path), before)
    assert found is not None
    assert [each.name for each in found.files] == [LOADED[kind]]
    assert found.files[0].keys == (["planted"] if LOADED[kind].endswith(".json") else [])


@pytest.mark.parametrize("kind", LOADED)
def test_a_loaded_file_on_one_side_alone_is_another_model(kind: str, folder: Path, tmp_path: Path) -> None:
    before = identity(folder, tmp_path)
    place = folder / LOADED[kind]
    place.with_name(f"more_{place.name}").write_bytes(b"1")
    if kind == "index":
        assert model_difference(identity(folder, tmp_path), before) is None, "nothing reads another index"
        return
    fewer, more = before, identity(folder, tmp_path)
    for actual, expected, missing in ((fewer, more, "actual"), (more, fewer, "expected")):
        found = model_difference(actual, expected)
        assert found is not None
        name = LOADED[kind].replace(place.name, f"more_{place.name}")
        assert [(each.name, each.missing) for each in found.files] == [(name, missing)]


CODE = {
    "code of the pipeline": "own_pipeline.py",
    "code of a component": "unet/own_model.py",
    "code that other code imports": "blocks/attention.py",
    "what code may read": "prompt_template.json",
    "what code may read in a folder of its own": "embeddings/table.safetensors",
}


@pytest.mark.parametrize("kind", CODE)
def test_code_and_what_it_may_read_are_part_of_the_model(kind: str, folder: Path, tmp_path: Path) -> None:
    (folder / "own_pipeline.py").write_bytes(PIPELINE_CODE)
    place = folder / CODE[kind]
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        place.write_bytes(b'{"a": 1}')
    before = identity(folder, tmp_path)
    changed(place)
    found = model_difference(identity(folder, tmp_path), before)
    assert found is not None
    assert [each.name for each in found.files] == [CODE[kind]]


OTHER = {
    "README": "README.md",
    "licence": "LICENSE.txt",
    "licence without an ending": "LICENSE",
    "what ModelScope says of a repository": "configuration.json",
    "what ModelScope keeps": ".msc",
    "what ModelScope keeps of a revision": ".mv",
    "what huggingface_hub keeps": ".cache/huggingface/download/model_index.json.metadata",
    "what huggingface_hub kept": ".huggingface/download/model_index.json.metadata",
    "attributes of git": ".gitattributes",
    "picture": "assets/teaser.png",
    "picture in a component": "unet/curve.PNG",
    "README of a component": "vae/README.md",
    "video": "demo.mp4",
}
WITHOUT_CODE = {
    "single file beside the components": "everything.safetensors",
    "LoRA that nothing names": "pytorch_lora_weights.safetensors",
    "folder that the index does not name": "unet_ema/config.json",
    "safety checker that the index leaves out": "safety_checker/config.json",
}


@pytest.mark.parametrize("with_code", [False, True])
@pytest.mark.parametrize("kind", [*OTHER, *WITHOUT_CODE])
def test_a_file_that_no_loader_reads_makes_no_difference(
    kind: str, folder: Path, tmp_path: Path, *, with_code: bool
) -> None:
    name = {**OTHER, **WITHOUT_CODE}[kind]
    if with_code:
        (folder / "own_pipeline.py").write_bytes(PIPELINE_CODE)
    before = identity(folder, tmp_path)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"{}")
    after = identity(folder, tmp_path)
    differs = model_difference(after, before) is not None
    assert differs == (with_code and kind in WITHOUT_CODE), (
        "code may read whatever is no picture and no text for people"
    )
    if not differs:
        assert after.key == before.key
        assert name not in after.files
        assert (name in after.other_files) == (not name.startswith("."))


def test_code_that_names_a_file_for_people_makes_it_part_of_the_model(folder: Path, tmp_path: Path) -> None:
    (folder / "mask.png").write_bytes(b"a mask")
    (folder / "teaser.png").write_bytes(b"a teaser")
    (folder / "own_pipeline.py").write_bytes(PIPELINE_CODE + b"MASK = 'mask.png'\n")
    found = identity(folder, tmp_path)
    assert "mask.png" in found.files
    assert "teaser.png" in found.other_files


def test_workers_are_given_nothing_that_is_not_part_of_the_model(folder: Path, tmp_path: Path) -> None:
    (folder / "configuration.json").write_text("{}", encoding="utf-8")
    found = identity(folder, tmp_path)
    given = {path.relative_to(tmp_path / "copy-0").as_posix() for path in (tmp_path / "copy-0").rglob("*")}
    assert {name for name in given if (tmp_path / "copy-0" / name).is_file()} == set(found.files)
    assert set(found.other_files) == {"README.md", "LICENSE.txt", "configuration.json"}


def test_downloads_of_one_revision_from_two_hubs_are_one_model(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (folder / ".gitattributes").write_bytes(b"*.safetensors filter=lfs\n")
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (other / "configuration.json").write_text('{"framework": "pytorch"}', encoding="utf-8")
    (other / "README.md").write_text("---\nframeworks: Pytorch\n---\n", encoding="utf-8")
    (other / ".mv").write_text("Revision:master\n", encoding="utf-8")
    mine, theirs = identity(folder, tmp_path), identity(other, tmp_path)
    assert mine.digest != theirs.digest, "the digest of before takes them for two"
    assert mine.loaded == theirs.loaded
    assert model_difference(mine, theirs) is None
    changed(other / "vae" / "config.json")
    assert model_difference(identity(other, tmp_path), mine) is not None


@pytest.mark.parametrize(
    "name", ["prompt_template.json", "deepgen_pipeline.py", "vlm/config.json", "connector/model.safetensors"]
)
def test_what_deepgen_s_loader_reads_is_part_of_the_model(name: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "deepgen")
    (folder / "prompt_template.json").write_text("{}", encoding="utf-8")
    before = identity(folder, tmp_path, "deepgen")
    (folder / "README.md").write_text("# DeepGen\n", encoding="utf-8")
    (folder / "configuration.json").write_text("{}", encoding="utf-8")
    assert model_difference(identity(folder, tmp_path, "deepgen"), before) is None
    changed(folder / name)
    found = model_difference(identity(folder, tmp_path, "deepgen"), before)
    assert found is not None
    assert [each.name for each in found.files] == [name]


def test_the_embedded_model_is_loaded_from_each_of_its_files(tmp_path: Path) -> None:
    built, _ = locate("builtin:tiny-deepgen")
    found = identity(built, tmp_path, "deepgen")
    assert found.other_files == {}
    assert set(found.files) == {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}


def test_an_adapter_that_does_not_say_what_it_reads_is_taken_to_read_everything(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.adapters import diffusers

    before = identity(folder, tmp_path)
    monkeypatch.delattr(diffusers, "reads")
    everything = identity(folder, tmp_path)
    assert "README.md" in everything.files
    assert everything.other_files == {}
    assert model_difference(everything, before) is None, "it is the same folder"
    (folder / "README.md").write_bytes(b"# another\n")
    found = model_difference(identity(folder, tmp_path), before)
    assert found is not None
    assert [each.name for each in found.files] == ["README.md"]


# --- what loaders really open ----------------------------------------------------------------------------------------

LOAD = """
import json, os, sys
folders = {os.path.realpath(name): adapter for name, adapter in json.loads(sys.argv[1]).items()}
opened = {name: set() for name in folders}
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        for folder in folders:
            if path.startswith(folder + os.sep):
                opened[folder].add(os.path.relpath(path, folder))
sys.addaudithook(note)
from pathlib import Path
from harness import plugins
from harness.backends import cpu
from harness.records import ModelRef, SwitchMode
device = cpu.open(0, SwitchMode.AS_SHIPPED)
for folder, adapter in folders.items():
    model = ModelRef(source="somewhere", adapter=adapter, dtype="float32", trust_remote_code=True)
    plugins.load("adapters", adapter).load(Path(folder), model, device)
print("OPENED", json.dumps([sorted(names) for names in opened.values()]))
"""


def opened(folders: dict[Path, str]) -> list[set[str]]:
    """Files of each folder that Python code opens while adapters load the models from there, not from copies."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps({str(folder): adapter for folder, adapter in folders.items()})],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [set(names) for names in json.loads(done.stdout.rpartition("OPENED ")[2])]


@pytest.mark.slow
def test_everything_that_a_loader_opens_is_part_of_the_model(tmp_path: Path) -> None:
    folders = {saved(name, tmp_path / name): "diffusers" for name in ("sd15", "sd3")}
    folders[Path(shutil.copytree(locate("builtin:tiny-deepgen")[0], tmp_path / "deepgen"))] = "deepgen"
    for folder in folders:
        for other in OTHER.values():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(b"{}")
    for (folder, adapter), seen in zip(folders.items(), opened(folders), strict=True):
        found = identity(folder, tmp_path, adapter)
        assert {"model_index.json", "scheduler/scheduler_config.json"} <= seen, "the hook sees what is opened"
        assert seen - set(found.files) == set(), folder.name
        assert set(found.other_files) == {other for other in OTHER.values() if not other.startswith(".")} - seen


# --- records from before ---------------------------------------------------------------------------------------------


def old(model: ModelIdentity) -> ModelIdentity:
    """The record as it was written before files were told apart."""
    return ModelIdentity(source=model.source, digest=model.digest, code=model.code, weights_bytes=model.weights_bytes)


def test_the_digest_over_all_files_is_that_of_before(folder: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    by_hand = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert identity(folder, tmp_path).digest == json_digest(by_hand)


def test_a_record_from_before_is_held_against_the_digest_over_all_files(folder: Path, tmp_path: Path) -> None:
    before = identity(folder, tmp_path)
    assert model_difference(before, old(before)) is None
    assert model_difference(old(before), before) is None
    (folder / "README.md").write_bytes(b"# another\n")
    after = identity(folder, tmp_path)
    assert model_difference(after, before) is None
    found = model_difference(after, old(before))
    assert found is not None, "what a record does not know cannot be left out"
    assert (found.actual, found.expected, found.files) == (after.digest, before.digest, [])


# --- keys of JSON files ----------------------------------------------------------------------------------------------


def identity_of(text: object) -> ModelIdentity:
    data = json.dumps(text).encode()
    digest = hashlib.sha256(data).hexdigest()
    file = {"sha256": digest, "keys": json_keys(data)}
    return ModelIdentity.model_validate(
        {"source": "x", "digest": digest, "code": {}, "weights_bytes": 0, "loaded": digest, "files": {"a.json": file}}
    )


KEYS: dict[str, tuple[object, object, list[str]]] = {
    "value": ({"shift": 3.0, "steps": 1}, {"shift": 1.0, "steps": 1}, ["shift"]),
    "added": ({"shift": 3.0}, {"shift": 3.0, "more": None}, ["more"]),
    "inner": ({"text": {"width": 8, "depth": 2}}, {"text": {"width": 8, "depth": 3}}, ["text/depth"]),
    "innermost": ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a/b/c"]),
    "inner against a number": ({"text": {"width": 8}}, {"text": 8}, ["text"]),
    "inner against nothing": ({"text": {"width": 8}}, {"text": {}}, ["text"]),
    "an inner object alone": ({"text": {"width": 8}}, {}, []),
    "slash in a key": ({"a/b": 1, "a": {"c": 1}}, {"a/b": 2, "a": {"c": 1}}, ["a~1b"]),
    "other spelling of a number": ({"a": 1}, {"a": 1.0}, ["a"]),
    "one side is too large to look inside": (
        {"a": {"b": 1}, **{str(number): 1 for number in range(95)}},
        {"a": {"b": 1, "c": 2}, **{str(number): 1 for number in range(95)}},
        ["a"],
    ),
    "too many keys": ({str(number): 1 for number in range(97)}, {str(number): 2 for number in range(97)}, []),
    "no object": ([1], [2], []),
    "not a number": ({"a": float("nan")}, {"a": 1}, ["a"]),
    "half of a sign": ({"a": "\ud800", "b": 1}, {"a": "\ud800", "b": 2}, ["b"]),
}


@pytest.mark.parametrize("case", KEYS)
def test_the_keys_that_differ_are_named_as_far_inside_as_both_sides_tell(case: str) -> None:
    mine, theirs, keys = KEYS[case]
    for actual, expected in ((mine, theirs), (theirs, mine)):
        found = model_difference(identity_of(actual), identity_of(expected))
        assert found is not None
        assert found.files[0].keys == keys
    assert model_difference(identity_of(mine), identity_of(mine)) is None


def test_what_is_kept_of_a_json_file_is_bounded() -> None:
    assert len(json_keys(json.dumps({str(number): number for number in range(96)}).encode())) == 96
    many = {"model": {"vocab": {f"word {number}": number for number in range(50_000)}}, "version": "1.0"}
    assert list(json_keys(json.dumps(many).encode())) == ["model", "version", "model/vocab"]
    assert json_keys(json.dumps({"k" * 81: 1}).encode()) == {}
    assert json_keys(b"{" * 100_000) == json_keys(b"[" * 100_000) == json_keys(b"\xff\xfe") == json_keys(b"") == {}
