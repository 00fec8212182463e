"""How a pipeline is loaded: each key changes what it says and proves that it is at work, or is refused in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import diffusers as adapter
from harness.adapters._folders import loaded_files, variant_of
from harness.backends import cpu
from harness.contracts import Request
from harness.errors import ModelError, RunError, ScenarioError, UnknownName, UsageError
from harness.load_files import load_file
from harness.records import Load, ModelRef, NoiseMode, SwitchMode
from harness.run.sources import EVERY, Permission, PreparedModel, locate, prepare
from harness.run.worker.draws import watched_draws
from harness.run.worker.guards import BadOutput, require_effect
from harness.run.worker.recorder import Recorder
from harness.scenario import load as load_scenario

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved  # noqa: E402 - it imports torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.adapters.diffusers import Diffusers
    from tests.command_line import MadeOnce, WriteScenario

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)
ASKED = Request(
    prompt="a blue circle",
    negative_prompt=None,
    input_image=None,
    width=64,
    height=64,
    steps=2,
    guidance_scale=4.0,
    seed=42,
)
PREPARE = """
from __future__ import annotations

from dataclasses import dataclass

import torch

@dataclass
class Settings:
    '''A class that looks for its module.'''

    bits: int = 8

def int8(pipe):
    '''Round the weights of the layers of the denoiser to 8 bits, and count how often one of them works.'''
    worked = []
    for module in pipe.transformer.modules():
        if isinstance(module, torch.nn.Linear):
            step = module.weight.data.abs().amax(dim=1, keepdim=True) / 127
            module.weight.data = (module.weight.data / step).round() * step
            module.register_forward_hook(lambda *_: worked.append(1))
    return {"int8 layers": lambda: len(worked)}

def idle(pipe):
    return {"cache hits": lambda: 0}

def silent(pipe):
    pipe.was_prepared = True

def wrong(pipe):
    return pipe
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def flux(made_once: MadeOnce) -> Path:
    """Folder of a small random Flux pipeline."""
    return made_once("loading of flux", lambda place: saved("flux", place / "model")) / "model"


