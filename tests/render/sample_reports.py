"""Reports built by hand, one for each kind of ending; their pictures are written below a job folder."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from harness.images import array_digest, write_picture
from harness.language import recorded
from harness.records import (
    Arm,
    Calibration,
    Case,
    CaseKey,
    Comparison,
    Draw,
    Environment,
    Failure,
    FloorSource,
    Limit,
    LoadedModel,
    Measurement,
    MemoryUse,
    ModelIdentity,
    ModelRef,
    NoiseMode,
    NpuOps,
    Outcome,
    Pair,
    Plan,
    Repeats,
    Repetition,
    Report,
    Role,
    Run,
    RunRef,
    Sample,
    Scenario,
    Scope,
    Status,
    Step,
    StepFloor,
    Switch,
    SwitchMode,
    Task,
    TraceDifference,
    Verdict,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 96
STEPS = 20
FIRST_DIFFERING_STEP = 7
REPEATS = Repeats(in_process=3, processes=2)
TILE = recorded("tile x={x:s} y={y:s}", x="32..63", y="32..63")
PIZZA = CaseKey(case="pizza", seed=42)
GLOVE = CaseKey(case="glove", seed=42)
CASES = [
    Case(id="pizza", prompt="a photo of a blue pizza and a yellow baseball glove"),
    Case(id="glove", prompt="a leather glove on a wooden bench", negative_prompt="blurry, low quality"),
]
HOSTILE = [
    Case(
        id="markup",
        prompt='<script>alert("x")</script> <img src=x onerror=alert(1)> | pipe `tick` [link](http://e.org)',
    ),
    Case(id="signs", prompt="# heading\n\n| a | b |\n```\nfence\n\x1b[31mred\x1b[0m \x00\x08 \u202eturned"),
    Case(id="formula", prompt="=cmd()|'/c calc'!A1", negative_prompt="</td></table>--><!--"),
]
SECRET = "hf_AbCdEfGhIjKlMnOpQrSt"  # noqa: S105  # planted, so that a test can look for it
LIMITS = [
    Limit(metric="identical", scope=Scope.REPEAT, equals=1, reason="Repeats of one arm have nothing that may differ."),
    Limit(
        metric="psnr_db", scope=Scope.REFERENCE, at_least=40, reason="Calibrated from 20 runs, worst 43.1, margin 3 dB."
    ),
    Limit(
        metric="ssim_tile_min", scope=Scope.REFERENCE, at_least=0.98, reason="A damaged tile must not hide in a mean."
    ),
]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --- pictures --------------------------------------------------------------------------------------------------------


def picture(name: str) -> NDArray[np.uint8]:
    """A smooth, colourful picture that depends on the name alone."""
    phase = int(sha(name)[:4], 16) / 65536 * 6.28
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    channels = [np.sin(phase + 5 * x * (1 + turn) + 4 * y + turn) for turn in range(3)]
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09)[..., None] * 60
    values = np.clip(127 + 80 * np.stack(channels, axis=-1) + disc, 0, 255)
    return np.asarray(values, dtype=np.uint8)


def touched(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture with a small damaged tile and a faint gradient."""
    changed = array.astype(np.int16)
    changed[32:64, 32:64] += 9
    changed[:, ::7] -= 2
    return np.clip(changed, 0, 255).astype(np.uint8)


# --- measurements ----------------------------------------------------------------------------------------------------


