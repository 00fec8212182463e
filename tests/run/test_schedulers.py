"""Whatever a scheduler of diffusers draws is injected or named, and an SDE sampler keeps its law."""

from __future__ import annotations

import inspect
import pkgutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from harness.backends import cpu
from harness.noise import noise_digest
from harness.records import DrawnFrom, NoiseMode, SwitchMode
from harness.run.worker import draws as drawing
from harness.run.worker.draws import DrawLog, watched_draws

torch = pytest.importorskip("torch")
schedulers: Any = pytest.importorskip("diffusers.schedulers")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    # diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    # They ask a Brownian tree of float32 bounds for points that are beyond them by a rounding.
    pytest.mark.filterwarnings("ignore:Should have t[ab][<>]=t[01]:UserWarning"),
]

SEED = 42
STEPS = 4
SHAPE = (2, 4, 8, 8)
TOKENS = 7
MASK = TOKENS - 1
DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- one sampling by each --------------------------------------------------------------------------------------------


def latents(shape: tuple[int, ...] = SHAPE) -> Any:
    """Where a sampling begins; nothing is drawn for it."""
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


def tokens() -> Any:
    """Latents of masked tokens, and the logits of a model for them."""
    return torch.full((2, 16), MASK), torch.linspace(-1, 1, 2 * 16 * TOKENS).reshape(2, 16, TOKENS)


def denoised(scheduler: Any, given: Any, **options: Any) -> Any:
    """Latents after a sampling as pipelines do it, with half of the latents in the place of a model's output."""
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = given
    scheduler.set_timesteps(STEPS)
    sample = latents()
    for timestep in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(sample / 2, timestep, sample, **options).prev_sample
    return sample