@pytest.fixture
def own(flux: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(flux, tmp_path / "model")


def pipeline(folder: Path, load: Load | None = None) -> Diffusers:
    return adapter.load(folder, ModelRef(adapter="diffusers", source="model", dtype="float32", load=load), DEVICE)


def made(pipe: Diffusers) -> bytes:
    recorder = Recorder(DEVICE, lambda _: None)
    with watched_draws(NoiseMode.PORTABLE, ASKED.seed, DEVICE) as draws:
        recorder.given = draws.give
        return pipe.generate(ASKED, recorder).image.tobytes()


# --- what changes, and its proof -------------------------------------------------------------------------------------


@pytest.fixture
def lora(own: Path) -> Path:
    """LoRA weights for it, where the loader looks for ``style.safetensors``."""
    peft = pytest.importorskip("peft")
    pipe = pipeline(own)._pipe
    torch.manual_seed(1)
    pipe.transformer.add_adapter(peft.LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_out.0"]))
    weights = peft.utils.get_peft_model_state_dict(pipe.transformer)
    pipe.save_lora_weights(own.parent / "lora", transformer_lora_layers=weights)
    target = load_file(own, "style.safetensors", ".safetensors")
    target.parent.mkdir()
    return Path(shutil.copy(own.parent / "lora" / "pytorch_lora_weights.safetensors", target))


def test_lora_weights_change_the_image_by_their_scale_and_are_counted(own: Path, lora: Path) -> None:
    assert lora.is_file()
    plain = made(pipeline(own))
    wanted = {scale: Load.model_validate({"lora": [{"file": "style.safetensors", "scale": scale}]}) for scale in (0, 1)}
    pipes = {scale: pipeline(own, load) for scale, load in wanted.items()}
    assert [made(pipes[0]) == plain, made(pipes[1]) == plain] == [True, False]
    assert pipes[1].proofs()["lora style.safetensors"] > 0
    assert "loaded with lora; counted in every image: lora style.safetensors" in pipes[1].notes


def test_an_attention_backend_is_counted_where_the_pipeline_calls_it(flux: Path) -> None:
    plain, other = pipeline(flux), pipeline(flux, Load(attention_backend="_native_math"))
    before = other.proofs()
    images = made(plain), made(other)
    assert before == {"attention_backend _native_math": 0}
    assert other.proofs()["attention_backend _native_math"] > 0
    assert len(images[0]) == len(images[1])


def test_a_backend_that_a_pipeline_does_not_call_is_an_error(made_once: MadeOnce) -> None:
    sd3 = made_once("loading of sd3", lambda place: saved("sd3", place / "model")) / "model"
    pipe = pipeline(sd3, Load(attention_backend="_native_math"))
    made(pipe)
    with pytest.raises(BadOutput, match="attention_backend _native_math was asked for, and nothing of it ran"):
        require_effect(pipe.proofs())
    require_effect({"compile transformer": 1})


def test_compiled_graphs_are_counted_in_every_image(flux: Path) -> None:
    pipe = pipeline(flux, Load.model_validate({"compile": {"backend": "aot_eager"}}))
    plain = made(pipeline(flux))
    counts = []
    for _ in range(2):
        assert made(pipe) == plain
        counts.append(pipe.proofs()["compile transformer"])
    assert 0 < counts[0] < counts[1]
    torch.compiler.reset()


def test_a_compiled_part_that_is_never_called_is_an_error(flux: Path) -> None:
    pipe = pipeline(flux, Load.model_validate({"compile": {"components": ["vae"], "backend": "eager"}}))
    made(pipe)  # which decodes without the VAE's forward
    with pytest.raises(BadOutput, match="compile vae was asked for, and nothing of it ran"):
        require_effect(pipe.proofs())


def test_lora_weights_of_another_model_are_refused(own: Path) -> None:
    from safetensors.torch import save_file

    target = load_file(own, "style.safetensors", ".safetensors")
    target.parent.mkdir()
    names = [f"transformer.no_such.lora_{word}.weight" for word in ("A", "B")]
    save_file(dict(zip(names, (torch.zeros(2, 8), torch.zeros(8, 2)), strict=True)), target)
    with pytest.raises(Exception, match=r"Target modules \{'no_such'\} not found"):
        pipeline(own, Load.model_validate({"lora": [{"file": "style.safetensors"}]}))


def test_a_function_of_the_port_changes_the_pipeline_and_counts(own: Path) -> None:
    file = load_file(own, "prepare.py", ".py")
    file.parent.mkdir()
    file.write_text(PREPARE, encoding="utf-8")
    plain = made(pipeline(own))
    pipe = pipeline(own, Load(prepare="prepare.py:int8"))
    assert made(pipe) != plain
    assert pipe.proofs()["prepare int8 layers"] > 0
    silent = pipeline(own, Load(prepare="prepare.py:silent"))
    assert (silent._pipe.was_prepared, silent.proofs()) == (True, {})
    idle = pipeline(own, Load(prepare="prepare.py:idle"))
    with pytest.raises(BadOutput, match="prepare cache hits was asked for, and nothing of it ran"):
        require_effect(idle.proofs())
    with pytest.raises(UnknownName, match=r"int9.*int8"):
        pipeline(own, Load(prepare="prepare.py:int9"))
    with pytest.raises(RunError, match="gave back FluxPipeline; allowed is nothing, or a dictionary"):
        pipeline(own, Load(prepare="prepare.py:wrong"))


def test_a_scheduler_takes_the_place_of_the_models_by_class_or_by_settings(flux: Path) -> None:
    kept = pipeline(flux)._pipe.scheduler
    shifted = pipeline(flux, Load.model_validate({"scheduler": {"shift": 7.0}}))
    assert (kept.config.shift, shifted._pipe.scheduler.config.shift) != (7.0, 7.0)
    assert type(shifted._pipe.scheduler) is type(kept)
    heun = pipeline(flux, Load.model_validate({"scheduler": {"class": "FlowMatchHeunDiscreteScheduler"}}))
    assert type(heun._pipe.scheduler).__name__ == "FlowMatchHeunDiscreteScheduler"


# --- what is refused -------------------------------------------------------------------------------------------------

UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "a scheduler": ({"scheduler": {"class": "EulerDiscretScheduler"}}, "EulerDiscreteScheduler"),
    "a setting of a scheduler": ({"scheduler": {"shft": 3.0}}, "shift"),
    "an attention backend": ({"attention_backend": "nativ"}, "native"),
    "a component": ({"compile": {"components": ["transfomer"], "backend": "eager"}}, "transformer"),
    "a compiler": ({"compile": {"backend": "inducter"}}, "inductor"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_brings_the_nearest_one(name: str, flux: Path) -> None:
    load, near = UNKNOWN[name]
    with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
        pipeline(flux, Load.model_validate(load))


def test_what_a_cpu_or_a_compiler_cannot_do_is_refused(flux: Path) -> None:
    with pytest.raises(RunError, match="found model on the device cpu"):
        pipeline(flux, Load(offload="model"))
    with pytest.raises(RunError, match="found max-autotune with the backend aot_eager; allowed with inductor only"):
        pipeline(flux, Load.model_validate({"compile": {"backend": "aot_eager", "mode": "max-autotune"}}))


WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"loras": []}, "Did you mean 'lora'?"),
    "an unknown key inside": ({"compile": {"backed": "eager"}}, "Did you mean 'backend'?"),
    "no LoRA file": ({"lora": [{"file": "style.safetensors"}]}, "model.load.lora[0].file: there is no file"),
    "no function": (
        {"prepare": "prepare.py"},
        "model.load.prepare: found 'prepare.py' (a text); allowed is FILE.py:FUNCTION",
    ),
    "no file of a function": ({"prepare": "prepare.py:int8"}, "model.load.prepare: there is no file 'prepare.py'"),
    "a revision twice": ({"revision": "main"}, "model.load.revision: found with the source 'model'; allowed with hf:"),
    "two places": ({"offload": "model", "device_map": "balanced"}, "model.load.offload: found beside device_map"),
    "a folder above": ({"subfolder": "../other"}, "model.load.subfolder: found '../other'; allowed is a path inside"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_cannot_be_meant_is_refused_with_its_place(name: str, write_scenario: WriteScenario) -> None:
    load, said = WRITTEN[name]
    model = {"adapter": "diffusers", "source": "model", "trust_remote_code": False, "load": load}
    with pytest.raises(ScenarioError) as refused:
        load_scenario(write_scenario(model=model))
    assert said in str(refused.value), str(refused.value)


def test_deepgen_has_no_variants(write_scenario: WriteScenario) -> None:
    with pytest.raises(ScenarioError, match=r"model\.load\.variant: found with the adapter deepgen; allowed there"):
        load_scenario(write_scenario(model={"load": {"variant": "fp16"}}))


# --- files -----------------------------------------------------------------------------------------------------------


def prepared(folder: Path, load: Load | None, place: Path, **changes: Any) -> PreparedModel:
    model = ModelRef(adapter="diffusers", source=str(folder), load=load)
    return prepare(str(folder), model, place, **{"permission": EVERY, **changes})


def as_variant(folder: Path, name: str, *, keep: bool) -> None:
    """Give all weights a variant's names, or a variant with other values beside them."""
    for file in sorted(folder.rglob("*.safetensors")):
        other = file.with_name(file.name.replace(".safetensors", f".{name}.safetensors"))
        (shutil.copy if keep else shutil.move)(file, other)


def test_a_folder_that_holds_only_a_variant_says_so_before_anything_is_loaded(own: Path, tmp_path: Path) -> None:
    as_variant(own, "fp16", keep=False)
    with pytest.raises(ModelError, match=r"holds only the variants fp16 of .*transformer.*'load: \{variant: fp16\}'"):
        prepared(own, None, tmp_path / "copy")
    with pytest.raises(ModelError, match="holds no weights of the variant bf16; there are fp16"):
        prepared(own, Load(variant="bf16"), tmp_path / "copy-2")
    model = prepared(own, Load(variant="fp16"), tmp_path / "copy-3")
    assert made(pipeline(model.folder, Load(variant="fp16"))) == made(pipeline(own, Load(variant="fp16")))


def test_of_several_variants_only_the_chosen_one_is_the_model(own: Path, tmp_path: Path) -> None:
    plain = prepared(own, None, tmp_path / "plain").identity
    as_variant(own, "fp16", keep=True)
    both = prepared(own, None, tmp_path / "both").identity
    chosen = prepared(own, Load(variant="fp16"), tmp_path / "chosen").identity
    assert both.loaded == plain.loaded
    weights = [name for name in chosen.files if name.endswith(".safetensors")]
    assert weights
    assert all(variant_of(Path(name).name) == "fp16" for name in weights)


def test_names_of_variants_are_those_of_diffusers() -> None:
    names = {
        "diffusion_pytorch_model.fp16.safetensors": "fp16",
        "model.fp16-00001-of-00002.safetensors": "fp16",
        "model.safetensors.index.fp16.json": "fp16",
        "model.safetensors.index.json": None,
        "diffusion_pytorch_model-00001-of-00002.safetensors": None,
        "own.fp16.safetensors": None,
    }
    assert {name: variant_of(name) for name in names} == names
    files = {"unet/model.safetensors", "unet/model.fp16.safetensors", "vae/model.safetensors"}
    wanted = loaded_files(Path(), files, ["unet", "vae"], Load(variant="fp16"))
    assert wanted == {"unet/model.fp16.safetensors", "vae/model.safetensors"}


def test_a_model_in_a_folder_of_the_source_is_found(flux: Path, tmp_path: Path) -> None:
    model = prepared(flux.parent, Load(subfolder="model"), tmp_path / "copy")
    assert (model.folder / "model_index.json").is_file()
    with pytest.raises(ModelError, match="holds no folder modell, which load"):
        locate(str(flux.parent), Load(subfolder="modell"))


def test_one_file_holds_the_weights_of_the_components_that_have_none(made_once: MadeOnce, tmp_path: Path) -> None:
    """As checkpoints of Stable Diffusion name them; those of the text encoder keep their names behind a prefix."""
    from safetensors.torch import load_file as weights_of
    from safetensors.torch import save_file

    kept = made_once("loading of sd15", lambda place: saved("sd15", place / "model")) / "model"
    own = shutil.copytree(kept, tmp_path / "model")
    [file] = (own / "text_encoder").glob("*.safetensors")
    weights = {f"cond_stage_model.transformer.{name}": value for name, value in weights_of(file).items()}
    file.unlink()
    load = Load(single_file="all.safetensors")
    with pytest.raises(ModelError, match=r"lacks all\.safetensors, which load\.single_file names"):
        prepared(own, load, tmp_path / "first")
    save_file(weights, own / "all.safetensors")
    model = prepared(own, load, tmp_path / "second")
    assert "all.safetensors" in model.identity.files
    assert made(pipeline(model.folder, load)) == made(pipeline(kept))
    save_file({name: value * 2 for name, value in weights.items()}, own / "all.safetensors")
    other = prepared(own, load, tmp_path / "third")
    assert made(pipeline(other.folder, load)) != made(pipeline(kept))


def test_files_of_load_are_copied_and_are_part_of_the_model(own: Path, lora: Path, tmp_path: Path) -> None:
    file = tmp_path / "prepare.py"
    file.write_text(PREPARE, encoding="utf-8")
    files = {"style.safetensors": lora, "prepare.py": file}
    load = Load.model_validate({"lora": [{"file": "style.safetensors"}], "prepare": "prepare.py:int8"})
    first = prepared(own, load, tmp_path / "first", files=files).identity
    plain = prepared(own, None, tmp_path / "plain").identity
    assert set(first.load_files) == {"style.safetensors", "prepare.py"}
    assert (first.loaded, first.key == plain.key) == (plain.loaded, False)
    file.write_text(PREPARE + "\n# another one\n", encoding="utf-8")
    assert prepared(own, load, tmp_path / "second", files=files).identity.key != first.key
    pickled = Load.model_validate({"lora": [{"file": "style.bin"}]})
    with pytest.raises(ModelError, match="only safetensors are loaded"):
        prepared(own, pickled, tmp_path / "third", files={"style.bin": tmp_path / "style.bin"})


def test_a_function_runs_only_where_the_user_allowed_it(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "prepare.py"
    file.write_text(PREPARE, encoding="utf-8")
    load = Load(prepare="prepare.py:int8")
    with pytest.raises(UsageError, match=r"would run `prepare\.py:int8` with your rights") as refused:
        prepared(own, load, tmp_path / "first", files={"prepare.py": file}, permission=Permission())
    listed = tmp_path / "allowed.txt"
    listed.write_text(str(refused.value).splitlines()[-1] + "\n", encoding="utf-8")
    allowed = Permission(listed=listed)
    prepared(own, load, tmp_path / "second", files={"prepare.py": file}, permission=allowed)
    file.write_text(PREPARE + "\n# another one\n", encoding="utf-8")
    with pytest.raises(UsageError, match="with your rights"):
        prepared(own, load, tmp_path / "third", files={"prepare.py": file}, permission=allowed)