def measurements(actual: NDArray[np.uint8], expected: NDArray[np.uint8], subject: str = "image") -> list[Measurement]:
    """Real values where they are one line, plausible ones for SSIM."""
    delta = actual.astype(np.float64) - expected.astype(np.float64)
    same, mse = not delta.any(), float((delta**2).mean())
    channels = {name: float(delta[..., index].mean()) for index, name in enumerate("rgb")}
    values: dict[str, tuple[float, str, str]] = {
        "identical": (float(same), "", "higher"),
        "mse": (mse, "pixel units²", "lower"),
        "max_abs_diff": (float(np.abs(delta).max()), "pixel units", "lower"),
        "mean_abs_diff": (float(np.abs(delta).mean()), "pixel units", "lower"),
        "p99_abs_diff": (float(np.percentile(np.abs(delta), 99)), "pixel units", "lower"),
        "psnr_db": (math.inf if same else 10 * math.log10(255**2 / mse), "dB", "higher"),
        "ssim": (1.0 if same else 0.99871, "", "higher"),
        "ssim_tile_min": (1.0 if same else 0.9312, "", "higher"),
        "signed_mean_diff": (max(channels.values(), key=abs), "pixel units", "lower"),
    }
    return [
        Measurement.model_validate(
            {
                "metric": metric,
                "subject": subject,
                "value": value,
                "unit": unit,
                "better": better,
                "spec": f"{metric}:sample",
                "parts": channels if metric == "signed_mean_diff" else {},
                "where": TILE if metric == "ssim_tile_min" and not same else "",
            }
        )
        for metric, (value, unit, better) in values.items()
    ]


# --- runs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """The device an arm ran on."""

    device: str
    name: str
    backend: str
    simulated: bool = False


NPU = Host("npu:0", "Ascend910B3", "npu")
FAKE_NPU = Host("npu:0", "Ascend910 (stand-in)", "npu", simulated=True)
CPU = Host("cpu", "Example CPU 3.0", "cpu")


def arm(name: str, role: Role, noise: NoiseMode, switches: SwitchMode, dtype: str = "bfloat16") -> Arm:
    return Arm.model_validate(
        {"name": name, "role": role, "device": "auto", "dtype": dtype, "noise": noise, "switches": switches}
    )


CANDIDATE = arm("candidate", Role.CANDIDATE, NoiseMode.PORTABLE, SwitchMode.DETERMINISTIC)
SHIPPED = arm("as-shipped", Role.CANDIDATE, NoiseMode.DEVICE, SwitchMode.AS_SHIPPED)
FULL = arm("npu", Role.CANDIDATE, NoiseMode.PORTABLE, SwitchMode.DETERMINISTIC, dtype="float32")
REFERENCE = arm("cpu-fp32", Role.REFERENCE, NoiseMode.PORTABLE, SwitchMode.DETERMINISTIC, dtype="float32")


KERNELS, PLAIN = (
    REFERENCE.model_copy(update={"name": name, "device": "cpu", "npu_ops": npu_ops})
    for name, npu_ops in (("cpu-kernels", NpuOps.REFERENCE), ("cpu-plain", NpuOps.HIDDEN))
)


def scenario(cases: list[Case], arms: list[Arm], limits: list[Limit]) -> Scenario:
    return Scenario(
        name="deepgen-t2i",
        summary="A blue pizza and a yellow baseball glove, drawn again and again.",
        task=Task.TEXT_TO_IMAGE,
        model=ModelRef(source="${DEEPGEN_MODEL}", trust_remote_code=True),
        cases=cases,
        seeds=[42],
        width=SIZE,
        height=SIZE,
        steps=STEPS,
        arms=arms,
        repeats=REPEATS,
        limits=limits,
    )


def plan(question: Scenario, of: Arm) -> Plan:
    return Plan(
        scenario=question.name,
        scenario_digest=sha("scenario"),
        arm=of,
        task=question.task,
        model=question.model,
        cases=question.cases,
        input_digests={},
        seeds=question.seeds,
        width=question.width,
        height=question.height,
        steps=question.steps,
        guidance_scale=question.guidance_scale,
        repeats=question.repeats,
        time_limit_seconds=None,
        limits=question.limits,
    )


def steps(key: CaseKey, digest: str) -> list[Step]:
    """Latents that are equal before step 7 and then depend on the picture, the further the more."""
    found = []
    for step in range(1, STEPS + 1):
        apart = 0.0 if step < FIRST_DIFFERING_STEP else 1e-5 * 1.6**step * (int(digest[:4], 16) / 65536 - 0.5)
        sketch = [64.0, 0.0, -3.0, 3.0, *(1 + apart * (-1) ** index for index in range(16))]
        name = str(key) if step < FIRST_DIFFERING_STEP else digest
        found.append(Step(digest=sha(f"{name} {step}"), sketch=sketch, shape=[1, 16, 12, 12]))
    return found


