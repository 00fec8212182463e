"""Variables whose value contradicts determinism, hides faults, or makes torch do another thing than it says.

The table is the union of what Ascend's documents, vllm-ascend's and msprobe's recipes name, as no two of them agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness import variables
from harness.records import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.diagnose.machine import Machine

_OURS = {"TORCH_NPU_FALLBACK_CPU_DISABLE", "PYTHONHASHSEED", "ASCEND_OPP_PATH"}
"""Variables that runs set themselves or that CANN's own script sets; they deserve no line."""

ON = ("1", "true", "on", "yes")
OFF = ("0", "false", "off", "no")


class Switch(NamedTuple):
    """Values of one variable that deserve a line."""

    variable: str
    values: tuple[str, ...]
    """In lower case."""
    effect: str
    expected: str
    changes_numbers: bool = True
    severity: Severity = Severity.WARNING


SWITCHES = (
    Switch(
        "TORCH_TRANSFER_TO_NPU",
        ON,
        "torch.cuda is redirected to the NPU, so a run on a GPU is none",
        "unset: a reference must run where it says",
    ),
    Switch("HCCL_DETERMINISTIC", OFF, "collective reductions add in any order", "true or strict"),
    Switch("LCCL_DETERMINISTIC", OFF, "all-reduce of ATB and MindIE adds in any order", "1"),
    Switch("ATB_MATMUL_SHUFFLE_K_ENABLE", ON, "ATB's matrix products reorder the K loop", "0"),
    Switch("ATB_LLM_LCOC_ENABLE", ON, "ATB overlaps computing and communication", "0"),
    Switch("CLOSE_MATMUL_K_SHIFT", OFF, "matrix products stagger the K loop", "1, set before torch_npu is imported"),
    Switch("INF_NAN_MODE_ENABLE", OFF, "infinity becomes the largest number and NaN becomes 0", "1 or unset"),
    Switch("TORCH_NPU_LAZY_FUSION", ON, "operators are fused while they run", "0 or unset"),
    Switch("NVIDIA_TF32_OVERRIDE", ON, "every float32 product on the GPU is computed in TF32", "0 or unset"),
    Switch("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", ON, "float32 products on the GPU are computed in TF32", "0 or unset"),
    Switch(
        "NPU_FA2_SPARSE_MODE",
        ("2",),
        "the causal mask of the language model is aligned top left: another model than on other devices",
        "3 or unset",
    ),
    Switch("INF_NAN_MODE_FORCE_DISABLE", ON, "infinity becomes the largest number and NaN becomes 0", "0 or unset"),
    Switch(
        "ONEDNN_DEFAULT_FPMATH_MODE",
        ("bf16", "f16", "tf32", "any"),
        "float32 on the CPU is computed in fewer bits",
        "STRICT or unset",
    ),
    Switch(
        "TORCH_NPU_USE_COMPATIBLE_IMPL",
        ON,
        "gelu, matmul and max_pool are computed as torch does, not as the card's own operators do",
        "the same value in all runs that are compared",
        severity=Severity.HARMLESS,
    ),
    Switch(
        "TASK_QUEUE_ENABLE",
        ("2",),
        "operators are launched in two stages: the order of work changes, not its arithmetic",
        "1 or unset; compare with 0 to find a race",
        changes_numbers=False,
        severity=Severity.HARMLESS,
    ),
    Switch(
        "ASCEND_LAUNCH_BLOCKING",
        ON,
        "every launch waits and the task queue is off: races hide and timings mean nothing",
        "0 or unset, but for a diagnosis",
        changes_numbers=False,
    ),
    Switch(
        "NPU_ASD_ENABLE",
        ("1", "2", "3"),
        "silent-fault detection watches the card",
        "0 or unset while tensors are dumped",
        changes_numbers=False,
        severity=Severity.HARMLESS,
    ),
)