def two_steps(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(2)
    sample = latents()
    for timestep in scheduler.timesteps[:2]:
        sample = scheduler.step(sample / 2, timestep, sample, generator=given).prev_sample
    return sample


def amused(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample, logits = tokens()
    for timestep in scheduler.timesteps:
        sample = scheduler.step(logits, timestep, sample, generator=given).prev_sample
    return sample


def refined(scheduler: Any, given: Any, **options: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample, logits = tokens()
    for timestep in scheduler.timesteps:
        step = scheduler.step(logits, timestep, sample, mask_token_id=MASK, generator=given, **options)
        sample = step.prev_sample
    return sample


def vector_quantised(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample, logits = tokens()
    probabilities = logits[:, :, :MASK].log_softmax(-1).transpose(1, 2)
    for timestep in scheduler.timesteps:
        sample = scheduler.step(probabilities, timestep, sample, generator=given).prev_sample
    return sample


def karras_ve(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample = latents()
    for timestep in scheduler.timesteps:
        sigma = scheduler.schedule[timestep]
        before = scheduler.schedule[timestep - 1] if timestep > 0 else torch.tensor(0.0)
        noisy, raised = scheduler.add_noise_to_input(sample, sigma, generator=given)
        step = scheduler.step(noisy / 2, raised, before, noisy)
        sample = step.prev_sample
        if before > 0:
            sample = scheduler.step_correct(noisy / 2, raised, before, noisy, sample, step.derivative).prev_sample
    return sample


def variance_preserving(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample = latents()
    for timestep in scheduler.timesteps:
        sample, _ = scheduler.step_pred(sample / 2, sample, timestep.expand(2), generator=given)
    return sample


def variance_exploding(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    scheduler.set_sigmas(STEPS)
    sample = latents()
    for timestep in scheduler.timesteps:
        sample = scheduler.step_correct(sample / 2, sample, generator=given).prev_sample
        sample = scheduler.step_pred(sample / 2, timestep.expand(2), sample, generator=given).prev_sample
    return sample


def wuerstchen(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample = latents()
    for timestep in scheduler.timesteps[:-1]:
        sample = scheduler.step(sample / 2, timestep.expand(2), sample, generator=given).prev_sample
    return sample


def cogvideox(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS)
    sample, before, last = latents(), None, None
    for timestep in scheduler.timesteps:
        sample, before = scheduler.step(sample / 2, before, timestep, last, sample, generator=given)
        last = timestep
    return sample


def helios(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS, stage_index=0)
    sample = latents((1, 4, 2, 8, 8))
    for timestep in scheduler.timesteps:
        sample = scheduler.step(sample / 2, timestep, sample, generator=given).prev_sample
    return sample


def helios_dmd(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS, stage_index=0)
    sample = start = latents((1, 4, 2, 8, 8))
    table = {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
    for number, timestep in enumerate(scheduler.timesteps):
        more = {**table, "cur_sampling_step": number, "all_timesteps": scheduler.timesteps, "dmd_noisy_tensor": start}
        sample = scheduler.step(sample / 2, timestep, sample, generator=given, **more).prev_sample
    return sample


def repaint(scheduler: Any, given: Any) -> Any:
    scheduler.set_timesteps(STEPS, jump_length=2, jump_n_sample=2)
    sample, last = latents(), scheduler.timesteps[0] + 1
    for timestep in scheduler.timesteps:
        if timestep < last:
            mask = torch.ones(SHAPE).tril()
            sample = scheduler.step(sample / 2, timestep, sample, latents(), mask, generator=given).prev_sample
        else:
            sample = scheduler.undo_step(sample, last, given)
        last = timestep
    return sample


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a scheduler is used, and what it draws in that use."""

    of: str = ""
    """Its class, where that is not the name of the row."""
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    by: Callable[..., Any] = denoised
    """What calls it, where its methods are not those that pipelines call of most schedulers."""
    given: int = 0
    """Draws from the generator that it was given."""
    from_global: int = 0
    other: bool = False
    """Whether generators of its own draw; how often depends on where the intervals of a Brownian tree lie."""
    hidden: tuple[str, ...] = ()
    numbers: bool = True
    """False where diffusers itself gives NaN: backwards in time it takes the root of a negative variance."""


NO_DRAW = Sampling()
EACH = Sampling(given=STEPS)
ALL_BUT_LAST = Sampling(given=STEPS - 1)
SDE = {"algorithm_type": "sde-dpmsolver++"}
CHURN = {"s_churn": 1.0}

SAMPLINGS = {
    # Without noise of their own.
    "CogVideoXDDIMScheduler": NO_DRAW,
    "DDIMInverseScheduler": NO_DRAW,
    "DDIMParallelScheduler": NO_DRAW,
    "DDIMScheduler": NO_DRAW,
    "DEISMultistepScheduler": NO_DRAW,
    "DPMSolverMultistepInverseScheduler": NO_DRAW,
    "DPMSolverMultistepScheduler": NO_DRAW,
    "DPMSolverSinglestepScheduler": NO_DRAW,
    "EDMDPMSolverMultistepScheduler": NO_DRAW,
    "EDMEulerScheduler": NO_DRAW,
    "EulerDiscreteScheduler": NO_DRAW,
    "FlowMatchEulerDiscreteScheduler": NO_DRAW,
    "FlowMatchHeunDiscreteScheduler": NO_DRAW,
    "HeliosDMDScheduler": Sampling(by=helios_dmd),  # the pipeline draws, and hands the noise over
    "HeliosScheduler": Sampling(by=helios),  # it samples stage by stage
    "HeunDiscreteScheduler": NO_DRAW,
    "IPNDMScheduler": NO_DRAW,
    "KDPM2DiscreteScheduler": NO_DRAW,
    "LMSDiscreteScheduler": NO_DRAW,
    # Its first steps are Runge-Kutta's, of which there are more than a short sampling has; pipelines leave them out.
    "PNDMScheduler": Sampling(settings={"skip_prk_steps": True}),
    "UniPCMultistepScheduler": NO_DRAW,
    # With noise from the given generator.
    "CMStochasticIterativeScheduler": EACH,
    # It takes the prediction of the step before, and draws a second time where there is one.
    "CogVideoXDPMScheduler": Sampling(by=cogvideox, given=2 * STEPS - 2),
    "ConsistencyDecoderScheduler": Sampling(by=two_steps, given=1),  # it has no table for any other number
    "DDPMParallelScheduler": ALL_BUT_LAST,
    "DDPMScheduler": ALL_BUT_LAST,
    "DDPMWuerstchenScheduler": Sampling(by=wuerstchen, given=STEPS),  # its timesteps are ratios, one for each picture
    "EulerAncestralDiscreteScheduler": EACH,
    "FlowMatchLCMScheduler": EACH,
    "KDPM2AncestralDiscreteScheduler": ALL_BUT_LAST,
    "KarrasVeScheduler": Sampling(by=karras_ve, given=STEPS),  # noise is added before the model is called
    "LCMScheduler": ALL_BUT_LAST,
    "LTXEulerAncestralRFScheduler": ALL_BUT_LAST,
    # It takes the picture and a mask, and goes back and forth: six steps, and two ways back of two draws.
    "RePaintScheduler": Sampling(settings={"num_train_timesteps": 2 * STEPS}, by=repaint, given=10),
    "SASolverScheduler": EACH,
    "SCMScheduler": Sampling(by=two_steps, given=2),  # its intermediate timestep is for two steps
    "ScoreSdeVeScheduler": Sampling(by=variance_exploding, given=2 * STEPS),  # a predictor and a corrector
    "ScoreSdeVpScheduler": Sampling(by=variance_preserving, given=STEPS),  # a predictor alone
    "TCDScheduler": ALL_BUT_LAST,
    "UnCLIPScheduler": ALL_BUT_LAST,
    "DDIMScheduler with eta": Sampling(of="DDIMScheduler", options={"eta": 1.0}, given=STEPS),
    "DDIMParallelScheduler with eta": Sampling(of="DDIMParallelScheduler", options={"eta": 1.0}, given=STEPS),
    "DPMSolverMultistepScheduler, SDE": Sampling(of="DPMSolverMultistepScheduler", settings=SDE, given=STEPS),
    "DPMSolverMultistepInverseScheduler, SDE": Sampling(
        of="DPMSolverMultistepInverseScheduler", settings=SDE, given=STEPS, numbers=False
    ),
    "DPMSolverSinglestepScheduler, SDE": Sampling(of="DPMSolverSinglestepScheduler", settings=SDE, given=STEPS),
    "EDMDPMSolverMultistepScheduler, SDE": Sampling(of="EDMDPMSolverMultistepScheduler", settings=SDE, given=STEPS),
    "EDMEulerScheduler with churn": Sampling(of="EDMEulerScheduler", options=CHURN, given=STEPS),
    "EulerDiscreteScheduler with churn": Sampling(of="EulerDiscreteScheduler", options=CHURN, given=STEPS),
    "FlowMatchHeunDiscreteScheduler with churn": Sampling(
        of="FlowMatchHeunDiscreteScheduler", options=CHURN, given=2 * STEPS - 1
    ),
    # With noise from elsewhere.
    "CosineDPMSolverMultistepScheduler": Sampling(other=True),
    "DPMSolverSDEScheduler": Sampling(other=True, hidden=("torch.randint was called",)),
    "DPMSolverSDEScheduler with a seed": Sampling(
        of="DPMSolverSDEScheduler", settings={"noise_sampler_seed": 7}, other=True
    ),
    "FlowMatchEulerDiscreteScheduler, stochastic": Sampling(
        of="FlowMatchEulerDiscreteScheduler", settings={"stochastic_sampling": True}, from_global=STEPS
    ),
    # Of tokens: what decides about them is drawn by functions that are not controlled, and named.
    "AmusedScheduler": Sampling(
        settings={"mask_token_id": MASK},
        by=amused,
        hidden=("Tensor.uniform_ was called", "torch.multinomial was called"),
    ),
    "BlockRefinementScheduler": Sampling(by=refined),
    "BlockRefinementScheduler with a temperature": Sampling(
        of="BlockRefinementScheduler",
        by=refined,
        options={"temperature": 1.0},
        hidden=("torch.multinomial was called",),
    ),
    "VQDiffusionScheduler": Sampling(
        settings={"num_vec_classes": TOKENS}, by=vector_quantised, hidden=("torch.rand was called",)
    ),
}
"""Every scheduler in the use that most pipelines make of it; those that draw only when asked to, in that one too."""


def classes() -> dict[str, type]:
    """Every class below diffusers.schedulers that steps, by its name; those for JAX (``_flax``) take no tensors."""
    steps: dict[str, type] = {}
    for module in pkgutil.walk_packages(schedulers.__path__, f"{schedulers.__name__}."):
        if not module.name.endswith("_flax"):
            members = inspect.getmembers(import_module(module.name), inspect.isclass)
            own = {name: kind for name, kind in members if kind.__module__ == module.name}
            steps |= {name: kind for name, kind in own.items() if hasattr(kind, "step") or hasattr(kind, "step_pred")}
    return steps


CLASSES = classes()


def sampled(row: str, *, torch_seed: int = SEED, mode: NoiseMode = NoiseMode.PORTABLE) -> tuple[Any, DrawLog]:
    """What a sampling gives, and the log of its draws."""
    use = SAMPLINGS[row]
    DEVICE.seed(torch_seed)
    given = torch.Generator().manual_seed(torch_seed)
    with watched_draws(mode, SEED, DEVICE) as log:
        log.give(given)
        result = use.by(CLASSES[use.of or row](**use.settings), given, **use.options)
    return result, log


def same_bits(one: Any, other: Any) -> bool:
    """Whether two samplings gave the same; NaN is equal to itself here."""
    return bool(one.numpy().tobytes() == other.numpy().tobytes())


def test_every_scheduler_of_diffusers_is_held_to_what_it_draws() -> None:
    named = {use.of or row for row, use in SAMPLINGS.items()}
    assert sorted(CLASSES) == sorted(named), "a scheduler of a later diffusers needs a row that says what it draws"
    assert sorted(CLASSES) == sorted(row for row, use in SAMPLINGS.items() if not use.of)


@pytest.mark.parametrize("row", SAMPLINGS)
def test_what_a_scheduler_draws_is_injected_or_named(row: str) -> None:
    use = SAMPLINGS[row]
    result, log = sampled(row)
    assert bool(result.isfinite().all()) == use.numbers
    drawn = Counter(draw.drawn_from for draw in log.draws)
    assert (drawn[DrawnFrom.GIVEN], drawn[DrawnFrom.GLOBAL]) == (use.given, use.from_global)
    assert (drawn[DrawnFrom.OTHER] > 0) == use.other
    assert tuple(sorted(log.hidden)) == use.hidden
    assert {draw.source for draw in log.draws} <= {NoiseMode.PORTABLE}


@pytest.mark.parametrize("row", SAMPLINGS)
def test_a_sampling_repeats_itself_and_only_a_named_draw_depends_on_the_seed_of_torch(row: str) -> None:
    (first, log), (again, same), (other, another) = sampled(row), sampled(row), sampled(row, torch_seed=SEED + 1)
    assert same_bits(first, again)
    assert log.digest == same.digest
    if not log.hidden:
        assert same_bits(first, other), "a draw is neither injected nor named"
        assert log.digest == another.digest


TAKEN_OUT_BEFORE: Any = torch.randn
"""A function that was taken out of torch before it was watched: no log sees what it draws from the given generator."""


@pytest.mark.parametrize("planted", [True, False], ids=["planted", "harmless"])
def test_a_draw_that_is_neither_injected_nor_named_would_be_seen(
    planted: bool,  # noqa: FBT001 - a value
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_another_draw(scheduler: Any, given: Any) -> Any:
        more = TAKEN_OUT_BEFORE if planted else torch.randn
        return denoised(scheduler, given) + more(SHAPE, generator=given)

    monkeypatch.setitem(SAMPLINGS, "DDPMScheduler", replace(ALL_BUT_LAST, by=with_another_draw))
    with pytest.raises(AssertionError, match="neither injected nor named") if planted else nullcontext():
        test_a_sampling_repeats_itself_and_only_a_named_draw_depends_on_the_seed_of_torch("DDPMScheduler")


def test_a_scheduler_of_a_later_diffusers_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class FutureScheduler:
        def step(self) -> None:
            """Make a step."""

    later = import_module("diffusers.schedulers.scheduling_ddim")
    assert sorted(classes()) == sorted(CLASSES)
    monkeypatch.setattr(FutureScheduler, "__module__", later.__name__)
    monkeypatch.setattr(later, "FutureScheduler", FutureScheduler, raising=False)
    assert set(classes()) - set(CLASSES) == {"FutureScheduler"}
    monkeypatch.setitem(CLASSES, "FutureScheduler", FutureScheduler)
    with pytest.raises(AssertionError, match="needs a row"):
        test_every_scheduler_of_diffusers_is_held_to_what_it_draws()


# --- Brownian trees --------------------------------------------------------------------------------------------------

Nodes = dict[tuple[int, tuple[int, ...]], list[str]]
"""Digests of what each node of a tree drew, in the order in which it was asked, by its seed and shape."""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    tree = import_module("torchsde._brownian.brownian_interval")
    original, seen = tree._randn, Nodes()

    def drawn(size: Any, dtype: Any, device: Any, seed: Any) -> Any:
        values = original(size, dtype, device, seed)
        seen.setdefault((int(seed), tuple(size)), []).append(noise_digest(values.numpy()))
        return values

    monkeypatch.setattr(tree, "_randn", drawn)
    return seen


def sde_sampling() -> tuple[Any, DrawLog]:
    """A sampler of a Brownian tree after its steps, and its draws; intervals are asked of it while it is watched."""
    scheduler = CLASSES["DPMSolverSDEScheduler"](noise_sampler_seed=7)
    with watched_draws(NoiseMode.PORTABLE, SEED, DEVICE) as log:
        log.give(torch.Generator().manual_seed(SEED))
        denoised(scheduler, None)
        (path,) = scheduler.noise_sampler.tree.trees
        ends = [0.1, 0.7, 2.5, 9.0]
        parts = [path(one, other) for one, other in pairwise(ends)]
        gap = (sum(parts) - path(ends[0], ends[-1])).abs().max()
    return gap, log


def running_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: every draw has a stream of its own, whatever the state of its generator."""
    numbers = count()
    monkeypatch.setattr(drawing, "_state", lambda _generator, **_options: str(next(numbers)))


@pytest.mark.parametrize("planted", [False, True], ids=["by state", "planted: by a running index"])
def test_a_node_of_a_brownian_tree_draws_the_same_each_time(
    planted: bool,  # noqa: FBT001 - a value
    nodes: Nodes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if planted:
        running_index(monkeypatch)
    gap, log = sde_sampling()
    again = [digests for digests in nodes.values() if len(digests) > 1]
    assert len(again) > STEPS, "nodes that are drawn once would prove nothing"
    assert all(len(set(digests)) == 1 for digests in again) is not planted
    assert log.hidden == []
    assert {draw.drawn_from for draw in log.draws} == {DrawnFrom.OTHER}
    # Increments over neighbouring intervals add up to that over their union: the law of Brownian motion.
    assert (float(gap) < 1e-5) is not planted


def test_different_nodes_of_a_brownian_tree_draw_different_numbers(nodes: Nodes) -> None:
    sde_sampling()
    first = [digests[0] for digests in nodes.values()]
    assert len(set(first)) == len(first) > STEPS


def test_in_device_mode_a_brownian_tree_draws_as_it_does_unwatched() -> None:
    DEVICE.seed(SEED)
    use = SAMPLINGS["DPMSolverSDEScheduler"]
    plain = use.by(CLASSES["DPMSolverSDEScheduler"](), None)
    watched, log = sampled("DPMSolverSDEScheduler", mode=NoiseMode.DEVICE)
    assert same_bits(plain, watched)
    assert {draw.source for draw in log.draws} == {NoiseMode.DEVICE}
