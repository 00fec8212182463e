"""Draws are seen, and replaced by portable noise, whatever way torch or diffusers is asked for them."""

from __future__ import annotations

import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backends import cpu
from harness.errors import RunError
from harness.noise import noise_digest, portable_noise
from harness.records import DrawnFrom, NoiseMode, SwitchMode
from harness.run.worker import draws as drawing
from harness.run.worker.cpu_streams import CpuStreams, noise_notes
from harness.run.worker.draws import DrawLog, Given, watched_draws

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.contracts import Device

SEED = 42
PORTABLE, DEVICE, TORCH_CPU = NoiseMode.PORTABLE, NoiseMode.DEVICE, NoiseMode.TORCH_CPU


@pytest.fixture
def device() -> Device:
    return cpu.open(0, SwitchMode.AS_SHIPPED)


def drawn_by(draw: Callable[[], Any], device: Device, mode: NoiseMode = PORTABLE) -> tuple[Any, DrawLog]:
    with watched_draws(mode, SEED, device) as log:
        result = draw()
    return result, log


def noise(stream: int, *shape: int) -> Any:
    return torch.from_numpy(portable_noise(SEED, stream, shape).copy())


def every_state(*generators: Any) -> list[Any]:
    """All generators a pipeline could draw from, in a form that can be compared."""
    states = [torch.get_rng_state(), *(generator.get_state() for generator in generators)]
    legacy: Any = np.random.get_state()  # noqa: NPY002 - the generator that pipelines share
    return [*(state.tolist() for state in states), legacy[1].tolist(), legacy[2:], random.getstate()]


# --- portable: the values --------------------------------------------------------------------------------------------

ASKED = {
    "whole numbers": lambda: torch.randn(2, 3),
    "a tuple": lambda: torch.randn((2, 3)),
    "a list": lambda: torch.randn([2, 3]),
    "a torch.Size": lambda: torch.randn(torch.Size([2, 3])),
    "the keyword size": lambda: torch.randn(size=(2, 3)),
    "NumPy's whole numbers": lambda: torch.randn(np.int64(2), np.int64(3)),
    "the like of another": lambda: torch.randn_like(torch.zeros(2, 3)),
    "the like of another by keyword": lambda: torch.randn_like(input=torch.zeros(2, 3)),
    "a place": lambda: torch.zeros(2, 3).normal_(),
    "a place with mean and deviation": lambda: torch.zeros(2, 3).normal_(0.0, std=1.0),
    "an initialiser": lambda: torch.nn.init.normal_(torch.zeros(2, 3)),
    "an output": lambda: torch.randn(2, 3, out=torch.zeros(2, 3)),
    "an output of another shape": lambda: torch.randn(2, 3, out=torch.empty(0)),
    "a device by name": lambda: torch.randn(2, 3, device="cpu"),
    "a device": lambda: torch.randn(2, 3, device=torch.device("cpu")),
    "a generator": lambda: torch.randn(2, 3, generator=torch.Generator()),
    "diffusers": lambda: diffusers.utils.torch_utils.randn_tensor((2, 3)),
}


@pytest.mark.parametrize("way", ASKED)
def test_however_it_is_asked_for_the_noise_is_the_portable_one(way: str, device: Device) -> None:
    result, log = drawn_by(ASKED[way], device)
    assert torch.equal(result, noise(0, 2, 3))
    assert (result.dtype, result.device.type) == (torch.float32, "cpu")
    assert [(draw.shape, draw.dtype, draw.source) for draw in log.draws] == [([2, 3], "float32", PORTABLE)]
    assert log.draws[0].digest == noise_digest(portable_noise(SEED, 0, [2, 3]))
    assert np.array_equal(log.values["noise.0"], portable_noise(SEED, 0, [2, 3]))
    assert log.hidden == []


@pytest.mark.parametrize(
    ("draw", "shape"),
    [
        (lambda: torch.randn(5), [5]),
        (lambda: torch.randn(np.int64(5)), [5]),
        (lambda: torch.randn(()), []),
        (lambda: torch.randn([]), []),
        (lambda: torch.randn(0, 4), [0, 4]),
    ],
)
def test_one_side_no_side_and_an_empty_side_have_their_shape(draw: Any, shape: list[int], device: Device) -> None:
    result, log = drawn_by(draw, device)
    assert list(result.shape) == shape
    assert torch.equal(result, noise(0, *shape))
    assert log.draws[0].shape == shape


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float64"])
def test_a_type_that_is_asked_for_is_rounded_to_once_and_logged(name: str, device: Device) -> None:
    dtype = getattr(torch, name)
    asked = [
        lambda: torch.randn(4, 4, dtype=dtype),
        lambda: torch.randn_like(torch.zeros(4, 4, dtype=dtype)),
        lambda: torch.randn_like(torch.zeros(4, 4, dtype=dtype), dtype=None),
        lambda: torch.randn_like(torch.zeros(4, 4), dtype=dtype),
        lambda: torch.zeros(4, 4, dtype=dtype).normal_(),
        lambda: torch.randn(4, 4, out=torch.zeros(4, 4, dtype=dtype)),
    ]
    for draw in asked:
        result, log = drawn_by(draw, device)
        assert result.dtype is dtype
        assert torch.equal(result, noise(0, 4, 4).to(dtype))
        assert log.draws[0].dtype == name
        assert log.draws[0].digest == noise_digest(portable_noise(SEED, 0, [4, 4])), "the digest is of what was drawn"