def switches(machine: Machine) -> Iterator[Finding]:
    """Judge the variables of the user's environment."""
    findings = [*_of_table(machine), *_of_form(machine)]
    yield from findings
    yield from _known(machine)
    contradicted = {switch.variable for switch in _contradicted(machine)}
    if machine.transfers_to_npu and "TORCH_TRANSFER_TO_NPU" not in contradicted:
        yield Finding(
            name="switch",
            severity=Severity.WARNING,
            changes_numbers=True,
            observed="import torch alone loads transfer_to_npu of torch_npu, which redirects torch.cuda to the NPU",
            expected="torch.cuda left alone: a reference must run where it says",
            next_step="Find who imports it: a sitecustomize.py or a .pth file of this Python.",
        )
    elif not findings:
        yield Finding(
            name="switches",
            severity=Severity.OK,
            observed="no variable is set that contradicts determinism or redirects torch",
        )


def _contradicted(machine: Machine) -> list[Switch]:
    """The switches of the table that are set to a value which contradicts determinism."""
    return [
        switch for switch in SWITCHES if machine.environment.get(switch.variable, "").strip().lower() in switch.values
    ]


def _of_table(machine: Machine) -> Iterator[Finding]:
    for switch in _contradicted(machine):
        value = machine.environment[switch.variable]
        yield Finding(
            name="switch",
            severity=switch.severity,
            changes_numbers=switch.changes_numbers,
            observed=f"{switch.variable}={value}: {switch.effect}",
            expected=switch.expected,
            next_step=""
            if switch.severity is Severity.HARMLESS
            else f"unset {switch.variable}, or give it the value above.",
        )


def _known(machine: Machine) -> Iterator[Finding]:
    """Variables that change numbers by any value, and so must be the same wherever pictures are compared."""
    for name, value in variables.set_in(machine.environment).items():
        if name in {switch.variable for switch in SWITCHES} | _OURS or _draws_as_before(name, value):
            continue
        entry = variables.known(name)
        if entry is not None and value.strip():
            yield Finding(
                name="variable",
                severity=Severity.HARMLESS,
                changes_numbers=True,
                observed=f"{name}={value} {entry.effect}",
                expected=f"the same in all runs that are compared ({entry.source})",
            )


def _draws_as_before(name: str, value: str) -> bool:
    """Whether a variable asks torch_npu for its older random numbers."""
    return name == "TORCH_NPU_LEGACY_IMPL_LIST" and "randomness" in value


def _of_form(machine: Machine) -> Iterator[Finding]:
    """Variables that are judged by more than a list of values."""
    visible = machine.environment.get("ASCEND_RT_VISIBLE_DEVICES", "")
    numbers = [int(word) for word in visible.split(",") if word.strip().isdecimal()]
    if numbers != sorted(set(numbers)):
        yield Finding(
            name="switch",
            severity=machine.gravity,
            observed=f"ASCEND_RT_VISIBLE_DEVICES={visible}",
            expected="numbers that ascend",
            next_step=f"export ASCEND_RT_VISIBLE_DEVICES={','.join(map(str, sorted(set(numbers))))}",
        )
    if {"PYTORCH_NPU_ALLOC_CONF", "PYTORCH_ALLOC_CONF"} <= set(machine.environment):
        yield Finding(
            name="switch",
            severity=machine.gravity,
            observed="PYTORCH_NPU_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set",
            expected="one of them: torch_npu refuses both",
            next_step="unset PYTORCH_ALLOC_CONF, or the other one.",
        )
    if any(_draws_as_before(name, value) for name, value in machine.environment.items()):
        yield Finding(
            name="switch",
            severity=Severity.WARNING,
            changes_numbers=True,
            observed="TORCH_NPU_LEGACY_IMPL_LIST asks for the older random stream: one seed gives other noise",
            expected="unset, or the same in all runs that are compared",
            next_step="unset TORCH_NPU_LEGACY_IMPL_LIST; runs with portable noise do not depend on it.",
        )
