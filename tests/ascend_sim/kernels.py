"""Kernels for the simulated card: torch_npu's own for everything but the values, the CPU's for those.

A card's memory is host memory, so the CPU's kernel can work on the same bytes. For each operator, a `CardKernel`

1. runs torch_npu's own kernel with launches that do nothing: its checks and their texts, its result's shapes, dtypes
   and strides, its temporaries in the caching allocator, its choice of inner operators;
2. computes on CPU aliases of the arguments, with the rounding and the faults that `rules` holds;
3. writes the values into what step 1 returned, or into the arguments that the operator changes.

Operators called by torch_npu's own kernel inside step 1 only check and allocate.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import warnings
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch_npu

from tests.ascend_sim import fused, rules
from tests.ascend_sim.cards import preload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.ascend_sim.rules import Arguments

counts: Counter[str] = Counter()
"""How often each operator, overload included, ran on a simulated card."""
disagreements: Counter[tuple[str, str]] = Counter()
"""Where torch_npu's own kernel and the CPU differ on a result's shape or dtype, and how often."""

CPU = torch.device("cpu")
CARD = "npu"
CURRENT_CARD = torch.device(CARD)

LEFT_TO_TORCH_NPU = frozenset(
    {
        # factories and views launch nothing
        "aten::empty.memory_format",
        "aten::empty_strided",
        "aten::empty_like",
        "aten::new_empty_strided",
        "aten::as_strided",
        "aten::as_strided_",
        "aten::view",
        "aten::_reshape_alias",
        "aten::unfold",
        "aten::view_as_real",
        "aten::view_as_complex",
        "aten::squeeze",
        "aten::squeeze.dim",
        "aten::unsqueeze",
        "aten::resize_",
        "aten::resize_as_",
        "aten::set_",
        "aten::set_.source_Storage",
        "aten::set_.source_Storage_storage_offset",
        "aten::set_.source_Tensor",
        "aten::is_set_to",
        "aten::record_stream",
        "aten::is_pinned",
        "aten::_pin_memory",
        "aten::_local_scalar_dense",
        "aten::empty_with_format",
        "aten::unsafe_empty_with_format",
        "aten::empty_with_swapped_memory",
        "npu::empty_with_format",
        "npu::unsafe_empty_with_format",
        "npu::empty_with_swapped_memory",
        # these choose what a card would run, and call it
        "aten::scaled_dot_product_attention",
        "aten::_fused_sdp_choice",
        # these allocate and call copy_
        "aten::_copy_from_and_resize",
        "aten::_to_copy",
        "aten::clone",
        "aten::contiguous",
    }
)
READS_ITS_OWN_RESULTS = (
    "aten::normal.",
    "aten::_to_sparse",
    "aten::repeat_interleave.self_Tensor",
    "aten::repeat_interleave.Tensor",
    # a mask among the indices is first turned into places
    "aten::index_put",
    "aten::_index_put_impl_",
    "aten::index.Tensor",
)
"""Prefixes of operators whose own kernel reads values that nothing has computed in step 1: they start at step 2."""
SIZED_BY_VALUES = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
"""Tags of operators whose result has a size that only the values tell: they too start at step 2."""
MIXES_DEVICES = frozenset(
    {"copy_", "_to_copy", "_copy_from", "index_put_", "_index_put_impl_", "index", "set_", "_foreach_copy_"}
)
DRAWS = ("dropout", "bernoulli", "multinomial", "rand", "normal", "uniform", "exponential", "rrelu", "poisson")
"""Parts of the names of operators that draw from the card's generator without being given one."""
PHILOX_STEP = 12
"""By how much an operator moves the generator's offset: 10 per call on an A2 card, rounded up to a multiple of 4."""

own_kernel_runs = threading.local()
runtime = preload()
hollow = runtime.ascend_sim_hollow
construct_storage = torch._C._construct_storage_from_data_pointer


# --- memory ----------------------------------------------------------------------------------------------------------