def test_mean_and_deviation_are_applied_before_the_rounding(device: Device) -> None:
    place = torch.zeros(64, dtype=torch.bfloat16)
    result, log = drawn_by(lambda: place.normal_(3.0, std=0.5), device)
    assert result is place
    assert torch.equal(place, (noise(0, 64) * 0.5 + 3.0).to(torch.bfloat16))
    assert log.draws[0].digest == noise_digest(portable_noise(SEED, 0, [64]))


def test_the_output_that_was_given_is_filled_and_returned(device: Device) -> None:
    place = torch.zeros(2, 3)
    result, _ = drawn_by(lambda: torch.randn(2, 3, out=place), device)
    assert result is place
    assert torch.equal(place, noise(0, 2, 3))


def test_the_layout_in_memory_is_the_one_that_torch_gives(device: Device) -> None:
    like = torch.zeros(1, 3, 4, 5).to(memory_format=torch.channels_last)
    result, _ = drawn_by(lambda: torch.randn_like(like), device)
    assert result.stride() == torch.randn_like(like).stride() == like.stride()
    assert torch.equal(result, noise(0, 1, 3, 4, 5))


@pytest.mark.parametrize("wanted", [False, True])
def test_a_gradient_is_required_where_it_is_asked_for(wanted: bool, device: Device) -> None:  # noqa: FBT001 - a value
    result, _ = drawn_by(lambda: torch.randn(3, requires_grad=wanted), device)
    assert result.requires_grad is wanted
    assert result.is_leaf


def test_a_change_of_what_was_drawn_changes_neither_the_log_nor_the_next_run(device: Device) -> None:
    result, log = drawn_by(lambda: torch.randn(3).mul_(0), device)
    assert result.tolist() == [0, 0, 0]
    assert np.array_equal(log.values["noise.0"], portable_noise(SEED, 0, [3]))
    again, _ = drawn_by(lambda: torch.randn(3), device)
    assert torch.equal(again, noise(0, 3))


def test_a_tensor_without_numbers_is_no_draw(device: Device) -> None:
    for mode in NoiseMode:
        result, log = drawn_by(lambda: (torch.randn(3, device="meta"), torch.randn(3)), device, mode)
        assert result[0].device.type == "meta"
        assert len(log.draws) == 1


def test_complex_numbers_are_left_to_torch_and_named(device: Device) -> None:
    for mode in NoiseMode:
        result, log = drawn_by(lambda: torch.randn(64, dtype=torch.complex64), device, mode)
        assert result.imag.abs().max() > 0
        assert log.draws == []
        assert log.hidden == ["randn drew complex numbers"]


# --- portable: the streams -------------------------------------------------------------------------------------------


def test_each_draw_has_a_stream_of_its_own(device: Device) -> None:
    results, log = drawn_by(
        lambda: [torch.randn(4), torch.randn_like(torch.zeros(4)), torch.zeros(4).normal_()], device
    )
    assert [result.tolist() for result in results] == [noise(stream, 4).tolist() for stream in range(3)]
    assert len({draw.digest for draw in log.draws}) == 3
    assert list(log.values) == ["noise.0", "noise.1", "noise.2"]
    assert [draw.function for draw in log.draws] == ["randn", "randn_like", "normal_"]


def test_the_digest_of_a_sample_depends_on_the_order_of_its_draws(device: Device) -> None:
    _, first = drawn_by(lambda: (torch.randn(2), torch.randn(3)), device)
    _, same = drawn_by(lambda: (torch.randn(2), torch.randn(3)), device)
    _, turned = drawn_by(lambda: (torch.randn(3), torch.randn(2)), device)
    assert first.digest == same.digest != turned.digest


def four_draws(own: Any) -> list[Any]:
    return [
        torch.randn(4, generator=own),
        torch.randn_like(torch.zeros(4), generator=own),
        torch.zeros(4).normal_(generator=own),
        torch.randn(4),
    ]


