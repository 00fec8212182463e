"""Runs as a worker leaves them on disk: real records, real PNG and safetensors files, contents chosen by letters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import store
from harness.compare import gates
from harness.compare.comparator import StoredRun
from harness.images import array_digest, write_arrays, write_picture
from harness.records import (
    RUN_FILE,
    Arm,
    ArrayRef,
    Case,
    CaseKey,
    Environment,
    Failure,
    FileIdentity,
    Limit,
    ModelIdentity,
    ModelRef,
    NoiseMode,
    Plan,
    Repeats,
    Run,
    Sample,
    Scenario,
    Schedule,
    Scope,
    Step,
    SwitchMode,
    Task,
    Unfitness,
    json_digest,
)
from harness.run.identity import json_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TODAY = date(2026, 6, 15)
judge = partial(gates.judge, today=TODAY)
SIDE = 32
CUP = CaseKey(case="cup", seed=42)
CAT = CaseKey(case="cat", seed=42)
PROMPTS = {"cup": "a red cup", "cat": "a grey cat"}
REASON = "Only for this test."


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def limit(metric: str, scope: Scope = Scope.REPEAT, **bound: Any) -> Limit:
    return Limit(metric=metric, scope=scope, reason=REASON, **bound)


IDENTICAL_PICTURES = limit("identical", equals=1)


# --- what a sample holds ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Made:
    """One sample; equal letters stand for equal bytes."""

    picture: str = "A"
    float_image: str | None = "A"
    """None for a pipeline that offers none."""
    latents: str = "A"
    noise: str = "the same noise"
    hidden_draws: tuple[str, ...] = ()
    steps: str = "xyA"
    """A letter for the latents after each denoising step."""
    schedule: Schedule | None = None
    """The scheduler's table."""
    side: int = SIDE


def letter(name: str) -> Made:
    """A sample all of whose outputs are those of one letter; its first two steps are those of every other."""
    return Made(picture=name, float_image=name, latents=name, steps=f"xy{name}")


def processes(pattern: str) -> list[list[Made]]:
    """Samples by process: ``AAB AAB`` is a drift at the third repeat of each of two processes."""
    return [[letter(name) for name in word] for word in pattern.split()]


def picture_of(name: str, side: int = SIDE) -> NDArray[np.uint8]:
    """A gradient with one square of 4 by 4 pixels that grows brighter with the letter, 9 levels for each."""
    rows, columns = np.mgrid[0:side, 0:side]
    picture = np.stack([rows * 3, columns * 3, rows + columns], axis=-1).astype(np.uint8)
    picture[4:8, 8:12] += np.uint8(9 * (ord(name) - ord("A")))
    return picture


def float_image_of(name: str, side: int = SIDE) -> NDArray[np.float32]:
    """A gradient whose pixel x=5, y=3 is larger by 2^-10 for each letter: too little to move a level."""
    image = picture_of("A", side).astype(np.float32)
    image /= 128
    image[3, 5] += (ord(name) - ord("A")) * 2.0**-10
    return image


def latents_of(name: str) -> NDArray[np.float32]:
    return np.full((1, 16, 4, 4), ord(name) - ord("A"), dtype=np.float32)


# --- records and files -----------------------------------------------------------------------------------------------


LETTERS = {Unfitness.SAME_IMAGE: "A letter is an image here, whatever was asked for."}


def scenario(**changes: Any) -> Scenario:
    values = {
        "name": "stored",
        "summary": "Runs that a test wrote.",
        "task": Task.TEXT_TO_IMAGE,
        "model": ModelRef(source="builtin:tiny-deepgen"),
        "cases": [Case(id=name, prompt=prompt) for name, prompt in PROMPTS.items()],
        "seeds": [42],
        "width": SIDE,
        "height": SIDE,
        "steps": 3,
        "arms": [Arm(name="candidate")],
        "repeats": Repeats(in_process=3, processes=2),
    }
    return Scenario.model_validate(values | changes)


def plan(arm_name: str, keys: list[CaseKey], **changes: Any) -> Plan:
    names = list(dict.fromkeys(key.case for key in keys))
    values = {
        "scenario": "stored",
        "scenario_digest": sha("scenario"),
        "arm": Arm(name=arm_name, device="cpu", noise=NoiseMode.PORTABLE, switches=SwitchMode.DETERMINISTIC),
        "task": Task.TEXT_TO_IMAGE,
        "model": ModelRef(source="builtin:tiny-deepgen"),
        "cases": [Case(id=name, prompt=PROMPTS.get(name, name), expect=LETTERS) for name in names],
        "input_digests": {},
        "seeds": list(dict.fromkeys(key.seed for key in keys)),
        "width": SIDE,
        "height": SIDE,
        "steps": 3,
        "guidance_scale": 4.0,
        "repeats": Repeats(in_process=3, processes=2),
        "time_limit_seconds": None,
        "limits": [],
    }
    return Plan.model_validate(values | changes)


def failure(message: str = "planted: out of memory") -> Failure:
    return Failure(stage="generate", key=CUP, process=0, repeat=1, error="RuntimeError", message=message)


