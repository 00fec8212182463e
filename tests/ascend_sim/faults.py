"""Faults that are put into operators of the simulated card, so that a test can see whether they are found.

``ASCEND_SIM_FAULTS`` names them with commas between: ``fault`` for its usual operators, ``fault@operator`` for one.
Each counts how often it struck, that is, changed what the operator was asked or answered. A process whose faults come
from the variable says so on stderr at its end, once for each fault:
``ascend_sim: fault wrong_eps struck 12 times``.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import itertools
import os
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch.utils import _pytree as pytree

from tests.ascend_sim import rules, values
from tests.ascend_sim.products import PRODUCTS, in_parts, is_rounded, summed_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.ascend_sim.rules import Arguments, Compute, Rule

VARIABLE = "ASCEND_SIM_FAULTS"
WRONG_EPS = 1e-2
FP16_PARTS = 32
"""Into how many parts at most a product is split; the running sum of the parts is a float16."""

strikes: Counter[str] = Counter()
"""How often each fault struck in this process."""
calls = itertools.count(os.getpid())
"""Seeds of `changing_order`, others in each process, so that two processes differ too."""
first_results: dict[Any, Any] = {}
"""What `stale_cache` answers with."""

EPS = {
    "npu::npu_rms_norm": "epsilon",
    "npu::npu_add_rms_norm": "epsilon",
    "npu::npu_gemma_rms_norm": "epsilon",
    "npu::npu_layer_norm_eval": "eps",
    "npu::npu_group_norm_silu": "eps",
    "npu::npu_group_norm_swish": "eps",
    "aten::native_layer_norm": "eps",
    "aten::native_group_norm": "eps",
    "aten::native_batch_norm": "eps",
}
GELU = ("aten::gelu", "npu::npu_geglu", "npu::npu_gelu")
ATTENTION = (
    "npu::npu_fusion_attention",
    "npu::npu_fusion_attention_v3",
    "npu::npu_prompt_flash_attention",
    "npu::npu_fused_infer_attention_score",
)
SOFTMAX = ("aten::_softmax", "aten::softmax")
REORDERED = (*PRODUCTS, "aten::native_layer_norm", *SOFTMAX)


def wrong_eps(operator: str, plain: Compute, given: Arguments) -> Any:
    """A norm's epsilon is 1e-2, whatever it should be."""
    strikes["wrong_eps"] += 1
    return plain({**given, EPS[operator]: WRONG_EPS})


def gelu_form(operator: str, plain: Compute, given: Arguments) -> Any:
    """GELU takes erf's form where a card would take tanh's, and the reverse."""
    strikes["gelu_form"] += 1
    if operator == "npu::npu_geglu":
        return plain({**given, "approximate": 1 - given["approximate"]})
    other = {"none": "tanh", "tanh": "none"}
    if operator == "aten::gelu":
        return F.gelu(given["self"], approximate=other[values.gelu_form(given)])
    return plain({**given, "approximate": other[given["approximate"]]})


def mask_ignored(_operator: str, plain: Compute, given: Arguments) -> Any:
    """Attention sees every key, whatever the mask or the sparse mode hides."""
    if given["atten_mask"] is None and not given["sparse_mode"]:
        return plain(given)
    strikes["mask_ignored"] += 1
    # Sparse mode 1 reads the mask alone: a causal call's band of tokens goes with its mask.
    return plain({**given, "atten_mask": None, "sparse_mode": 1})


def mask_inverted(_operator: str, plain: Compute, given: Arguments) -> Any:
    """Attention sees exactly the keys that the mask hides."""
    if given["atten_mask"] is None or given["sparse_mode"]:
        return plain(given)
    strikes["mask_inverted"] += 1
    return plain({**given, "atten_mask": ~given["atten_mask"].bool()})