def sample(folder: Path, of: Arm, key: CaseKey, place: tuple[int, int], array: NDArray[np.uint8]) -> Sample:
    process, repeat = place
    digest = array_digest(array)
    path = f"images/{digest[:16]}.png"
    target = folder / of.name / path
    target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(target, array)
    noise = sha(f"noise {key}" if of.noise is NoiseMode.PORTABLE else f"noise {key} {of.name}")
    made = {"computed_in": "bfloat16", "shape": [SIZE, SIZE, 3]}
    return Sample.model_validate(
        {
            "key": key,
            "process": process,
            "repeat": repeat,
            "image": {"digest": digest, "path": path, "dtype": "uint8", **made},
            "float_image": {"digest": sha("f" + digest), "path": "a.safetensors", "dtype": "float32", **made},
            "latents": {"digest": sha("l" + digest), "path": "a.safetensors", "dtype": "float32", **made},
            "noise_digest": noise,
            "noise_path": "noise.safetensors",
            "draws": [
                Draw(shape=[1, 16, 12, 12], dtype="bfloat16", function="randn", source=NoiseMode.PORTABLE, digest=noise)
            ],
            "hidden_draws": [],
            "per_step": steps(key, digest),
            "seconds": {
                "text_encoding": 0.21 + repeat / 100,
                "denoising": 5.19 + repeat / 10,
                "vae_decode": 0.27,
                "total": 5.67 + repeat / 10,
            },
            "memory": {"device": MemoryUse(allocated_bytes=14_300_000_000, peak_bytes=16_100_000_000)},
            "stage_memory": {"denoising": MemoryUse(allocated_bytes=15_032_385_536 + repeat * 2**20)},
        }
    )


def environment(host: Host, of: Arm) -> Environment:
    requested = "1" if of.switches is SwitchMode.DETERMINISTIC else None
    return Environment(
        backend=host.backend,
        device=host.device,
        device_name=host.name,
        simulated=host.simulated,
        facts={"CANN": "8.5.1", "driver": "25.0.rc1"} if host.backend == "npu" else {"instruction_set": "AVX2"},
        packages={"torch": "2.9.0+cpu", "torch_npu": "2.9.0.post1", "diffusers": "0.38.0", "transformers": "4.57.6"},
        switches=[
            Switch(
                name="torch.use_deterministic_algorithms", requested=requested, effective=requested, source="scenario"
            ),
            Switch(name="HCCL_DETERMINISTIC", requested=None, effective="true", source="environment"),
            Switch(name="LCCL_DETERMINISTIC", requested=None, effective=None, source="default"),
        ],
        python="3.11.2",
        os="Linux 5.10.0 aarch64",
        cpu="Kunpeng-920",
        cpu_count=192,
        memory_bytes=229 * 2**30,
        commit="0123456789abcdef-dirty",
    )


def run(question: Scenario, of: Arm, host: Host, samples: list[Sample]) -> Run:
    parts = {"vlm": 7_509_245_952, "connector": 864_899_064, "transformer": 4_939_327_872, "vae": 167_639_366}
    return Run(
        id=f"20260102T030405Z-deepgen-t2i/{of.name}",
        state="finished",
        plan=plan(question, of),
        backend=host.backend,
        device_index=0,
        model=ModelIdentity(
            source="${DEEPGEN_MODEL}",
            revision="8b1c3a",
            digest=sha("model"),
            code={"deepgen_pipeline.py": sha("code")},
            weights_bytes=14_163_000_000,
        ),
        code_digest=sha("harness"),
        host_digest=sha("host"),
        started_utc="2026-01-02T03:04:05Z",
        seconds=97.3,
        environment=environment(host, of),
        loaded=LoadedModel(
            notes=["scheduler FlowMatchEulerDiscreteScheduler, shift 3"],
            memory={name: MemoryUse(allocated_bytes=amount, device=host.device) for name, amount in parts.items()},
            seconds=15.2,
        ),
        samples=samples,
        failures=[],
        log_tail="Loading pipeline components...\n100%|##########| 20/20 [00:05<00:00,  9.63it/s]\n",
    )