def test_the_seed_of_torch_plays_no_part_and_generators_move_as_they_do_unwatched(device: Device) -> None:
    results = []
    for torch_seed in (0, 1):
        torch.manual_seed(torch_seed)
        own = torch.Generator().manual_seed(torch_seed)
        four_draws(own)
        unwatched = every_state(own)
        torch.manual_seed(torch_seed)
        own.manual_seed(torch_seed)
        result, log = drawn_by(partial(four_draws, own), device)
        assert every_state(own) == unwatched
        assert log.hidden == []
        results.append([part.tolist() for part in result])
    assert results[0] == results[1]


# --- portable: generators that are seeded again, put back or copied --------------------------------------------------


def own(seed: int = 7) -> Any:
    return torch.Generator().manual_seed(seed)


def copied(generator: Any) -> Any:
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def put_back(generator: Any) -> tuple[Any, Any]:
    state = generator.get_state()
    first = drawn_from(generator)
    generator.set_state(state)
    return first, drawn_from(generator)


def put_back_by_a_fork() -> tuple[Any, Any]:
    with torch.random.fork_rng(devices=[]):
        first = torch.randn(4)
    return first, torch.randn(4)


def drawn_from(generator: Any) -> Any:
    return torch.randn(4, generator=generator)


def copied_between_draws() -> tuple[Any, Any]:
    generator = own()
    drawn_from(generator)
    copy = copied(generator)
    return drawn_from(generator), drawn_from(copy)


def of_a_list() -> tuple[Any, Any]:
    pair = randn_tensor((2, 4), generator=[own(), own()])
    return pair[0], pair[1]


SAME: dict[str, Callable[[], tuple[Any, Any]]] = {
    "another generator with the same seed": lambda: (drawn_from(own()), drawn_from(own())),
    "seeded again": lambda: (drawn_from(once := own()), drawn_from(once.manual_seed(7))),
    "put back": lambda: put_back(own()),
    "copied": lambda: (drawn_from(once := own()), drawn_from(own().manual_seed(once.initial_seed()))),
    "copied by its state": lambda: (drawn_from(copied(once := own())), drawn_from(once)),
    "cloned": lambda: (drawn_from((once := own()).clone_state()), drawn_from(once)),
    "copied between draws": copied_between_draws,
    "a list of two that are alike": of_a_list,
    "another shape of as many numbers": lambda: (drawn_from(own()), torch.randn(2, 2, generator=own()).flatten()),
    "randn_like": lambda: (drawn_from(own()), torch.randn_like(torch.zeros(4), generator=own())),
    "normal_": lambda: (drawn_from(own()), torch.zeros(4).normal_(generator=own())),
    "the global one, seeded again": lambda: (torch.randn(4), torch.manual_seed(SEED) and torch.randn(4)),
    "the global one, put back": lambda: put_back(torch.default_generator),
    "the global one, put back by a fork": put_back_by_a_fork,
    "the global one by its name": lambda: (torch.randn(4), drawn_from(torch.default_generator.manual_seed(SEED))),
}


def ending_alike() -> tuple[Any, Any]:
    """Two draws after which both generators have the same state, from states that are not the same."""
    one, other = own(), own()
    longer, _, shorter = (
        torch.randn(48, generator=one),
        torch.randn(16, generator=other),
        torch.randn(32, generator=other),
    )
    assert torch.equal(one.get_state(), other.get_state())
    return longer[:32], shorter


DIFFERENT: dict[str, Callable[[], tuple[Any, Any]]] = {
    "another beginning with the same end": ending_alike,
    "one after the other": lambda: (drawn_from(once := own()), drawn_from(once)),
    "another seed": lambda: (drawn_from(own(7)), drawn_from(own(8))),
    "one after the other of the global one": lambda: (torch.randn(4), torch.randn(4)),
    "after more numbers": lambda: (drawn_from((torch.randn(9, generator=(once := own())), once)[1]), drawn_from(own())),
}


@pytest.mark.parametrize("mode", [PORTABLE, DEVICE, TORCH_CPU])
@pytest.mark.parametrize("way", [*SAME, *DIFFERENT])
def test_draws_are_equal_where_those_of_torch_are(way: str, mode: NoiseMode, device: Device) -> None:
    device.seed(SEED)
    (first, second), log = drawn_by({**SAME, **DIFFERENT}[way], device, mode)
    assert torch.equal(first, second) is (way in SAME)
    assert log.hidden == []