def environment() -> Environment:
    return Environment(
        backend="cpu",
        device="cpu",
        device_name="Example CPU",
        simulated=False,
        facts={},
        packages={"torch": "2.13.0"},
        switches=[],
        python="3.11.2",
        os="Linux",
        cpu="Example CPU",
        cpu_count=2,
        memory_bytes=2**33,
        commit=None,
    )


def stored_run(
    folder: Path,
    made: Mapping[CaseKey, list[list[Made]]],
    *,
    planned: dict[str, Any] | None = None,
    keys: list[CaseKey] | None = None,
    **changes: Any,
) -> StoredRun:
    """Write a run folder; ``planned`` and ``changes`` replace fields of plan and run, ``keys`` what was planned."""
    samples = [
        _sample(folder, key, (process, repeat), one)
        for key, groups in made.items()
        for process, group in enumerate(groups)
        for repeat, one in enumerate(group)
    ]
    wanted = plan(folder.name, keys if keys is not None else list(made), **planned or {})
    values = {
        "id": f"job/{folder.name}",
        "state": "finished",
        "plan": wanted,
        "backend": "cpu",
        "device_index": 0,
        "model": model_identity(),
        "code_digest": sha("code"),
        "host_digest": sha("host"),
        "started_utc": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "environment": environment(),
        "loaded": None,
        "samples": samples,
        "failures": [],
        "log_tail": "",
    }
    run = Run.model_validate(values | changes)
    store.save(run, folder / RUN_FILE)
    return StoredRun(run=run, folder=folder)


def one_case(folder: Path, pattern: str, **changes: Any) -> StoredRun:
    """A run of the case ``cup`` alone, with letters for its samples."""
    return stored_run(folder, {CUP: processes(pattern)}, **changes)


def single(folder: Path, one: Made | None = None, **changes: Any) -> StoredRun:
    """A run of one sample of the case ``cup``."""
    return stored_run(folder, {CUP: [[one or Made()]]}, **changes)


def model_identity(name: str = "model") -> ModelIdentity:
    return ModelIdentity(source="builtin:tiny-deepgen", digest=sha(name), code={}, weights_bytes=1000)


def model_of(files: Mapping[str, Any]) -> ModelIdentity:
    """A model of these files, a JSON object for each name, or a text for what is no JSON."""
    data = {name: (what if isinstance(what, str) else json.dumps(what)).encode() for name, what in files.items()}
    identities = {
        name: FileIdentity(sha256=hashlib.sha256(text).hexdigest(), keys=json_keys(text)) for name, text in data.items()
    }
    digest = json_digest({name: each.sha256 for name, each in identities.items()})
    return ModelIdentity(
        source="somewhere", digest=digest, code={}, weights_bytes=1000, loaded=digest, files=identities
    )


def job_folder(folder: Path, *patterns: tuple[str, str]) -> Path:
    """A job folder with one arm for each pair of name and pattern, as after ``harness run``."""
    folder.mkdir(parents=True)
    arms = [Arm(name=name) for name, _ in patterns]
    asked = scenario(arms=arms, cases=[Case(id="cup", prompt=PROMPTS["cup"])])
    job = store.Job(state="finished", scenario=asked, command=["harness", "run", "stored.yaml"])
    store.save(job, folder / store.JOB_FILE)
    for name, pattern in patterns:
        one_case(folder / name, pattern)
    return folder


def _sample(folder: Path, key: CaseKey, place: tuple[int, int], made: Made) -> Sample:
    process, repeat = place
    stem = f"samples/{key.case}/{key.seed}/p{process}r{repeat}"
    (folder / stem).parent.mkdir(parents=True, exist_ok=True)
    picture = picture_of(made.picture, made.side)
    write_picture(folder / f"{stem}.png", picture)
    arrays: dict[str, NDArray[Any]] = {"latents": latents_of(made.latents)}
    if made.float_image is not None:
        arrays["float_image"] = float_image_of(made.float_image, made.side)
    write_arrays(folder / f"{stem}.safetensors", arrays, {})
    refs = {name: _ref(array, f"{stem}.safetensors", name) for name, array in arrays.items()}
    return Sample(
        key=key,
        process=process,
        repeat=repeat,
        image=_ref(picture, f"{stem}.png", None),
        float_image=refs.get("float_image"),
        latents=refs["latents"],
        noise_digest=sha(made.noise),
        noise_path=f"{stem}.safetensors",
        draws=[],
        hidden_draws=list(made.hidden_draws),
        schedule=made.schedule,
        per_step=[Step(digest=sha(f"step {name}"), sketch=[0.0]) for name in made.steps],
        seconds={"total": 0.5},
        memory={},
        stage_memory={},
    )


def _ref(array: NDArray[Any], path: str, name: str | None) -> ArrayRef:
    return ArrayRef(
        digest=array_digest(array),
        path=path,
        name=name,
        dtype=array.dtype.name,
        computed_in=array.dtype.name,
        shape=list(array.shape),
    )
