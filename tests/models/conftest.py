"""A cache of remote code for this process alone, chosen before diffusers is imported: it is keyed by file name only."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

_CACHE = tempfile.mkdtemp(prefix="hf-modules-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(HF_MODULES_CACHE=_CACHE, HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")


@pytest.fixture(scope="package", autouse=True)
def single_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much where tests run side by side."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=["tiny_deepgen", "tiny_deepgen_random"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each embedded checkpoint, freshly built."""
    return _built(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one whose weights are computed."""
    return _built("tiny_deepgen_random", tmp_path_factory)


@pytest.fixture(scope="session")
def pipeline(checkpoint: Path) -> Any:
    """The checkpoint, loaded the way a user loads it, in float32 on the CPU."""
    return _loaded(checkpoint)


@pytest.fixture(scope="session")
def untrained_pipeline(untrained: Path) -> Any:
    """The untrained one, loaded in the same way."""
    return _loaded(untrained)


def _built(name: str, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp(name)
    import_module(f"harness.models.{name}").build(folder)
    return folder


def _loaded(checkpoint: Path) -> Any:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    loaded = diffusers.DiffusionPipeline.from_pretrained(checkpoint, trust_remote_code=True, torch_dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded
