"""What becomes of torch_npu's fused operators where a tensor is on the CPU: hidden, or answered by reference kernels.

Libraries choose these operators because torch_npu is installed, whatever device a tensor is on, and torch_npu has
kernels for its cards only. A CPU worker therefore calls one of the two functions here before it imports a library that
looks for torch_npu.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from harness import plugins
from harness.errors import DeviceUnavailable, NotCovered, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.contracts import Kernel

NAMESPACE = "npu"
"""Where torch_npu registers its operators."""

KEYS = ("CPU", "AutogradCPU")
"""Dispatch keys of the kernels; the second lets gradients through, as the kernels are plain PyTorch inside."""

_NEXT_STEP = "Set npu_ops: hidden in the scenario's arm to run without fused operators"

_libraries: list[Any] = []
"""Keeps the registrations: they last as long as their torch.library.Library."""


class Calls:
    """Which operators are answered by reference kernels, and how often each one was since the last look."""

    def __init__(self) -> None:
        self.covered: tuple[str, ...] = ()
        """Operators that have a reference kernel here, sorted."""
        self.counts: dict[str, int] = {}
        """Answered calls by operator; operators that were not called are left out."""

    def add(self, operator: str) -> None:
        """Count one answered call.

        >>> calls = Calls()
        >>> calls.add("npu_rms_norm")
        >>> calls.take(), calls.take()
        ({'npu_rms_norm': 1}, {})
        """
        self.counts[operator] = self.counts.get(operator, 0) + 1

    def take(self) -> dict[str, int]:
        """Counts by operator in alphabetical order, starting again at none."""
        taken, self.counts = dict(sorted(self.counts.items())), {}
        return taken


# --- hidden ----------------------------------------------------------------------------------------------------------


def hide_torch_npu() -> None:
    """Let no library find torch_npu in this process from here on, neither by import nor by looking for its spec.

    Call it before torch is imported, or with ``TORCH_DEVICE_BACKEND_AUTOLOAD=0`` in the environment: otherwise torch
    imports torch_npu by itself.

    Raises:
        RunError: it is too late, because torch_npu was imported or diffusers has already looked for it.
    """
    if sys.modules.get("torch_npu") is not None:
        raise RunError(
            "torch_npu cannot be hidden: it is imported in this process already. Hide it before anything imports it, "
            "and set TORCH_DEVICE_BACKEND_AUTOLOAD=0 before torch is imported."
        )
    seen = sys.modules.get("diffusers.utils.import_utils")
    if seen is not None and seen.is_torch_npu_available():
        raise RunError(
            "torch_npu cannot be hidden: diffusers is imported in this process already and has found it. Hide it first."
        )
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    sys.modules["torch_npu"] = None  # type: ignore[assignment]  # Python's own way to say that a module is absent


# --- answered by reference -------------------------------------------------------------------------------------------


def answer_by_reference() -> Calls:
    """Answer torch_npu's operators for CPU tensors by the kernels of ``harness/kernels`` and of entry points.

    An operator that torch_npu does not know, or has its own CPU kernel for, is left alone. Every other operator of
    torch_npu that could not be called with CPU tensors raises ``NotCovered`` from here on, until the process ends.

    Raises:
        DeviceUnavailable: torch_npu cannot be imported; the message says why and what to do.
        RunError: called twice, torch_npu was hidden, or a kernel asks for what the operator's schema does not have.
    """
    if _libraries:
        raise RunError(
            "the reference kernels answer already in this process; register them once, when a worker starts."
        )
    _import_torch_npu()
    import torch

    calls = Calls()
    library: Any = torch.library.Library(NAMESPACE, "IMPL")  # type: ignore[no-untyped-call]
    _libraries.append(library)
    operators = _without_cpu_kernel()
    calls.covered = tuple(name for name in plugins.names("kernels") if name in operators)
    for name in calls.covered:
        answer = _by_name(name, plugins.load("kernels", name), calls)
        for key in KEYS:
            library.impl(name, answer, key)
    for name in sorted({*operators} - {*calls.covered}):
        library.impl(name, _refusal(name, calls.covered), "CPU")
    return calls


def reference_answer(operator: str) -> Callable[..., Any]:
    """The reference kernel of an operator such as ``npu::npu_rms_norm``, called as the operator is.

    Raises:
        NotCovered: there is none.
    """
    name = operator.removeprefix(f"{NAMESPACE}::")
    if name not in plugins.names("kernels"):
        raise NotCovered(f"{operator}: there is no reference kernel of that name. Add harness/kernels/{name}.py.")
    return _by_name(name, plugins.load("kernels", name), Calls())


def _import_torch_npu() -> None:
    """Import torch_npu, or say why that is impossible here."""
    if "torch_npu" in sys.modules and sys.modules["torch_npu"] is None:
        raise RunError("torch_npu was hidden in this process; a worker either hides it or answers its operators.")
    if importlib.util.find_spec("torch_npu") is None:
        raise DeviceUnavailable(
            "torch_npu is not installed here, so no library calls its fused operators and there is nothing for "
            f"reference kernels to answer. {_NEXT_STEP}, or install the torch_npu that belongs to this torch."
        )
    built, wanted = _version("torch_npu"), _version("torch")
    if built and wanted and _release(built) != _release(wanted):
        raise DeviceUnavailable(
            f"torch_npu {built} was built for torch {_release(built)}, and torch {wanted} is installed: they cannot be "
            f"loaded together. {_NEXT_STEP}, or install a torch_npu of {_release(wanted)}."
        )
    try:
        import torch_npu  # noqa: F401 - importing it registers its operators
    except Exception as error:
        library = re.search(r"(\S+\.so[.\d]*): cannot open shared object file", _with_causes(error))
        reason = (
            f"it needs the CANN library {library[1]}, which the loader does not find. Source CANN's set_env.sh"
            if library
            else f"its import ended in {type(error).__name__}: {error}. Repair the installation"
        )
        raise DeviceUnavailable(
            f"torch_npu {built or ''} is installed and cannot be imported: {reason} and try again, or "
            f"{_NEXT_STEP[0].lower()}{_NEXT_STEP[1:]}."
        ) from error


def _with_causes(error: BaseException | None) -> str:
    """Texts of an error and of those behind it: where torch loads torch_npu by itself, the library is named there."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return "; ".join(texts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a folder on the path, without an installer's record
        return ""


def _release(text: str) -> str:
    """Version without post release and local part, such as 2.13.0: what torch_npu's wheels ask of torch."""
    return ".".join(re.findall(r"\d+", text)[:3])


def _without_cpu_kernel() -> list[str]:
    """Operators that cannot be called with CPU tensors, sorted; overloads as ``operator.overload``."""
    import torch

    prefix = f"{NAMESPACE}::"
    registered = torch._C._dispatch_get_all_op_names()  # noqa: SLF001 - no public way
    # Computed, not registered for CPU alone: composite operators work on the CPU as they are.
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key  # noqa: SLF001 - no public way
    return sorted(
        name.removeprefix(prefix) for name in registered if name.startswith(prefix) and not computed(name, "CPU")
    )


def _by_name(name: str, kernel: Kernel, calls: Calls) -> Callable[..., Any]:
    """Bind a call's arguments to the kernel's parameters by the names of the schema that this torch_npu has.

    Schemas grow from one torch_npu to the next. What a kernel has no parameter for must have the schema's default;
    a parameter that an older schema lacks keeps the kernel's.
    """
    import torch

    schema = getattr(getattr(torch.ops, NAMESPACE), name).default._schema  # noqa: SLF001 - no public way
    names = [argument.name for argument in schema.arguments]
    defaults = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    parameters = inspect.signature(kernel.kernel).parameters
    missing = [item.name for item in parameters.values() if item.default is item.empty and item.name not in names]
    if missing:
        raise RunError(
            f"the reference kernel {name} asks for {', '.join(missing)}, which {schema} does not have; give the "
            "parameters the schema's names, and defaults to those that some versions lack."
        )

    def answer(*positional: Any, **named: Any) -> Any:
        values = defaults | dict(zip(names, positional, strict=False)) | named
        for argument in values.keys() - parameters.keys():
            if not _as_if_left_out(values[argument], defaults.get(argument)):
                value = values[argument]
                observed = f"a tensor {list(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
                raise NotCovered(
                    f"{name}: argument {argument} is {observed}; its reference kernel does not compute that "
                    f"argument, only its default {defaults.get(argument)!r}. {_NEXT_STEP}, or offer another kernel as "
                    "an entry point in harness.kernels."
                )
        result = kernel.kernel(**{argument: values[argument] for argument in values.keys() & parameters.keys()})
        calls.add(name)
        return result

    return answer


def _as_if_left_out(value: Any, default: Any) -> bool:
    if value is None or (isinstance(value, list | tuple | str) and not value):
        return True
    return isinstance(value, bool | int | float | str | list) and value == default


def _refusal(name: str, covered: tuple[str, ...]) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotCovered(
            f"{NAMESPACE}::{name} was called with CPU tensors and is not covered: torch_npu has kernels for its cards "
            f"only, and there is no reference kernel of that name. Covered are {', '.join(covered)}. {_NEXT_STEP}, or "
            f"add harness/kernels/{name.partition('.')[0]}.py or an entry point in harness.kernels."
        )

    return refuse