@pytest.mark.parametrize("way", SAME)
def test_planted_by_a_running_index_they_are_not(way: str, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()
    monkeypatch.setattr(drawing, "_state", lambda _generator, **_options: str(next(numbers)))
    (first, second), _ = drawn_by(SAME[way], device)
    assert not torch.equal(first, second)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("draw"), st.integers(0, 2), st.sampled_from([1, 3, 16, 40])),
            st.tuples(st.just("seed"), st.integers(0, 2), st.integers(0, 1)),
            st.tuples(st.just("copy"), st.integers(0, 2), st.integers(0, 2)),
        ),
        max_size=25,
    )
)
@settings(max_examples=60, derandomize=True)
def test_the_equal_draws_of_any_work_are_those_of_torch(work: list[tuple[str, int, int]]) -> None:
    device = cpu.open(0, SwitchMode.AS_SHIPPED)

    def done(generators: list[Any]) -> None:
        for what, which, value in work:
            if what == "draw":
                torch.randn(value, generator=generators[which])
            elif what == "seed":
                generators[which].manual_seed(value)
            else:
                generators[which].set_state(generators[value].get_state())

    equal = []
    for mode in (PORTABLE, DEVICE, TORCH_CPU):
        _, log = drawn_by(lambda: done([own(0), own(1), own(2)]), device, mode)
        digests = [draw.digest for draw in log.draws]
        equal.append([digests.index(digest) for digest in digests])
        assert log.hidden == []
    assert equal[0] == equal[1] == equal[2]


def test_the_global_generator_is_no_copy_of_one_that_was_seeded_alike(device: Device) -> None:
    """The harness seeds both with the seed of a sample, and the noise of an edit must not be that of its picture."""
    device.seed(SEED)
    results, _ = drawn_by(lambda: [torch.randn(4), drawn_from(own(SEED))], device)
    assert [result.tolist() for result in results] == [noise(0, 4).tolist(), noise(1, 4).tolist()]


def test_a_stream_has_the_number_of_the_draw_that_had_it_first(device: Device) -> None:
    def draws() -> list[Any]:
        first, again, other = own(1), own(1), own(2)
        return [drawn_from(generator) for generator in (first, again, other, first, again)]

    results, log = drawn_by(draws, device)
    assert [result.tolist() for result in results] == [noise(stream, 4).tolist() for stream in (0, 0, 2, 3, 3)]
    assert len(log.draws) == 5


def test_a_draw_of_no_numbers_takes_no_state_from_the_next_one(device: Device) -> None:
    (_, result), _ = drawn_by(lambda: [torch.randn(0, generator=(once := own())), drawn_from(once)], device)
    assert torch.equal(result, noise(1, 4))


class Counted(torch.Generator):  # type: ignore[name-defined, misc]  # torch is imported by pytest
    """A generator that counts how often its state is read."""

    reads = 0

    def get_state(self) -> Any:
        self.reads += 1
        return super().get_state()