def alias(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor over the bytes of a simulated card's tensor, with its shape, strides, conjugation and sign bit."""
    if tensor.numel() == 0:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    storage = tensor.untyped_storage()
    bytes_ = construct_storage(storage.data_ptr(), CPU, storage.nbytes())
    view = torch.empty(0, dtype=tensor.dtype).set_(bytes_, tensor.storage_offset(), tensor.shape, tensor.stride())
    if tensor.is_conj():
        view = view.conj()
    return torch._neg_view(view) if tensor.is_neg() else view


def to_card(values: torch.Tensor, card: torch.device) -> torch.Tensor:
    """A new contiguous tensor on the card, as torch_npu's kernels allocate their results.

    Raises:
        NotImplementedError: The values are sparse.
    """
    if values.layout is not torch.strided:
        raise NotImplementedError(
            f"ascend_sim: a {values.layout} result cannot be put on a simulated card; give the test a dense one"
        )
    values = values.contiguous()
    made = torch.empty_strided(values.shape, values.stride(), dtype=values.dtype, device=card)
    if values.numel():
        ctypes.memmove(made.data_ptr(), values.data_ptr(), values.numel() * values.element_size())
    return made


def write(target: torch.Tensor, values: torch.Tensor) -> None:
    """Put values into a tensor of a card, resized to their shape as ``out=`` tensors are."""
    if target.shape != values.shape:
        target.resize_(values.shape)
    if target.numel():
        alias(target).copy_(values)


def as_view_or_copy(values: torch.Tensor, card: torch.device, source: Any) -> torch.Tensor:
    """The card's view of ``source`` that corresponds to a CPU view of its alias; a copy where it is not a view."""
    if isinstance(source, torch.Tensor) and values.numel():
        storage = source.untyped_storage()
        if values.untyped_storage().data_ptr() == storage.data_ptr():
            return source.as_strided(values.shape, values.stride(), values.storage_offset())
    return to_card(values, card)


def ask_the_card(what: str, card: torch.device) -> None:
    """Count a launch that torch_npu's own kernel does not make; a lost card fails in torch_npu's words."""
    if runtime.ascend_sim_launch(what.encode(), card.index):
        torch_npu.npu.synchronize(card)


# --- random numbers --------------------------------------------------------------------------------------------------


class Draw:
    """One draw from a card's generator: a CPU generator that the seed and the offset decide.

    The numbers repeat as a card's do, and are deliberately neither the CPU's for that seed nor a card's.
    """

    def __init__(self, generator: torch.Generator | None, card: torch.device) -> None:
        if generator is None:
            generator = torch_npu.npu.default_generators[card.index or 0]
        if generator.device.type != CARD:
            raise RuntimeError(f"Expected a 'npu' device type for generator but found '{generator.device.type}'")
        self.generator: Any = generator
        self.offset: int = self.generator.get_offset()
        mixed = generator.initial_seed() * 0x9E3779B97F4A7C15 + self.offset * 0xD1B54A32D192ED03 + 1
        self.seed = mixed % (1 << 63)

    def advance(self) -> None:
        """Move the offset on, unless torch_npu's own kernel has."""
        if self.generator.get_offset() == self.offset:
            self.generator.set_offset(self.offset + PHILOX_STEP)


# --- operators -------------------------------------------------------------------------------------------------------


class CardKernel:
    """The kernel of one operator.

    Args:
        name: Full name, such as ``aten::add.Tensor``.
        operator: Its overload.
        values: The values of a fused operator, from its arguments by name; None for the CPU's own kernel.
    """

    def __init__(
        self, name: str, operator: torch._ops.OpOverload[Any, Any], values: Callable[[Arguments], Any] | None
    ) -> None:
        schema = operator._schema
        self.name = name
        self.base = schema.name
        self.operator = operator
        self.fused = values is not None
        self.compute = values or self.call_cpu
        starts_with_values = SIZED_BY_VALUES & set(operator.tags) or name.startswith(READS_ITS_OWN_RESULTS)
        self.own = None if starts_with_values else torch.library.get_kernel(operator, "PrivateUse1")

        arguments = schema.arguments
        short = self.base.split("::")[1]
        self.names = [a.name for a in arguments]
        self.positional = [a.name for a in arguments if not a.kwarg_only]
        self.defaults: dict[str, Any] = {a.name: a.default_value for a in arguments if a.has_default_value()}
        self.tensor_positions = frozenset(
            i for i, a in enumerate(arguments) if str(a.type) in {"Tensor", "Optional[Tensor]"}
        )
        self.required = [a.name for a in arguments if str(a.type) == "Tensor"] if values else []
        self.check = fused.CHECKS.get(short) if values else None
        self.out = frozenset(a.name for a in arguments if a.is_out)
        self.changed = frozenset(a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write)
        self.generator = next((a.name for a in arguments if "Generator" in str(a.type)), None)
        self.draws = self.generator is not None or (
            any(word in short for word in DRAWS) and "backward" not in short and values is None
        )
        self.takes_device = "device" in self.names
        self.mixes_devices = short in MIXES_DEVICES
        self.returns = [self.origin(r) for r in schema.returns]
        self.changed_only = self.changed - {source for kind, source in self.returns if kind == "argument"}

    def origin(self, result: torch._C.Argument) -> tuple[str, str | None]:
        """Whether a result is ``new``, a ``view`` of an argument, or an ``argument`` itself, and which one."""
        marks = result.alias_info
        if marks is None:
            return "new", None
        source = next(
            (
                a.name
                for a in self.operator._schema.arguments
                if a.alias_info is not None and a.alias_info.before_set == marks.before_set
            ),
            None,
        )
        return ("argument" if marks.is_write else "view"), source

    def run(self, keys: Any, *args: Any, **kwargs: Any) -> Any:
        """What the dispatcher calls."""
        if self.own is not None and getattr(own_kernel_runs, "here", False):
            return self.own.call_boxed(keys, *self.with_tensors(args), **kwargs)
        counts[self.name] += 1
        given = dict(zip(self.names, args, strict=False))
        given.update(kwargs)
        self.refuse(given)
        arguments, card = self.lend(given)
        if card == CURRENT_CARD:
            card = torch.device(CARD, torch_npu.npu.current_device())
        draw = Draw(given.get(self.generator) if self.generator else None, card) if self.draws else None
        if self.own is None:
            made = None
            ask_the_card(self.base, card)
        else:
            made = self.run_own(keys, args, kwargs)
        result = self.values(arguments, draw)
        if self.changed_only:
            self.write_arguments(given, arguments)
        if len(self.returns) == 1:
            return self.settle(self.returns[0], made, result, given, card)
        if not self.returns:
            return None
        parts = made if made is not None else [None] * len(self.returns)
        return tuple(
            self.settle(origin, part, value, given, card)
            for origin, part, value in zip(self.returns, parts, result, strict=True)
        )

    def refuse(self, given: Arguments) -> None:
        """Stop at what a card's fused operator does not take."""
        for name in self.required:
            if given.get(name) is None:
                raise RuntimeError(f"ascend_sim: {self.name} got no tensor as {name!r}, which its schema asks for")
        if self.check is not None:
            self.check({**self.defaults, **given})

    # --- step 1

    def with_tensors(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Positional arguments for a boxed call: a number that stands for a tensor (``x + 1``) becomes one."""
        for i, value in enumerate(args):
            if i in self.tensor_positions and isinstance(value, (int, float, complex)):
                dtype = NUMBERS[type(value)]
                args = (*args[:i], torch.scalar_tensor(value, dtype=dtype), *args[i + 1 :])
        return args

    def run_own(self, keys: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """torch_npu's own kernel, with launches that do nothing."""
        assert self.own is not None
        own_kernel_runs.here = True
        hollow(1)
        try:
            return self.own.call_boxed(keys, *self.with_tensors(args), **kwargs)
        finally:
            hollow(-1)
            own_kernel_runs.here = False

    # --- step 2

    def lend(self, given: dict[str, Any]) -> tuple[dict[str, Any], torch.device]:
        """The arguments on the CPU, and the card that the operator runs on."""
        devices: list[torch.device] = []
        lent: dict[str, Any] = {}
        for name, value in given.items():
            if name in self.out and isinstance(value, torch.Tensor):
                devices.append(value.device)
                # An alias cannot be resized, as the CPU's kernel may want to do with what it writes.
                lent[name] = torch.empty(0, dtype=value.dtype)
            else:
                # Step 1 runs before the CPU's kernel; a changed argument is written once, at the end.
                lent[name] = self.on_cpu(value, devices, copied=name in self.changed and self.own is not None)
        cards = [device for device in devices if device.type == CARD]
        card = cards[0] if cards else CURRENT_CARD
        if self.takes_device and isinstance(device := given.get("device"), torch.device) and device.type == CARD:
            card = device
            lent["device"] = CPU
        if lent.get("pin_memory"):
            lent["pin_memory"] = False
        self.refuse_mixed(devices)
        return lent, card

    def on_cpu(self, value: Any, devices: list[torch.device], *, copied: bool) -> Any:
        """An argument for the CPU's kernel; notes the devices of the tensors in it."""
        if isinstance(value, torch.Tensor):
            device = value.device
            if device.type == CARD:
                if device not in devices:
                    devices.append(device)
                view = alias(value)
                return view.clone() if copied else view
            if value.dim() and value.numel() and device not in devices:
                devices.append(device)
            return value
        if isinstance(value, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in value):
            return [self.on_cpu(item, devices, copied=copied) for item in value]
        return value

    def refuse_mixed(self, devices: list[torch.device]) -> None:
        """Stop at tensors on several devices, where torch_npu's own kernel does not look."""
        if self.mixes_devices or len(different := set(devices)) < 2:
            return
        if self.own is None or CPU not in different:
            raise RuntimeError(
                "Expected all tensors to be on the same device. Expected NPU tensor, please check whether the input "
                f"tensor device is correct. (ascend_sim: {self.name} got {sorted(map(str, different))})"
            )

    def values(self, arguments: dict[str, Any], draw: Draw | None) -> Any:
        """The operator's values, on the CPU."""
        if draw is None:
            return self.by_rule(arguments)
        draw.advance()
        if self.generator is not None:
            return self.by_rule({**arguments, self.generator: torch.Generator().manual_seed(draw.seed)})
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw.seed)
            return self.by_rule(arguments)

    def by_rule(self, arguments: dict[str, Any]) -> Any:
        """The values, changed by the rule in force for the operator."""
        rule = rules.active.get(self.base)
        if rule is None and not self.fused:
            return self.call_cpu(arguments)
        complete = {**self.defaults, **arguments}
        return self.compute(complete) if rule is None else rule(self.compute, complete)

    def call_cpu(self, arguments: Arguments) -> Any:
        """The CPU's own kernel."""
        positional = []
        for name in self.positional:
            if name not in arguments:
                break
            positional.append(arguments[name])
        if len(positional) == len(arguments):
            return self.operator(*positional)
        taken = self.positional[: len(positional)]
        return self.operator(*positional, **{k: v for k, v in arguments.items() if k not in taken})

    # --- step 3

    def write_arguments(self, given: Arguments, arguments: Arguments) -> None:
        """Write what the CPU's kernel changed in arguments that it does not return, such as running statistics."""
        for name in self.changed_only:
            target: Any = given.get(name)
            values: Any = arguments.get(name)
            pairs = zip(target, values, strict=True) if isinstance(target, (list, tuple)) else [(target, values)]
            for one, value in pairs:
                if isinstance(one, torch.Tensor) and one.device.type == CARD:
                    write(one, value)

    def settle(
        self, origin: tuple[str, str | None], made: Any, value: Any, given: Arguments, card: torch.device
    ) -> Any:
        """What the caller gets for one result: step 1's tensor with the values in it, wherever it has their shape."""
        kind, source = origin
        if kind == "argument":
            return self.settle_argument(given[str(source)], value)
        if isinstance(value, (list, tuple)):
            parts = made if isinstance(made, (list, tuple)) and len(made) == len(value) else [None] * len(value)
            if made is not None and parts is not made:
                disagreements[self.name, "number of results"] += 1
            return [self.settle(origin, part, one, given, card) for part, one in zip(parts, value, strict=True)]
        if not isinstance(value, torch.Tensor):
            return value
        if kind == "view" and source is not None:
            return as_view_or_copy(value, card, given.get(source))
        return self.settle_new(made, value, card)

    def settle_new(self, made: Any, value: torch.Tensor, card: torch.device) -> torch.Tensor:
        """Write the values into step 1's tensor; make one where there is none of their shape."""
        if isinstance(made, torch.Tensor) and made.device.type != CARD:
            return value  # torch_npu gives this result on the host
        if not isinstance(made, torch.Tensor) or made.shape != value.shape:
            if isinstance(made, torch.Tensor):
                disagreements[self.name, f"shape {tuple(made.shape)}, on CPU {tuple(value.shape)}"] += 1
            return to_card(value, card)
        if made.dtype != value.dtype:
            disagreements[self.name, f"dtype {made.dtype}, on CPU {value.dtype}"] += 1
        write(made, value)
        return made

    def settle_argument(self, target: Any, value: Any) -> Any:
        """Write the values into the argument that the operator returns; without step 1 the CPU's kernel has."""
        targets = target if isinstance(target, (list, tuple)) else [target]
        values = value if isinstance(value, (list, tuple)) else [value]
        for one, new in zip(targets, values, strict=True):
            if isinstance(one, torch.Tensor) and isinstance(new, torch.Tensor) and one.device.type == CARD:
                write(one, new)
        return target


NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float32, complex: torch.complex64}