def ref(of: Run) -> RunRef:
    found = of.environment
    return RunRef(
        id=of.id,
        path=of.plan.arm.name,
        arm=of.plan.arm.name,
        device=found.device if found else "npu:0",
        device_name=found.device_name if found else "",
        simulated=bool(found and found.simulated),
        dtype=of.plan.arm.dtype or "bfloat16",
        noise=of.plan.arm.noise or NoiseMode.PORTABLE,
        switches=of.plan.arm.switches or SwitchMode.DETERMINISTIC,
        npu_ops=found.npu_ops if found else None,
    )


# --- comparisons -----------------------------------------------------------------------------------------------------

Pictures = dict[str, "NDArray[np.uint8]"]


def judged(pair: Pair, limits: Sequence[Limit]) -> Pair:
    """The pair with a verdict for each limit."""
    verdicts = []
    for limit in limits:
        value = next(each.value for each in pair.measurements if each.metric == limit.metric)
        assert value is not None
        kept = value == limit.equals if limit.equals is not None else value >= (limit.at_least or 0)
        broken = Status.UNSTABLE if limit.scope is Scope.REPEAT else Status.DRIFT
        status = (Status.IDENTICAL if pair.identical else Status.WITHIN_LIMITS) if kept else broken
        verdicts.append(
            Verdict(limit=limit, measured=value, status=status, message=f"{limit.rule}, measured {value:g}")
        )
    return pair.model_copy(update={"verdicts": verdicts})


def pair(left: Sample, right: Sample, arrays: Pictures) -> Pair:
    one, other = arrays[left.image.digest], arrays[right.image.digest]
    same = left.outcome == right.outcome
    return Pair(
        key=left.key,
        actual=left.label,
        expected=right.label,
        identical=same,
        first_differing_step=None if same else FIRST_DIFFERING_STEP,
        measurements=measurements(one, other) + measurements(one, other, "float_image"),
    )


def repeats(of: Run, arrays: Pictures, limits: list[Limit]) -> Comparison:
    found, pairs = [], []
    by_key: dict[CaseKey, list[Sample]] = {}
    for sample in of.samples:
        by_key.setdefault(sample.key, []).append(sample)
    for key, samples in by_key.items():
        by_outcome: dict[str, list[Sample]] = {}
        for each in samples:
            by_outcome.setdefault(each.outcome, []).append(each)
        outcomes = [
            Outcome(digest=digest, image_digest=who[0].image.digest, samples=[each.label for each in who])
            for digest, who in by_outcome.items()
        ]
        found.append(
            Repetition(
                key=key,
                runs=len(samples),
                processes=len({each.process for each in samples}),
                outcomes=outcomes,
                bound_95=1 - 0.05 ** (1 / len(samples)),
                status=Status.IDENTICAL if len(outcomes) == 1 else Status.UNSTABLE,
                pattern="all samples are equal" if len(outcomes) == 1 else "the last repeat of each process differs",
            )
        )
        pairs += [judged(pair(each, samples[0], arrays), limits) for each in samples[1:]]
    outcome = worst([each.status for each in found])
    return Comparison(
        scope=Scope.REPEAT,
        scenario=of.plan.scenario,
        actual=ref(of),
        expected=ref(of),
        limits=limits,
        repetitions=found,
        pairs=pairs,
        outcome=outcome,
        message="All repeats are equal." if outcome is Status.IDENTICAL else "Repeats of one arm differ.",
    )


def against(actual: Run, expected: Run, arrays: Pictures, limits: list[Limit]) -> Comparison:
    keys = dict.fromkeys(each.key for each in actual.samples)
    pairs = [judged(pair(actual.samples_of(key)[0], expected.samples_of(key)[0], arrays), limits) for key in keys]
    statuses = [verdict.status for each in pairs for verdict in each.verdicts] or [Status.WITHIN_LIMITS]
    outcome = worst(statuses)
    return Comparison(
        scope=Scope.REFERENCE,
        scenario=actual.plan.scenario,
        actual=ref(actual),
        expected=ref(expected),
        limits=limits,
        pairs=pairs,
        outcome=outcome,
        message={Status.DRIFT: "A limit is broken."}.get(outcome, "Every limit is kept."),
    )