def test_a_draw_reads_one_state_and_the_global_ones_only_where_they_draw(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States are kept on the host, so that this waits for no card; what is not needed is not read all the same."""
    read: list[str] = []
    original = device.rng_state

    def counting() -> str:
        read.append("all")
        return original()

    monkeypatch.setattr(device, "rng_state", counting)
    counted = Counted()
    drawn_by(lambda: [drawn_from(counted) for _ in range(5)], device)
    assert (counted.reads, len(read)) == (5, 2), "the global ones before the first draw and after the last"
    read.clear()
    drawn_by(lambda: [torch.randn(4) for _ in range(5)], device)
    assert len(read) == 2 + 2 * 5, "and on both sides of each draw of their own, to tell it from a hidden one"


# --- whose generator drew --------------------------------------------------------------------------------------------

GIVEN, GLOBAL, OTHER = DrawnFrom.GIVEN, DrawnFrom.GLOBAL, DrawnFrom.OTHER
ORIGINS: dict[str, tuple[Callable[[Any], Any], list[DrawnFrom]]] = {
    "the given one": (drawn_from, [GIVEN]),
    "the given one in a list": (lambda given: randn_tensor((1, 4), generator=[given]), [GIVEN]),
    "none": (lambda _: torch.randn(4), [GLOBAL]),
    "the global one by its name": (lambda _: drawn_from(torch.default_generator), [GLOBAL]),
    "the like of another": (lambda _: torch.randn_like(torch.zeros(4)), [GLOBAL]),
    "one of its own": (lambda _: drawn_from(own()), [OTHER]),
    "a copy": (lambda given: drawn_from(given.clone_state()), [OTHER]),
    "several": (lambda given: [drawn_from(given), torch.zeros(4).normal_(), drawn_from(own())], [GIVEN, GLOBAL, OTHER]),
}


@pytest.mark.parametrize("mode", [PORTABLE, DEVICE, TORCH_CPU])
@pytest.mark.parametrize("way", ORIGINS)
def test_a_draw_says_whose_generator_drew(way: str, mode: NoiseMode, device: Device) -> None:
    draw, expected = ORIGINS[way]
    given_one = own()
    with watched_draws(mode, SEED, device) as log:
        log.give(given_one)
        draw(given_one)
    assert [draw.drawn_from for draw in log.draws] == expected


def test_where_no_generator_was_given_none_is_passed_over(device: Device) -> None:
    _, log = drawn_by(lambda: [torch.randn(4), drawn_from(own())], device)
    assert [draw.drawn_from for draw in log.draws] == [None, None]


# --- portable: diffusers ---------------------------------------------------------------------------------------------


def randn_tensor(*words: Any, **options: Any) -> Any:
    return diffusers.utils.torch_utils.randn_tensor(*words, **options)


@pytest.mark.parametrize("generators", ["none", "one", "a list of one"])
def test_diffusers_draws_a_batch_at_once(generators: str, device: Device) -> None:
    own = torch.Generator().manual_seed(7)
    given = {"none": None, "one": own, "a list of one": [own]}[generators]
    result, log = drawn_by(lambda: randn_tensor((2, 4, 8, 8), generator=given, dtype=torch.bfloat16), device)
    assert torch.equal(result, noise(0, 2, 4, 8, 8).to(torch.bfloat16))
    assert len(log.draws) == 1


def test_diffusers_draws_once_for_each_generator_of_a_list(device: Device) -> None:
    given = [torch.Generator().manual_seed(seed) for seed in (7, 8)]
    result, log = drawn_by(lambda: randn_tensor((2, 4, 8, 8), generator=given), device)
    assert torch.equal(result, torch.cat([noise(0, 1, 4, 8, 8), noise(1, 1, 4, 8, 8)]))
    assert [draw.shape for draw in log.draws] == [[1, 4, 8, 8], [1, 4, 8, 8]]


def test_the_posterior_of_an_autoencoder_is_sampled_with_portable_noise(device: Device) -> None:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    parameters = torch.arange(2 * 8 * 4, dtype=torch.float32).reshape(1, 8, 4, 2) / 32 - 1
    posterior = DiagonalGaussianDistribution(parameters)
    result, log = drawn_by(posterior.sample, device)
    assert torch.equal(result, posterior.mean + posterior.std * noise(0, 1, 4, 4, 2))
    assert [draw.shape for draw in log.draws] == [[1, 4, 4, 2]]


# --- device: nothing changes -----------------------------------------------------------------------------------------


def every_kind_of_draw(own: Any) -> list[Any]:
    return [
        torch.randn(4),
        torch.randn((2, 2), generator=own),
        torch.randn(size=(3,), dtype=torch.float64),
        torch.randn_like(torch.zeros(2, 3)),
        torch.zeros(5, dtype=torch.bfloat16).normal_(1.0, 2.0, generator=own),
        randn_tensor((2, 4), generator=[own, own]),
        torch.randn(3, out=torch.zeros(3)),
        torch.rand(2),
        torch.nn.functional.dropout(torch.ones(8)),
    ]


def test_in_device_mode_values_and_generators_are_those_of_an_unwatched_run(device: Device) -> None:
    own = torch.Generator()

    def seeded() -> list[Any]:
        device.seed(SEED)
        own.manual_seed(SEED)
        return every_kind_of_draw(own)

    plain = seeded()
    plain_states = every_state(own)
    watched, log = drawn_by(seeded, device, DEVICE)
    assert every_state(own) == plain_states
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))
    assert [(one.dtype, one.stride()) for one in plain] == [(one.dtype, one.stride()) for one in watched]
    assert {draw.source for draw in log.draws} == {DEVICE}


def test_in_device_mode_the_digests_are_those_of_the_values(device: Device) -> None:
    result, log = drawn_by(lambda: [torch.randn(4), torch.zeros(3, dtype=torch.bfloat16).normal_(2.0)], device, DEVICE)
    expected = [noise_digest(part.to(torch.float32).numpy()) for part in result]
    assert [draw.digest for draw in log.draws] == expected
    assert [draw.dtype for draw in log.draws] == ["float32", "bfloat16"]
    assert log.hidden == []


def test_in_device_mode_another_seed_gives_another_digest(device: Device) -> None:
    digests = []
    for seed in (1, 1, 2):
        device.seed(seed)
        digests.append(drawn_by(lambda: torch.randn(4), device, DEVICE)[1].digest)
    assert digests[0] == digests[1] != digests[2]


# --- hidden draws ----------------------------------------------------------------------------------------------------

MOVED = "a global generator moved without a logged draw"
NAMED = {
    "torch.rand was called": lambda: torch.rand(2),
    "torch.rand_like was called": lambda: torch.rand_like(torch.zeros(2)),
    "torch.randint was called": lambda: torch.randint(0, 9, (2,)),
    "torch.randint_like was called": lambda: torch.randint_like(torch.zeros(2), 9),
    "torch.randperm was called": lambda: torch.randperm(4),
    "torch.normal was called": lambda: torch.normal(0.0, 1.0, (2,)),
    "torch.bernoulli was called": lambda: torch.bernoulli(torch.full((2,), 0.5)),
    "torch.multinomial was called": lambda: torch.multinomial(torch.ones(3), 1),
    "torch.poisson was called": lambda: torch.poisson(torch.ones(3)),
    "torch.binomial was called": lambda: torch.binomial(torch.ones(3), torch.full((3,), 0.5)),
    "Tensor.bernoulli was called": lambda: torch.full((2,), 0.5).bernoulli(),
    "Tensor.bernoulli_ was called": lambda: torch.zeros(2).bernoulli_(0.5),
    "Tensor.cauchy_ was called": lambda: torch.zeros(2).cauchy_(),
    "Tensor.exponential_ was called": lambda: torch.nn.functional.gumbel_softmax(torch.zeros(2)),
    "Tensor.geometric_ was called": lambda: torch.zeros(2).geometric_(0.5),
    "Tensor.log_normal_ was called": lambda: torch.zeros(2).log_normal_(),
    "Tensor.multinomial was called": lambda: torch.ones(3).multinomial(1),
    "Tensor.random_ was called": lambda: torch.zeros(2).random_(),
    "Tensor.uniform_ was called": lambda: torch.zeros(2).uniform_(),
}


@pytest.mark.parametrize("mode", NoiseMode)
@pytest.mark.parametrize("sign", NAMED)
def test_a_draw_that_is_not_controlled_is_named(sign: str, mode: NoiseMode, device: Device) -> None:
    _, log = drawn_by(NAMED[sign], device, mode)
    assert log.hidden == [sign]
    assert log.draws == []


@pytest.mark.parametrize(
    "name", ["rand", "randint", "bernoulli", "multinomial", "poisson", "cauchy_", "log_normal_", "geometric_"]
)
def test_a_generator_of_its_own_hides_no_uncontrolled_draw(name: str, device: Device) -> None:
    own = torch.Generator().manual_seed(SEED)
    draw = {
        "rand": lambda: torch.rand(2, generator=own),
        "randint": lambda: torch.randint(0, 9, (2,), generator=own),
        "bernoulli": lambda: torch.full((2,), 0.5).bernoulli(generator=own),
        "multinomial": lambda: torch.ones(3).multinomial(1, generator=own),
        "poisson": lambda: torch.poisson(torch.ones(2), generator=own),
        "cauchy_": lambda: torch.zeros(2).cauchy_(generator=own),
        "log_normal_": lambda: torch.zeros(2).log_normal_(generator=own),
        "geometric_": lambda: torch.zeros(2).geometric_(0.5, generator=own),
    }[name]
    _, log = drawn_by(draw, device)
    assert [name in sign for sign in log.hidden] == [True]


UNNAMED: dict[str, Callable[[], Any]] = {
    "dropout": lambda: torch.nn.functional.dropout(torch.ones(8)),
    "NumPy's global generator": np.random.rand,
    "Python's global generator": random.random,
    "a function that was taken out of torch before": partial(torch.randn, 2),
}


@pytest.mark.parametrize("mode", NoiseMode)
@pytest.mark.parametrize("kind", UNNAMED)
def test_a_generator_that_moves_without_a_logged_draw_is_seen(kind: str, mode: NoiseMode, device: Device) -> None:
    _, log = drawn_by(UNNAMED[kind], device, mode)
    assert log.hidden == [MOVED]
    assert log.draws == []


@pytest.mark.parametrize("mode", NoiseMode)
@pytest.mark.parametrize("kind", UNNAMED)
@pytest.mark.parametrize("order", ["before", "between", "after"])
def test_no_logged_or_named_draw_covers_a_hidden_one(order: str, kind: str, mode: NoiseMode, device: Device) -> None:
    calls: list[Callable[[], Any]] = [lambda: torch.randn(2), lambda: torch.rand(2), lambda: torch.randn(2)]
    calls.insert({"before": 0, "between": 2, "after": 3}[order], UNNAMED[kind])
    _, log = drawn_by(lambda: [call() for call in calls], device, mode)
    assert sorted(log.hidden) == [MOVED, "torch.rand was called"]
    assert len(log.draws) == 2


def test_a_sign_is_noted_once(device: Device) -> None:
    _, log = drawn_by(lambda: [torch.rand(1) for _ in range(3)], device)
    assert log.hidden == ["torch.rand was called"]


@pytest.mark.parametrize("mode", NoiseMode)
def test_without_a_draw_the_log_is_empty(mode: NoiseMode, device: Device) -> None:
    _, log = drawn_by(lambda: torch.zeros(3).add_(1), device, mode)
    assert (log.draws, log.values, log.hidden) == ([], {}, [])


def seeded_everywhere(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that pipelines share
    torch.manual_seed(seed)


SEEDINGS: dict[str, Callable[[], Any]] = {
    "with the same seed": lambda: torch.manual_seed(SEED),
    "with another seed": lambda: torch.manual_seed(SEED + 1),
    "by its own method": lambda: torch.default_generator.manual_seed(SEED),
    "by its name in a module": lambda: torch.random.manual_seed(SEED + 1),
    "by a state": lambda: torch.set_rng_state(own(9).get_state()),
    "everywhere": partial(seeded_everywhere, 9),
}


@pytest.mark.parametrize("mode", [PORTABLE, DEVICE])
@pytest.mark.parametrize("way", SEEDINGS)
@pytest.mark.parametrize("hidden", [None, "before", "after"])
def test_a_global_generator_that_is_seeded_is_no_hidden_draw_and_covers_none(
    way: str, hidden: str | None, mode: NoiseMode, device: Device
) -> None:
    calls: list[Callable[[], Any]] = [lambda: torch.randn(40), SEEDINGS[way], lambda: torch.randn(40)]
    if hidden is not None:
        calls.insert(1 if hidden == "before" else 2, UNNAMED["dropout"])
    # The methods of torch's generators cannot be replaced, so nobody looks before these seed.
    missed = (hidden, way) == ("before", "by its own method")
    device.seed(SEED)
    _, log = drawn_by(lambda: [call() for call in calls], device, mode)
    assert log.hidden == ([MOVED] if hidden and not missed else [])
    assert len(log.draws) == 2


@pytest.mark.parametrize("mode", [PORTABLE, DEVICE])
def test_a_generator_that_is_seeded_by_chance_is_named(mode: NoiseMode, device: Device) -> None:
    _, log = drawn_by(lambda: (torch.seed(), torch.randn(4)), device, mode)
    assert log.hidden == [MOVED]


# --- the stream of torch's CPU generator -----------------------------------------------------------------------------

KINDS: dict[str, Callable[[], Any]] = {
    "float32": lambda: torch.randn(4, 16, generator=own(3)),
    "bfloat16": lambda: torch.randn(4, 16, generator=own(3), dtype=torch.bfloat16),
    "float64": lambda: torch.randn(40, generator=own(3), dtype=torch.float64),
    "with a mean": lambda: torch.zeros(5).normal_(3.0, 2.0, generator=own(3)),
    "global": lambda: torch.randn(7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_cpu_its_own_stream_is_what_the_pipeline_gets(kind: str, device: Device) -> None:
    device.seed(SEED)
    unwatched = KINDS[kind]()
    device.seed(SEED)
    watched, log = drawn_by(KINDS[kind], device, TORCH_CPU)
    assert watched.dtype == unwatched.dtype
    assert torch.equal(watched, unwatched)
    assert [draw.source for draw in log.draws] == [TORCH_CPU]
    assert log.digest != drawn_by(KINDS[kind], device, PORTABLE)[1].digest


def streamed(streams: CpuStreams, before: str, after: str, seed: int, like: Any) -> Any:
    """What takes the place of a draw of a device's generator, whose states have these names."""
    values, state = streams.draw(like, lambda tensor, stream: tensor.normal_(generator=stream), own(seed), before)
    streams.reach(after, state)
    return values


def test_a_stream_begins_with_the_seed_and_goes_on_from_state_to_state() -> None:
    streams, whole, shape = CpuStreams(), own(5), torch.empty(4, 16)
    first, second = (torch.randn(4, 16, generator=whole) for _ in range(2))
    assert torch.equal(streamed(streams, "a", "b", 5, shape), first)
    assert torch.equal(streamed(streams, "b", "c", 5, shape), second)
    assert torch.equal(streamed(streams, "a", "b", 5, shape), first), "seeded again, it gives again what it gave"
    assert not torch.equal(streamed(streams, "other", "d", 6, shape), first)


def test_a_stream_depends_on_the_type_and_order_of_the_numbers_as_torch_does() -> None:
    image_order = torch.empty(1, 4, 8, 8, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    expected = torch.empty_like(image_order).normal_(generator=own(5))
    assert torch.equal(streamed(CpuStreams(), "a", "b", 5, image_order), expected)
    assert not torch.equal(streamed(CpuStreams(), "a", "b", 5, image_order.contiguous()), expected)


@pytest.mark.parametrize("noise", NoiseMode)
def test_the_record_says_what_the_stream_depends_on(noise: NoiseMode) -> None:
    notes = noise_notes(noise)
    assert len(notes) == (noise is TORCH_CPU)
    assert all(torch.__version__ in note and torch.backends.cpu.get_cpu_capability() in note for note in notes)


# --- afterwards ------------------------------------------------------------------------------------------------------


def torch_as_it_is() -> list[dict[str, Any]]:
    return [dict(vars(owner)) for owner in (torch, torch.Tensor, torch.random, np.random, random)]


def test_afterwards_torch_is_as_it_was(device: Device) -> None:
    before = torch_as_it_is()
    with watched_draws(PORTABLE, SEED, device):
        assert torch_as_it_is() != before
        assert torch.randn.__name__ == "randn"
    assert torch_as_it_is() == before


def test_an_exception_passes_and_torch_is_as_it_was(device: Device) -> None:
    before = torch_as_it_is()
    with pytest.raises(ZeroDivisionError):
        drawn_by(lambda: torch.randn(1 // 0), device)
    assert torch_as_it_is() == before


def test_a_device_that_fails_leaves_torch_as_it_was(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> str:
        raise RuntimeError("the device was lost")

    before = torch_as_it_is()
    monkeypatch.setattr(device, "rng_state", lost)
    with pytest.raises(RuntimeError, match="was lost"), watched_draws(PORTABLE, SEED, device):
        pytest.fail("never gets here")
    assert torch_as_it_is() == before


def test_a_watch_inside_a_watch_has_its_own_streams_and_leaves_the_outer_one_in_force(device: Device) -> None:
    before = torch_as_it_is()
    with watched_draws(PORTABLE, SEED, device) as outer:
        first = torch.randn(2)
        with watched_draws(PORTABLE, SEED + 1, device) as inner:
            within = torch.randn(2)
        second = torch.randn(2)
    assert torch.equal(first, noise(0, 2))
    assert torch.equal(second, noise(1, 2))
    assert within.tolist() == portable_noise(SEED + 1, 0, [2]).tolist()
    assert (len(outer.draws), len(inner.draws)) == (2, 1)
    assert (outer.hidden, inner.hidden) == ([MOVED], []), "the outer one has not logged what the inner one drew"
    assert torch_as_it_is() == before


# --- noise of a baseline ---------------------------------------------------------------------------------------------


def drawn_before(draw: Callable[[], Any], device: Device, mode: NoiseMode) -> tuple[Any, Given]:
    """What a draw gave, and the log of it as a baseline keeps it."""
    result, log = drawn_by(draw, device, mode)
    return result, [(each, log.values[f"noise.{number}"]) for number, each in enumerate(log.draws)]


def two_draws() -> Any:
    return torch.cat([torch.randn(2, 3).flatten(), torch.empty(4).normal_(mean=5.0, std=2.0)])


@pytest.mark.parametrize("mode", [PORTABLE, DEVICE, TORCH_CPU])
def test_the_noise_of_a_baseline_is_given_again_bit_for_bit(mode: NoiseMode, device: Device) -> None:
    torch.manual_seed(7)
    before, given = drawn_before(two_draws, device, mode)
    states = every_state()
    torch.manual_seed(7)
    with watched_draws(NoiseMode.BASELINE, SEED + 1, device, given) as log:
        again = two_draws()
    assert torch.equal(before, again)
    assert [draw.digest for draw in log.draws] == [draw.digest for draw, _ in given]
    assert [draw.source for draw in log.draws] == [mode, mode], "it stays known whose numbers these are"
    assert every_state() == states, "generators move as they did then"
    assert log.hidden == []


def test_the_noise_of_a_baseline_is_rounded_to_the_type_that_is_asked_for(device: Device) -> None:
    before, given = drawn_before(lambda: torch.randn(8), device, DEVICE)
    with watched_draws(NoiseMode.BASELINE, SEED, device, given) as log:
        again = torch.randn(8, dtype=torch.bfloat16)
    assert torch.equal(again, before.to(torch.bfloat16))
    assert log.draws[0].digest == given[0][0].digest


def test_a_draw_that_the_baseline_does_not_have_is_an_error(device: Device) -> None:
    _, given = drawn_before(lambda: torch.randn(2, 3), device, PORTABLE)
    with watched_draws(NoiseMode.BASELINE, SEED, device, given):
        torch.randn(2, 3)
        with pytest.raises(RunError, match="draws noise 2 times, and the baseline holds 1 draws"):
            torch.randn(2, 3)


def test_a_draw_of_another_shape_is_an_error(device: Device) -> None:
    _, given = drawn_before(lambda: torch.randn(2, 3), device, PORTABLE)
    with (
        watched_draws(NoiseMode.BASELINE, SEED, device, given),
        pytest.raises(RunError, match=r"draw 0 asks for noise of the shape \[3, 2\], and the baseline holds \[2, 3\]"),
    ):
        torch.randn(3, 2)
