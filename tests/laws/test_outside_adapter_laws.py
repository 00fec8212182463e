"""Laws that every adapter keeps whose pictures are made outside the worker.

A new one is under them with one edit: the function in ``SOURCES`` that makes a source for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness import plugins
from harness.contracts import OutsideAdapter, Request, is_outside
from harness.errors import ModelError
from harness.images import write_picture
from harness.records import Arm, Case, CommandRef, ModelRef, Plan, Repeats, SwitchMode, Task
from harness.run.worker.outside import UnopenedDevice
from harness.run.worker.recorder import Recorder
from tests.command_line import environment, patience_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.contracts import Picture
    from harness.records import Switch


def pictures(folder: Path) -> ModelRef:
    for case, level in (("one", 10), ("two", 200)):
        (folder / case).mkdir(parents=True)
        write_picture(folder / case / "7.png", np.full((64, 96, 3), level, np.uint8))
    return ModelRef(adapter="images", source=str(folder))


def script(folder: Path) -> ModelRef:
    folder.mkdir(parents=True)
    (folder / "inference.py").write_text(
        "import sys\n"
        "from PIL import Image\n"
        "prompt, seed, output = sys.argv[1:]\n"
        "Image.new('RGB', (96, 64), (len(prompt), ord(prompt[0]), int(seed))).save(output)\n",
        encoding="utf-8",
    )
    words = ["{python}", "inference.py", "{prompt}", "{seed}", "{output}"]
    return ModelRef(adapter="command", source=str(folder), command=CommandRef(words=words))


SOURCES: dict[str, Callable[[Path], ModelRef]] = {"command": script, "images": pictures}
"""Fills an empty folder with a source that has the cases ``one`` and ``two`` for seed 7, 96 by 64 pixels."""

adapters = pytest.mark.parametrize("name", sorted(SOURCES))


def outside(name: str) -> OutsideAdapter:
    adapter = plugins.load("adapters", name)
    assert is_outside(adapter)
    return adapter


def device(model: ModelRef, switches: SwitchMode = SwitchMode.AS_SHIPPED) -> UnopenedDevice:
    plan = Plan(
        scenario="laws",
        scenario_digest="0" * 64,
        arm=Arm(name="candidate", device="cpu", switches=switches),
        task=Task.TEXT_TO_IMAGE,
        model=model,
        cases=[Case(id="one", prompt="one")],
        input_digests={},
        seeds=[7],
        width=96,
        height=64,
        steps=2,
        guidance_scale=4.0,
        repeats=Repeats(),
        time_limit_seconds=None,
        limits=[],
    )
    return UnopenedDevice("cpu", plan)


def test_how_long_threads_wait_makes_no_other_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = next(iter(SOURCES.values()))(tmp_path / "source")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def compared(**variables: str) -> list[Switch]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        opened = device(model, SwitchMode.DETERMINISTIC)
        return [switch for switch in opened.switches() if switch.source != "backend"]

    calm = compared(GOMP_SPINCOUNT="5000", KMP_BLOCKTIME="1")
    assert compared(GOMP_SPINCOUNT="1000", KMP_BLOCKTIME="2") == calm
    assert compared(OMP_NUM_THREADS="7") != calm


def make(name: str, folder: Path, model: ModelRef, case: str) -> Picture:
    opened = device(model)
    request = Request(
        prompt=case,
        negative_prompt=None,
        input_image=None,
        width=96,
        height=64,
        steps=2,
        guidance_scale=4.0,
        seed=7,
        arm="candidate",
        case=case,
    )
    return outside(name).load(folder, model, opened).generate(request, Recorder(opened, lambda _: None))


def test_every_adapter_from_outside_has_a_source_to_be_held_to_the_laws_on() -> None:
    names = plugins.names("adapters")
    assert sorted(SOURCES) == [name for name in names if is_outside(plugins.load("adapters", name))]


@adapters
def test_its_template_is_checked_without_the_source(name: str, tmp_path: Path) -> None:
    model = SOURCES[name](tmp_path / "source")
    shutil.rmtree(tmp_path / "source")
    outside(name).check_template(model)
    with pytest.raises(ModelError):
        outside(name).check(tmp_path / "source", model)


@adapters
def test_it_says_whether_it_computes_and_that_the_noise_is_unverified(name: str, tmp_path: Path) -> None:
    model = SOURCES[name](tmp_path / "source")
    assert isinstance(outside(name).COMPUTES, bool)
    loaded = outside(name).load(tmp_path / "source", model, device(model))
    assert any(note.startswith("noise unverified") for note in loaded.notes)


@adapters
def test_pictures_have_the_form_that_was_asked_for_and_cases_differ(name: str, tmp_path: Path) -> None:
    model = SOURCES[name](tmp_path / "source")
    one, again, two = (make(name, tmp_path / "source", model, case) for case in ("one", "one", "two"))
    assert (str(one.image.dtype), one.image.shape) == ("uint8", (64, 96, 3))
    assert one.image.tobytes() == again.image.tobytes()
    assert one.image.tobytes() != two.image.tobytes()


@adapters
def test_digests_follow_the_bytes_of_every_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    model = SOURCES[name](tmp_path / "source")
    before = outside(name).digests(tmp_path / "source", model)
    assert outside(name).digests(tmp_path / "source", model) == before
    files = [tmp_path / "source" / key for key in before if (tmp_path / "source" / key).is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes() + b"#")
    after = outside(name).digests(tmp_path / "source", model)
    assert {key for key in before if before[key] != after[key]} == {
        path.relative_to(tmp_path / "source").as_posix() for path in files
    }


@adapters
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    model = SOURCES[name](tmp_path / "source")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError):
        outside(name).check(tmp_path / "empty", model)


@adapters
def test_it_imports_no_torch(name: str) -> None:
    code = (
        f"import harness.run.worker.__main__, sys; from harness import plugins; plugins.load('adapters', {name!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), timeout=patience_seconds(), check=True)