def fp16_accumulation(operator: str, plain: Compute, given: Arguments) -> Any:
    """A product's terms are added up in float16, whatever its factors are."""
    product = PRODUCTS[operator]
    if not is_rounded(given, product):
        return plain(given)
    strikes["fp16_accumulation"] += 1

    def in_half(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float16)
        for part in in_parts(left, right, -(-left.shape[-1] // FP16_PARTS)):
            total = (total.float() + part).half()
        return total.float()

    return product.total(given, in_half)


def changing_order(operator: str, plain: Compute, given: Arguments) -> Any:
    """A sum's terms are taken in an order that changes from call to call: the last bits do."""
    strikes["changing_order"] += 1
    if operator in PRODUCTS:
        product = PRODUCTS[operator]
        left, right = given[product.left], given[product.right]
        order = next_order(left.shape[-1])
        axis = -1 if product.transposed else summed_axis(right)
        mixed = {product.left: left.index_select(-1, order), product.right: right.index_select(axis, order)}
        return plain({**given, **mixed})
    axis = given["dim"] if operator in SOFTMAX else -1
    names = ["self"] if operator in SOFTMAX else ["input", "weight", "bias"]
    tensors = {name: given[name] for name in names if given[name] is not None}
    order = next_order(tensors[names[0]].shape[axis])
    result = plain({**given, **{name: tensor.index_select(axis, order) for name, tensor in tensors.items()}})
    back = order.argsort()
    if operator in SOFTMAX:
        return result.index_select(axis, back)
    return result[0].index_select(-1, back), *result[1:]


def next_order(size: int) -> torch.Tensor:
    """The numbers below ``size`` in an order that no other call has."""
    # Not torch.randperm: whoever logs the draws of a pipeline would take it for one of them.
    return torch.from_numpy(np.random.default_rng(next(calls)).permutation(size))


def stale_cache(operator: str, plain: Compute, given: Arguments) -> Any:
    """An operator answers with its first result for arguments of these shapes and dtypes."""
    tensors = pytree.tree_leaves({name: value for name, value in given.items() if name != "out"})
    asked = operator, *((tuple(t.shape), t.dtype) for t in tensors if isinstance(t, torch.Tensor))
    if asked in first_results:
        strikes["stale_cache"] += 1
    else:
        first_results[asked] = copied(plain(given))
    return copied(first_results[asked])


def copied(result: Any) -> Any:
    """The same results in memory of their own."""
    return pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, result)


@dataclass(frozen=True)
class Fault:
    """A fault, and where it can be put."""

    change: Callable[[str, Compute, Arguments], Any]
    usual: Sequence[str]
    """Operators that it is put into when none is named."""
    possible: Sequence[str] = ()
    """Others that it can be put into."""

    @property
    def operators(self) -> list[str]:
        """All that it can be put into."""
        return list(dict.fromkeys((*self.usual, *self.possible)))


EVERYWHERE = (*EPS, *GELU, *ATTENTION, *REORDERED, "aten::convolution", "aten::silu", "aten::embedding")
FAULTS = {
    "wrong_eps": Fault(wrong_eps, tuple(EPS)),
    "gelu_form": Fault(gelu_form, GELU),
    "mask_ignored": Fault(mask_ignored, ATTENTION),
    "mask_inverted": Fault(mask_inverted, ATTENTION),
    "fp16_accumulation": Fault(fp16_accumulation, tuple(PRODUCTS)),
    "changing_order": Fault(changing_order, tuple(PRODUCTS), REORDERED),
    "stale_cache": Fault(stale_cache, ATTENTION[:2], EVERYWHERE),
}


def parse(text: str) -> dict[str, list[str]]:
    """The operators of each fault, from the words that name them.

    Raises:
        ValueError: There is no such fault, or it cannot be put into that operator.
    """
    chosen: dict[str, list[str]] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, at, operator = word.partition("@")
        if name not in FAULTS:
            raise ValueError(f"ascend_sim: there is no fault {name!r}.{advice(name, list(FAULTS))}")
        fault = FAULTS[name]
        if not at:
            chosen.setdefault(name, []).extend(fault.usual)
            continue
        full = {short.split("::")[1]: short for short in fault.operators} | {known: known for known in fault.operators}
        if operator not in full:
            raise ValueError(
                f"ascend_sim: fault {name!r} cannot be put into operator {operator!r}."
                f"{advice(operator, [known.split('::')[1] for known in fault.operators])}"
            )
        chosen.setdefault(name, []).append(full[operator])
    return chosen


def advice(word: str, known: list[str]) -> str:
    """The nearest name, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return (f" Did you mean {near[0]!r}?" if near else "") + f" There are: {', '.join(known)}."


def rules_of(chosen: dict[str, list[str]]) -> dict[str, Rule]:
    """One rule for each operator, with several faults around each other in the order in which they are named."""
    made: dict[str, Rule] = {}
    for name, operators in chosen.items():
        for operator in dict.fromkeys(operators):
            made[operator] = rules.around(partial(FAULTS[name].change, operator), made.get(operator))
    return made


def from_environment() -> None:
    """Inject the faults of ``ASCEND_SIM_FAULTS``, and say at the process's end how often each of them struck.

    Raises:
        ValueError: A name in it is wrong.
    """
    chosen = parse(os.environ.get(VARIABLE, ""))
    if chosen:
        rules.inject(rules_of(chosen))
        atexit.register(report, list(chosen))


def report(names: list[str]) -> None:
    """Say on stderr how often each fault struck."""
    for name in names:
        sys.stderr.write(f"ascend_sim: fault {name} struck {strikes[name]} times\n")
    sys.stderr.flush()


@contextlib.contextmanager
def injected(text: str) -> Iterator[Counter[str]]:
    """The named faults are in the operators inside the block; gives how often each struck, complete at its end.

    Raises:
        ValueError: A name is wrong.
    """
    before = strikes.copy()
    inside: Counter[str] = Counter()
    first_results.clear()
    try:
        with rules.injecting(rules_of(parse(text))):
            yield inside
    finally:
        inside.update(strikes - before)
