"""What diff says about image files that nobody recorded the making of."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from harness.records.base import Record, Text, Version
from harness.records.comparison import Appearance, Hint, Measurement, Verdict
from harness.records.enums import Status
from harness.records.scenario import Limit


class ReadAs(StrEnum):
    """How the pixels of a picture file became 8-bit RGB."""

    RGB = "RGB"
    """They are 8-bit RGB."""
    OPAQUE = "alpha that is opaque everywhere"
    """The alpha channel is 255 everywhere and was left out."""
    PALETTE = "palette"
    """Each entry was replaced by its colour."""
    GREY = "greyscale"
    """Each value stands for all three channels."""
    BILEVEL = "black and white"
    """0 and 255 stand for the two."""
    DROPPED = "transparency dropped"
    """Real transparency: the colours as they are stored, whatever they were to show."""
    ON_WHITE = "transparency on white"
    """Real transparency, put onto white."""
    ON_BLACK = "transparency on black"
    """Real transparency, put onto black."""


class NameMatch(Record):
    """A name of the actual folder and one of the expected folder that are nearly the same."""

    actual: str
    """Path below the actual folder, with ``/``."""
    expected: str
    """Path below the expected folder, with ``/``."""
    differs: list[Literal["ending", "case", "Unicode form", "list"]]
    """In what they differ; ``list`` where a list pairs them, whatever they are called."""


class PicturePair(Record):
    """Two picture files compared with each other; nobody recorded how they were made."""

    schema_version: Version = 2
    """Version of this format."""
    name: str
    """Path below both folders, with ``/``; for two files the name of the actual one."""
    expected_name: str = ""
    """Path below the expected folder where it is another than ``name``; else empty."""
    noise: Literal["unverified"] = "unverified"
    """Whether both sides began with the same noise: nothing about a picture file tells."""
    width: int | None = None
    """Width in pixels; None where nothing was measured."""
    height: int | None = None
    """Height in pixels; None where nothing was measured."""
    differing_pixels: int | None = None
    """Pixels that differ in any channel; None where nothing was measured, and in records from before it was counted."""
    actual_read_as: ReadAs = ReadAs.RGB
    """How the pixels of the actual file became 8-bit RGB."""
    expected_read_as: ReadAs = ReadAs.RGB
    """How the pixels of the expected file became 8-bit RGB."""
    measurements: list[Measurement] = Field(default_factory=list)
    """All metrics of the pair; empty where nothing was measured."""
    hints: list[Hint] = Field(default_factory=list)
    """What the difference looks like; never judged."""
    appearance: Appearance | None = None
    """How alike the pictures look; None where a metric that decides it has no value, or nothing was measured."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """All limits that were given."""
    blank: list[Text] = Field(default_factory=list)
    """Which side shows nothing, in words: an error where a limit was given, else a notice."""
    presence: Literal["both", "missing", "unexpected"] = "both"
    """Missing: there is no actual picture of that name; unexpected: there is no expected one."""
    problem: Text = ""
    """Why nothing was measured."""
    outcome: Status
    """Identical, or the worst verdict; skipped where the pictures differ and no limit judges it."""


class WorstPair(Record):
    """The pair of two folders that is least alike by one metric."""

    name: str
    """Path below both folders."""
    measurement: Measurement
    """What was measured on it."""


class PairStatistics(Record):
    """One metric over all pairs of two folders that differ and have a finite value."""

    metric: str
    """Name of the metric."""
    unit: str
    """Unit of the values; empty for none."""
    better: Literal["higher", "lower"]
    """Which direction is better."""
    pairs: int
    """Number of values."""
    mean: float
    """Arithmetic mean."""
    median: float
    """Value of nearest rank at one half."""
    percentile_5: float
    """Value of nearest rank at 0.05."""
    percentile_95: float
    """Value of nearest rank at 0.95."""
    lowest: float
    """Lowest value."""
    highest: float
    """Highest value."""


class FolderDiff(Record):
    """Two folders of picture files, compared with each other name by name."""

    schema_version: Version = 2
    """Version of this format."""
    actual: str
    """Folder that is looked at, as it was given."""
    expected: str
    """Folder it is compared with, as it was given."""
    noise: Literal["unverified"] = "unverified"
    """Whether both sides began with the same noise: nothing about a picture file tells."""
    limits: list[Limit]
    """Limits that were given."""
    pairs: int
    """Number of names that both folders hold."""
    identical: int
    """Number of pairs that are equal byte for byte."""
    differing: int
    """Number of pairs that were measured and are not."""
    worst: list[WorstPair]
    """The worst of the differing pairs by each metric, the first by name where several are equally bad."""
    statistics: list[PairStatistics] = Field(default_factory=list)
    """Each metric over the differing pairs; empty in records from before this was computed."""
    without_value: dict[str, int]
    """Number of differing pairs for which a metric has no value, by metric; left out where all have one."""
    broken: list[str]
    """Names of pairs that break a limit or that a limit could not judge."""
    blank: dict[str, Text] = Field(default_factory=dict)
    """Pairs of which a side shows nothing, by name: an error where a limit was given, else a notice."""
    problems: dict[str, Text]
    """Why a pair was not measured, by name."""
    missing: list[str]
    """Expected names that the actual folder does not hold."""
    unexpected: list[str]
    """Actual names that the expected folder does not hold."""
    paired: list[NameMatch] = Field(default_factory=list)
    """Pairs whose names are not the same, and in what they differ."""
    pair: list[str] = Field(default_factory=list)
    """Rules for pairs that were asked for: ``exact``, ``stem``, ``casefold``."""
    nearly: list[NameMatch] = Field(default_factory=list)
    """Names without a counterpart that nearly match one on the other side; each of the two is missing or unexpected."""
    ignored: list[str] = Field(default_factory=list)
    """Names of both folders that were left out by name."""
    ignore: list[str] = Field(default_factory=list)
    """Patterns by which they were left out."""
    not_images: list[str] = Field(default_factory=list)
    """Names of both folders that are no pictures: texts, data, hidden files and folders (with ``/`` at the end)."""
    read_as: dict[ReadAs, int] = Field(default_factory=dict)
    """Number of picture files, of both sides, whose pixels were not stored as 8-bit RGB, by how they were read."""
    alpha: Literal["drop", "white", "black"] | None = None
    """What was to be done with real transparency; None where it is refused."""
    outcome: Status
    """The word for the whole: a missing, unexpected or unmeasured picture is an error."""
    message: Text
    """The outcome in one sentence."""