# --- copies ----------------------------------------------------------------------------------------------------------


@cache
def own_copy() -> Any:
    """torch_npu's own ``copy_``."""
    return torch.library.get_kernel("aten::copy_", "PrivateUse1")


def copy_(keys: Any, target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> Any:  # noqa: FBT001, FBT002 - the operator's schema
    """torch_npu's own copy where it is a plain one between host and card; the CPU's between strides, dtypes, cards.

    So pinned memory, streams and synchronisation stay torch_npu's, and what needs a kernel on a card gets values.
    """
    if getattr(own_kernel_runs, "here", False):
        return own_copy().call_boxed(keys, target, source, non_blocking)
    counts["aten::copy_"] += 1
    to_the_card, from_the_card = target.device.type == CARD, source.device.type == CARD
    plain = (
        to_the_card != from_the_card
        and target.dtype == source.dtype
        and target.shape == source.shape
        and target.is_contiguous()
        and source.is_contiguous()
        and target.is_conj() == source.is_conj()
        and target.is_neg() == source.is_neg()
    )
    if plain:
        return own_copy().call_boxed(keys, target, source, non_blocking)
    ask_the_card("aten::copy_", target.device if to_the_card else source.device)
    (alias(target) if to_the_card else target).copy_(alias(source) if from_the_card else source)
    return target


# --- registration ----------------------------------------------------------------------------------------------------


@cache
def install() -> Counter[str]:
    """Register a kernel for every operator that torch_npu registers for the card; a second call does nothing.

    Returns how many operators got which kind of kernel. An operator that got none is refused when it is launched.
    """
    own_copy()  # before it is replaced
    new_library: Any = torch.library.Library
    libraries = {space: new_library(space, "IMPL") for space in ("aten", "npu")}
    kept.append(libraries)
    kinds: Counter[str] = Counter()
    with warnings.catch_warnings():
        # Replacing torch_npu's kernels is the point; torch warns about each of them.
        warnings.simplefilter("ignore")
        for name in torch._C._dispatch_get_registrations_for_dispatch_key("PrivateUse1"):
            kinds[register(libraries, name)] += 1
    return kinds


kept: list[Any] = []
"""Registrations end with the library object."""


def register(libraries: dict[str, Any], name: str) -> str:
    """Register one operator's kernel; returns its kind in words."""
    space, rest = name.split("::")
    base, _, overload = rest.partition(".")
    if space not in libraries:
        return "of another namespace"
    if name in LEFT_TO_TORCH_NPU:
        return "left to torch_npu"
    if name == "aten::copy_":
        libraries[space].impl(rest, copy_, "PrivateUse1", with_keyset=True)
        return "copy"
    operator = getattr(getattr(getattr(torch.ops, space), base, None), overload or "default", None)
    if operator is None:
        return "without a schema"
    values = None
    if space == "npu" or base.startswith(("npu_", "_npu_")):
        values = fused.OPERATORS.get(base) if not overload else None
        if values is None:
            return "fused, refused"
    libraries[space].impl(rest, CardKernel(name, operator, values).run, "PrivateUse1", with_keyset=True)
    return "fused" if values else "the CPU's"


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each operator ran on a simulated card inside the block; complete at its end."""
    before = counts.copy()
    inside: Counter[str] = Counter()
    yield inside
    inside.update(counts - before)