def report(question: Scenario, runs: list[Run], comparisons: list[Comparison]) -> Report:
    return Report(
        title="Determinism and accuracy of DeepGen-1.0",
        scenario=question,
        command=["harness", "check", "scenarios/deepgen-t2i.yaml", "--device", "npu:0"],
        runs=runs,
        comparisons=comparisons,
        outcome=worst([comparison.outcome for comparison in comparisons]),
    )


def calibration(of: Run) -> Calibration:
    """Noise floors of an arm that grow with the steps; those in the candidate's type are ten times as far."""
    floor = [2e-7 * 1.2**step for step in range(STEPS)]
    return Calibration(
        scenario=of.plan.scenario,
        scenario_digest=of.plan.scenario_digest,
        arm=of.plan.arm.name,
        device=f"{of.backend}:{of.environment.device_name if of.environment else 'unknown'}",
        simulated=bool(of.environment and of.environment.simulated),
        reference_dtype="float32",
        candidate_dtype="bfloat16",
        date=date(2026, 1, 31),
        seeds=[1001, 1002],
        cases=[case.id for case in of.plan.cases],
        floors=[],
        steps=[
            StepFloor(source=FloorSource.REPEAT, relative_l2=[0.0] * STEPS),
            StepFloor(source=FloorSource.LATENT_ULP, relative_l2=floor),
            StepFloor(source=FloorSource.PRECISION, relative_l2=[10 * value for value in floor]),
        ],
        limits=[],
        detections=[],
    )


def calibrated(made: Report, *arms: str) -> Report:
    """A report that knows the noise floors of some arms."""
    known = [calibration(run) for run in made.runs if run.plan.arm.name in arms]
    return made.model_copy(update={"calibrations": known})


def filled(
    folder: Path,
    question: Scenario,
    of: Arm,
    host: Host,
    choose: Callable[[CaseKey, int, int], NDArray[np.uint8]],
) -> tuple[Run, Pictures]:
    """A finished run whose every picture ``choose`` gives, and the pictures by digest."""
    samples, arrays = [], {}
    for key in plan(question, of).keys:
        for process in range(question.repeats.processes):
            for repeat in range(question.repeats.in_process):
                array = choose(key, process, repeat)
                arrays[array_digest(array)] = array
                samples.append(sample(folder, of, key, (process, repeat), array))
    return run(question, of, host, samples), arrays


def steady(key: CaseKey, _process: int, _repeat: int) -> NDArray[np.uint8]:
    return picture(key.case)


def other_noise(key: CaseKey, _process: int, _repeat: int) -> NDArray[np.uint8]:
    return picture(f"other {key.case}")


def near(key: CaseKey, _process: int, _repeat: int) -> NDArray[np.uint8]:
    return touched(picture(key.case)) if key == PIZZA else picture(key.case)


def last_repeat_differs(key: CaseKey, _process: int, repeat: int) -> NDArray[np.uint8]:
    array = picture(key.case)
    return touched(array) if repeat == REPEATS.in_process - 1 and key == GLOVE else array


# --- reports ---------------------------------------------------------------------------------------------------------


def identical(folder: Path) -> Report:
    """Two noise and switch pairs on one NPU, everything equal; no reference."""
    limits = LIMITS[:1]
    question = scenario(CASES, [CANDIDATE, SHIPPED], limits)
    first, some = filled(folder, question, CANDIDATE, NPU, steady)
    second, more = filled(folder, question, SHIPPED, NPU, other_noise)
    return report(question, [first, second], [repeats(first, some, limits), repeats(second, more, limits)])


def unstable(folder: Path) -> Report:
    """One case gives two outcomes."""
    limits = LIMITS[:1]
    question = scenario(CASES, [CANDIDATE], limits)
    found, arrays = filled(folder, question, CANDIDATE, NPU, last_repeat_differs)
    return report(question, [found], [repeats(found, arrays, limits)])


