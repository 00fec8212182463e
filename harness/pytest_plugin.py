"""Pictures of tests compared with accepted ones: the fixture ``image_baseline`` of pytest.

Nothing of the harness is imported before a test asks for the fixture.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.images import Alpha
    from harness.jobs.image_baselines import Acceptance, Judged, Place
    from harness.picture_objects import Layout

REPORT_FOLDER = "image_baseline_report"
BASELINES_FOLDER = "image_baselines"
_LABEL = re.compile("[A-Za-z][A-Za-z0-9_-]{0,39}")
_told = pytest.StashKey[dict[str, list[Any]]]()
"""What became of a test's pictures, until its report takes it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixture."""
    group = parser.getgroup("accuracy-harness", "image baselines of accuracy-harness")
    group.addoption("--harness-accept", action="store_true", help="Store the pictures of image_baseline as accepted.")
    group.addoption("--harness-reason", metavar="TEXT", help="Why they are right; goes with --harness-accept.")
    group.addoption("--harness-who", metavar="NAME", default="", help="Who accepts; the user of this session.")
    group.addoption(
        "--harness-baselines", metavar="DIR", help=f"Where they are; {BASELINES_FOLDER} beside each test file."
    )
    group.addoption(
        "--harness-report",
        metavar="DIR",
        help=f"Where the page of failures is made; {REPORT_FOLDER} in the root folder.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to accept without a reason, before anything runs."""
    accept, reason = config.getoption("--harness-accept"), config.getoption("--harness-reason")
    if reason is not None and not accept:
        raise pytest.UsageError("--harness-reason goes with --harness-accept; without it nothing is stored.")
    if accept:
        if reason is None:
            raise pytest.UsageError('--harness-accept needs --harness-reason "...": why these pictures are right.')
        from harness.errors import UsageError

        try:
            _acceptance(config).require_sound()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
    if not hasattr(config, "workerinput"):  # under xdist the reports of all processes come together in this one
        config.pluginmanager.register(_Session(config), "harness-image-baselines")


@pytest.fixture
def image_baseline(request: pytest.FixtureRequest) -> ImageBaseline:
    """Compare pictures with the accepted ones of this test: ``image_baseline.check(image, psnr_db=40)``."""
    return ImageBaseline(request)


class ImageBaseline:
    """The accepted pictures of one test."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._item, self._config, self._path = request.node, request.config, request.path
        self._test = _without_group(request.node.nodeid, request.node.name)
        self._labels: set[str] = set()
        self._count = 0

    def check(
        self,
        image: Any,
        name: str = "",
        *,
        data_range: tuple[float, float] | None = None,
        layout: Layout | None = None,
        alpha: Alpha | None = None,
        **limits: float,
    ) -> None:
        """Fail where a picture is not as accepted; with ``--harness-accept`` store it instead.

        ``image`` is what ``harness.compare`` takes, or a function without parameters that makes one: it is called
        twice, and both have to be equal. Without a limit the picture has to be identical. A test may have several:
        they are numbered, or have a ``name``.

        Raises:
            NotClose: it is not as accepted, there is no accepted one, or it is blank or unstable.
            ImageError: it is no picture, or what is stored is damaged.
            UsageError: a limit, an option or the name is none.
        """
        __tracebackhide__ = True
        from harness.errors import NotClose
        from harness.jobs import image_baselines

        place = self._place(name)
        acceptance = _acceptance(self._config) if self._config.getoption("--harness-accept") else None
        judged = image_baselines.judged_image(
            image, place, limits, acceptance, data_range=data_range, layout=layout, alpha=alpha
        )
        self._tell(place, judged)
        if judged.complaint:
            raise NotClose(judged.complaint, judged.measured)

    def _place(self, name: str) -> Place:
        from harness.errors import UsageError
        from harness.jobs.image_baselines import Place

        self._count += not name
        label = name or str(self._count)
        if name and not _LABEL.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name for a picture; allowed are up to 40 letters, digits, _ and -, the first a letter."
            )
        if label in self._labels:
            raise UsageError(f"this test has a picture with the name {name!r} already; give each another one.")
        self._labels.add(label)
        given = self._config.getoption("--harness-baselines")
        command = ["pytest", self._from_here(), *(["--harness-baselines", given] if given else [])]
        command += ["--harness-accept", "--harness-reason", "..."]
        return Place(
            folder=_baselines(self._config, self._path),
            test=self._test,
            label=label,
            accept_command=shlex.join(command),
        )

    def _from_here(self) -> str:
        """The test as a word of a command that is given where this one was."""
        file, *names = self._test.split("::")
        here = self._config.invocation_params.dir
        return "::".join([os.path.relpath(self._config.rootpath / file, here), *names])

    def _tell(self, place: Place, judged: Judged) -> None:
        from harness.jobs import image_baselines

        record = self._item.stash.setdefault(_told, {"checked": [], "accepted": [], "failed": []})
        record["checked"].append(place.label)
        if judged.accepted:
            record["accepted"].append(str(place.picture))
        if judged.complaint:
            record["failed"].append(image_baselines.keep_failure(_report(self._config), place, judged))


def _without_group(node_id: str, name: str) -> str:
    """A node id as it is without xdist, some versions of which put the group behind it (``--dist loadgroup``).

    >>> _without_group("test_port.py::test_cup[a@b]@cups", "test_cup[a@b]")
    'test_port.py::test_cup[a@b]'
    """
    return node_id[: node_id.rindex(name) + len(name)]


def _baselines(config: pytest.Config, test_file: Path) -> Path:
    """Folder of the accepted pictures of a test file."""
    given = config.getoption("--harness-baselines")
    if not given:
        return test_file.parent / BASELINES_FOLDER / test_file.stem
    inside = test_file.is_relative_to(config.rootpath)
    below = test_file.relative_to(config.rootpath) if inside else Path(test_file.name)
    return Path(config.invocation_params.dir, given, below).with_suffix("")


def _report(config: pytest.Config) -> Path:
    given = config.getoption("--harness-report")
    return Path(config.invocation_params.dir, given) if given else config.rootpath / REPORT_FOLDER


def _acceptance(config: pytest.Config) -> Acceptance:
    from harness.jobs.image_baselines import Acceptance

    return Acceptance(why=config.getoption("--harness-reason"), who=config.getoption("--harness-who"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Give a test's report what became of its pictures: a report is what gets from one process of xdist to another."""
    outcome: Any = yield
    record = item.stash.get(_told, None)
    if record is not None:
        outcome.get_result().image_baseline = record
        del item.stash[_told]


class _Session:
    """What became of all pictures of a session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._checked = 0
        self._accepted: list[str] = []
        self._failed: dict[tuple[str, str], list[dict[str, str]]] = {}
        self._page: Path | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a report tells."""
        record = getattr(report, "image_baseline", None)
        if record is not None:
            self._checked += len(record["checked"])
            self._accepted += record["accepted"]
            # A test that is run again replaces what it told; one that expects a failure has none.
            self._failed[report.nodeid, report.when] = record["failed"] if report.failed else []

    def pytest_sessionfinish(self) -> None:
        """Write the page of failures, or remove that of an earlier session."""
        if not self._checked:
            return
        from harness.jobs import image_baselines

        if self._failures:
            self._page = image_baselines.write_page(_report(self._config), self._failures)
        else:
            image_baselines.remove_page(_report(self._config))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was stored and where the page is."""
        if not self._accepted and self._page is None:
            return
        terminalreporter.section("image baselines")
        for path in self._accepted:
            terminalreporter.line(f"accepted: {path}")
        if self._page is not None:
            terminalreporter.line(f"{len(self._failures)} failed; side by side in {self._page}")

    @property
    def _failures(self) -> list[dict[str, str]]:
        return [failure for failures in self._failed.values() for failure in failures]
