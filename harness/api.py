"""What ``import harness`` offers to programs, notebooks and tests; everything else of the package is private.

Every error that is raised on purpose is a ``harness.HarnessError``; a broken assertion is a ``harness.NotClose``, which
is an ``AssertionError``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare.objects import Compared, compare
from harness.errors import HarnessError, NotClose, UsageError
from harness.jobs import closeness, tables
from harness.jobs.diff_tensors import compare_given
from harness.records import Report, TensorDiff

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import pandas as pd

    from harness.images import Alpha
    from harness.jobs.check import Checked
    from harness.picture_objects import Layout

__all__ = [
    "Compared",
    "HarnessError",
    "NotClose",
    "Report",
    "assert_close",
    "check",
    "compare",
    "compare_tensors",
    "load_results",
    "trace",
]


def assert_close(
    actual: Any,
    expected: Any,
    *,
    data_range: tuple[float, float] | None = None,
    layout: Layout | None = None,
    alpha: Alpha | None = None,
    **limits: float,
) -> Compared:
    """Assert that two pictures keep limits, any metric by its name; without a limit they have to be identical.

    Pictures and options are those of ``harness.compare``. A limit is the smallest value allowed where higher is better
    (``psnr_db=40``), the largest where lower is (``max_abs_diff=2``); ``harness list metrics`` has all names. A
    picture that shows nothing is refused: two of them would keep every limit.

    >>> import numpy as np
    >>> expected = np.random.default_rng(0).integers(0, 250, (64, 64, 3), dtype=np.uint8)
    >>> assert_close(expected + 1, expected, psnr_db=40, max_abs_diff=2).appearance.words
    'lossless to the eye'

    Raises:
        NotClose: a limit is broken; the message says how far, where, and what the difference looks like.
        ImageError: one is no picture, or their sizes differ.
        UsageError: a limit or an option is none; an unknown name brings the nearest one.
    """
    return closeness.assert_close(actual, expected, limits, data_range=data_range, layout=layout, alpha=alpha)


def check(  # noqa: PLR0913 - the options of the verb
    scenario: str | os.PathLike[str],
    *,
    arms: Sequence[str] = (),
    cases: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str | None = None,
    repeats: int | None = None,
    processes: int | None = None,
    retries: int = 0,
    runs_folder: str | os.PathLike[str] = "runs",
    baselines_folder: str | os.PathLike[str] = "baselines",
    allow_command: bool = False,
    quick: bool = False,
    last_failed: bool = False,
    formats: Sequence[str] = (),
    language: str = "en",
) -> Checked:
    """Run a scenario, compare, judge and report, as ``harness check`` does; options are those of the command.

    The result has the typed record (``report``), the worst word (``outcome``), the command's ``exit_code``, the job
    ``folder`` and the ``pages`` to open. A broken limit is no exception: look at ``exit_code``.

    >>> check("no-such-scenario.yaml")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    harness.errors.ScenarioError: no-such-scenario.yaml: there is no such file...

    Raises:
        HarnessError: the scenario is wrong, or its check could not be carried out.
    """
    from harness.jobs import check as check_job
    from harness.jobs.arm_runs import Selection
    from harness.jobs.progress import ProgressReporter
    from harness.run.sources import Permission

    selection = Selection(
        arms=_listed("arms", arms),
        cases=_listed("cases", cases),
        seeds=list(seeds),
        device=device,
        repeats=repeats,
        processes=processes,
        retries=retries,
        runs_folder=Path(runs_folder),
        permission=Permission(every=allow_command, listed=None),
        baselines_folder=Path(baselines_folder),
        quick=quick,
        last_failed=last_failed,
    )
    output = check_job.Output(formats=_listed("formats", formats), language=language)
    checked, _ = check_job.check([Path(scenario)], selection, ProgressReporter(), output)
    return checked[0]  # what could not be carried out was raised


def compare_tensors(actual: Any, expected: Any, **at_most: float) -> TensorDiff:
    """Compare tensors by their names: files, NumPy arrays, tensors of torch, or mappings of names to these.

    A limit is the largest value allowed, by its metric; ``docs/tensors.md`` has all of them, such as ``relative_l2``.

    >>> import numpy as np
    >>> expected = np.linspace(1, 2, 1000, dtype=np.float32)
    >>> diff = compare_tensors(expected * np.float32(1.01), expected, relative_l2=0.02)
    >>> diff.outcome.value, diff.pairs[0].name
    ('within_limits', 'array')

    Raises:
        TensorError: a side holds something else than tensors, or a file cannot be read.
        UsageError: a limit is no number from 0 on; an unknown metric brings the nearest one.
    """
    return compare_given(actual, expected, at_most)


def load_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Stored results as a table of pandas with one row for each pair and metric.

    ``path`` is a job folder, a comparison file, a ``report.json``, or the lines that ``harness diff --out`` wrote.

    >>> import tempfile
    >>> import numpy as np
    >>> expected = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "results.jsonl"
    ...     _ = file.write_text(compare(255 - expected, expected).pair.model_dump_json())
    ...     table = load_results(file)
    >>> table.set_index("metric").loc["max_abs_diff", "value"].item()
    255.0

    Raises:
        UsageError: pandas is not installed (``pip install 'accuracy-harness[tables]'``), or there is no such file.
        RecordError: it holds no such results, or is damaged.
    """
    return tables.load_results(Path(path))


def _listed(option: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise UsageError(f"{option}={names!r} is one text; give a list, {option}=[{names!r}].")
    return list(names)


def trace(  # noqa: PLR0913 - what can be said of a script
    pipe: Any,
    *,
    to: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
    joints: Sequence[str] = (),
    denoiser: str | None = None,
    steps: Sequence[str | int] = ("first", "middle", "last"),
    max_gib: float = 8.0,
) -> AbstractContextManager[None]:
    """Look into a script's own model: ``with harness.trace(pipe, to="reference.trace"): pipe(...)`` where it is right.

    Where it may be wrong, ``with harness.trace(pipe, against="reference.trace"): pipe(...)`` gives every module what
    the reference's got, and writes ``to``, else ``candidate.trace``; ``harness explain candidate.trace`` says which
    module is wrong by itself, and why. ``pipe`` is a pipeline of diffusers or any object with torch modules; both
    blocks have to do the same with the same noise, and what the second one makes is close to the reference's.

    ``joints`` are functions between modules that are watched too, by names such as ``"mix_guidance"`` or
    ``"vae.decode"`` that are looked up on ``pipe``; those of diffusers are known, and ``"scheduler.step"`` tells the
    steps apart. ``denoiser`` is the module that every step calls, where it is neither called transformer nor unet; its
    inside is kept at ``steps``: ``first``, ``middle``, ``last``, ``all`` or numbers from 0.

    >>> trace(object(), to="reference.pt")
    Traceback (most recent call last):
    ...
    harness.errors.UsageError: reference.pt: found a name that ends in '.pt'; allowed is .trace

    Raises:
        UsageError: neither ``to`` nor ``against`` is given, or the name of a file does not end in .trace; when the
            block begins also where there is no module to look into.
        RecordError: the reference's trace is none, or was cut or changed.
        RunError: the trace is of another model or type, or nothing was called inside the block.
    """
    from harness.run.worker import script

    return script.traced(
        pipe,
        to=None if to is None else Path(to),
        against=None if against is None else Path(against),
        joints=joints,
        denoiser=denoiser,
        steps=[str(step) for step in steps],
        most_bytes=int(max_gib * 2**30),
    )