def drift(folder: Path) -> Report:
    """Equal repeats that lie off the reference."""
    question = scenario(CASES, [CANDIDATE, REFERENCE], LIMITS)
    actual, some = filled(folder, question, CANDIDATE, NPU, near)
    expected, more = filled(folder, question, REFERENCE, CPU, steady)
    arrays = {**some, **more}
    comparisons = [
        repeats(actual, arrays, LIMITS[:1]),
        repeats(expected, arrays, LIMITS[:1]),
        against(actual, expected, arrays, LIMITS[1:]),
    ]
    return report(question, [actual, expected], comparisons)


def within_limits(folder: Path) -> Report:
    """Off the reference by less than the limit, with a metric that has no value."""
    lenient = [LIMITS[1].model_copy(update={"at_least": 20.0})]
    question = scenario(CASES, [CANDIDATE, REFERENCE], lenient)
    actual, some = filled(folder, question, CANDIDATE, NPU, near)
    expected, more = filled(folder, question, REFERENCE, CPU, steady)
    compared = against(actual, expected, {**some, **more}, lenient)
    undefined = Measurement(
        metric="new_metric",
        subject="image",
        value=None,
        unit="apples",
        better="lower",
        spec="new_metric:1",
        problem="the pictures have no apples",
    )
    pairs = [each.model_copy(update={"measurements": [*each.measurements, undefined]}) for each in compared.pairs]
    return report(question, [actual, expected], [compared.model_copy(update={"pairs": pairs})])


def not_comparable(folder: Path) -> Report:
    """Candidate and reference with other noise; a key is missing on one side and one is too many."""
    question = scenario(CASES, [SHIPPED, REFERENCE], LIMITS[1:])
    actual, _ = filled(folder, question, SHIPPED, NPU, other_noise)
    expected, _ = filled(folder, question, REFERENCE, CPU, steady)
    compared = Comparison(
        scope=Scope.REFERENCE,
        scenario=question.name,
        actual=ref(actual),
        expected=ref(expected),
        limits=LIMITS[1:],
        pairs=[],
        missing=[CaseKey(case="pizza", seed=7)],
        unexpected=[CaseKey(case="pizza", seed=9)],
        differences=["noise: device against portable", "the digests of the noise differ in pizza, seed 42"],
        outcome=Status.NOT_COMPARABLE,
        message="The two sides did not start from the same noise.",
    )
    return report(question, [actual, expected], [compared])


def error(folder: Path) -> Report:
    """A run that failed in one picture and at its end, with little to show."""
    question = scenario(CASES, [CANDIDATE], [])
    made, arrays = filled(folder, question, CANDIDATE, NPU, steady)
    failures = [
        Failure(
            stage="generate",
            key=GLOVE,
            process=0,
            repeat=1,
            error="OutOfMemoryError",
            message="NPU out of memory. Tried to allocate 2.00 GiB",
            traceback=f'Traceback (most recent call last):\n  File "/home/ada/x.py"\n\x1b[31m```{SECRET}\x1b[0m',
        ),
        Failure(stage="process", key=None, process=1, repeat=None, error="SIGKILL", message="the worker was killed"),
    ]
    update = {"samples": made.samples_of(PIZZA)[:1], "failures": failures, "state": "unfinished", "log_tail": ""}
    broken = made.model_copy(update=update)
    compared = repeats(broken, arrays, []).model_copy(
        update={"failures": failures, "outcome": Status.ERROR, "message": "2 failures; nothing is judged."}
    )
    return report(question, [broken], [compared])


def retried(folder: Path) -> Report:
    """An identical report of a run in which a second process took over."""
    found = identical(folder)
    failure = Failure(
        stage="process",
        key=None,
        process=0,
        repeat=None,
        error="killed by signal 9",
        message="worker process 0 killed by signal 9 (SIGKILL) before its work was done",
    )
    runs = [found.runs[0].model_copy(update={"retried": [failure]}), *found.runs[1:]]
    return found.model_copy(update={"runs": runs})


def nothing_loaded(_folder: Path) -> Report:
    """No worker came far enough to say anything."""
    question = scenario(CASES, [CANDIDATE], [])
    failure = Failure(
        stage="load", key=None, process=0, repeat=None, error="ModelError", message="model_index.json is missing"
    )
    made = run(question, CANDIDATE, NPU, [])
    empty = made.model_copy(update={"environment": None, "loaded": None, "failures": [failure], "log_tail": ""})
    compared = Comparison(
        scope=Scope.REPEAT,
        scenario=question.name,
        actual=ref(empty),
        expected=ref(empty),
        limits=[],
        pairs=[],
        failures=[failure],
        outcome=Status.ERROR,
        message="The model could not be loaded.",
    )
    return report(question, [empty], [compared])


def nothing_compared(_folder: Path) -> Report:
    """A report without runs and comparisons."""
    return report(scenario(CASES, [CANDIDATE], []), [], [])


def skipped(folder: Path) -> Report:
    """One run repeats nothing."""
    question = scenario(CASES[:1], [CANDIDATE], []).model_copy(update={"repeats": Repeats(in_process=1, processes=1)})
    found, arrays = filled(folder, question, CANDIDATE, NPU, steady)
    compared = repeats(found, arrays, [])
    repetitions = [each.model_copy(update={"status": Status.SKIPPED, "pattern": ""}) for each in compared.repetitions]
    update = {"repetitions": repetitions, "outcome": Status.SKIPPED, "message": "There was nothing to repeat."}
    return report(question, [found], [compared.model_copy(update=update)])


def simulated(folder: Path) -> Report:
    """A stand-in library plays the NPU."""
    question = scenario(CASES, [CANDIDATE], [])
    found, arrays = filled(folder, question, CANDIDATE, FAKE_NPU, steady)
    return report(question, [found], [repeats(found, arrays, [])])


SUBSTITUTION = "flash_attention_2 was asked for and sdpa runs on npu, which leaves other values in padded rows."
STAGE_PEAKS = {
    "text_encoding": 15 * 2**30,
    "denoising": 17 * 2**30,
    "vae_decode": 16 * 2**30,
    "total": 17 * 2**30,
}
COMPONENTS = {"text_encoding": "vlm", "denoising": "transformer", "vae_encode": "vae", "vae_decode": "vae"}


def answered(made: Run, by: NpuOps) -> Run:
    """A run whose records say how fused operators were answered, which part works when, and what each stage took."""
    assert made.environment is not None
    assert made.loaded is not None
    samples = []
    for each in made.samples:
        more = each.repeat * 2**30 if by is NpuOps.NATIVE else 8 * 2**30
        stages = {
            stage: MemoryUse(allocated_bytes=14 * 2**30, peak_bytes=peak + more) for stage, peak in STAGE_PEAKS.items()
        }
        calls = {"npu_geglu": 24 + each.repeat, "npu_rms_norm": 320} if by is NpuOps.REFERENCE else {}
        update = {"npu_calls": calls, "stage_memory": stages, "memory": {"device": stages["total"]}}
        samples.append(each.model_copy(update=update))
    loaded = made.loaded.model_copy(update={"components": COMPONENTS})
    surroundings = made.environment.model_copy(update={"npu_ops": by})
    return made.model_copy(update={"environment": surroundings, "loaded": loaded, "samples": samples})


def traced(compared: Comparison, *traces: TraceDifference) -> Comparison:
    """The comparison with the same traces in every pair."""
    pairs = [each.model_copy(update={"traces": list(traces)}) for each in compared.pairs]
    return compared.model_copy(update={"pairs": pairs})


def trace(rows: str, difference: float | None) -> TraceDifference:
    return TraceDifference(
        name=f"text_encoding, {rows} rows", identical=difference == 0, relative_difference=difference
    )


def npu(folder: Path, host: Host = FAKE_NPU) -> Report:
    """An NPU that a stand-in plays, against two references on its host's CPU: one for kernels, one for branches."""
    question = scenario(CASES, [FULL, KERNELS, PLAIN], LIMITS[1:])
    asked = question.model.model_copy(update={"attention": "flash_attention_2"})
    question = question.model_copy(update={"model": asked})
    (card, some), (kernels, more), (plain, most) = (
        filled(folder, question, of, where, choose)
        for of, where, choose in ((FULL, host, near), (KERNELS, CPU, steady), (PLAIN, CPU, steady))
    )
    card, kernels, plain = (
        answered(made, by) for made, by in ((card, NpuOps.NATIVE), (kernels, NpuOps.REFERENCE), (plain, NpuOps.HIDDEN))
    )
    assert card.loaded is not None
    card = card.model_copy(update={"loaded": card.loaded.model_copy(update={"substitutions": [SUBSTITUTION]})})
    arrays = {**some, **more, **most}
    comparisons = [
        repeats(card, arrays, []),
        traced(against(card, kernels, arrays, LIMITS[1:]), trace("real", 6.2e-8), trace("padded", 0.136)),
        traced(against(card, plain, arrays, LIMITS[1:]), trace("real", 0), trace("padded", None)),
    ]
    return report(question, [card, kernels, plain], comparisons)


def stand_in(folder: Path) -> Report:
    """A CPU in place of an accelerator, and the embedded model."""
    question = scenario(CASES, [CANDIDATE], []).model_copy(
        update={"model": ModelRef(source="builtin:tiny-deepgen", trust_remote_code=True)}
    )
    found, arrays = filled(folder, question, CANDIDATE, CPU, steady)
    return report(question, [found], [repeats(found, arrays, [])])


def hostile(folder: Path) -> Report:
    """Every free text tries to be something else than text."""
    evil = "<script>alert(1)</script> | `x` \x1b[31m =cmd() \u202e"
    question = scenario(HOSTILE, [CANDIDATE], []).model_copy(update={"summary": evil})
    found, arrays = filled(folder, question, CANDIDATE, NPU, steady)
    surroundings = environment(Host("npu:0", evil, "npu"), CANDIDATE)
    surroundings = surroundings.model_copy(update={"facts": {"driver": evil, evil: "1"}, "commit": evil})
    broken = found.model_copy(
        update={
            "environment": surroundings,
            "log_tail": f"{evil}\n```\n# not a heading\nHF_TOKEN={SECRET}\n",
            "failures": [
                Failure(
                    stage="output",
                    key=found.samples[0].key,
                    process=0,
                    repeat=0,
                    error="=Evil|Error",
                    message=f"{evil}\n\nsecond line",
                    traceback=f"````\n{evil}\n</pre>\n</details>",
                )
            ],
        }
    )
    compared = repeats(broken, arrays, [])
    measured = [each.model_copy(update={"unit": "=unit()", "spec": evil}) for each in compared.pairs[0].measurements]
    pairs = [compared.pairs[0].model_copy(update={"measurements": measured}), *compared.pairs[1:]]
    update = {"failures": broken.failures, "outcome": Status.ERROR, "message": evil, "pairs": pairs}
    shown = report(question, [broken], [compared.model_copy(update=update)])
    return shown.model_copy(update={"title": evil, "command": ["harness", "check", evil, "it's"]})


def many(folder: Path, count: int) -> Report:
    """The steady case under many names, all of them with the same picture."""
    cases = [Case(id=f"case-{index:04}", prompt=f"prompt {index}") for index in range(count)]
    question = scenario(cases, [CANDIDATE], LIMITS[:1])
    found, arrays = filled(folder, scenario(CASES[:1], [CANDIDATE], []), CANDIDATE, NPU, steady)
    samples = [
        made.model_copy(update={"key": CaseKey(case=case.id, seed=42)}) for case in cases for made in found.samples
    ]
    multiplied = run(question, CANDIDATE, NPU, samples)
    return report(question, [multiplied], [repeats(multiplied, arrays, LIMITS[:1])])


def with_outcome(folder: Path, status: Status) -> Report:
    """The identical report under another word, to see every word on the page."""
    found = identical(folder)
    comparisons = [each.model_copy(update={"outcome": status}) for each in found.comparisons]
    return found.model_copy(update={"outcome": status, "comparisons": comparisons})


BUILDERS: dict[str, Callable[[Path], Report]] = {
    builder.__name__: builder
    for builder in (
        identical,
        unstable,
        drift,
        within_limits,
        not_comparable,
        error,
        retried,
        nothing_loaded,
        nothing_compared,
        skipped,
        simulated,
        npu,
        stand_in,
        hostile,
    )
}
