"""From a YAML file to a checked scenario, and from a scenario to the plan of one arm.

A file is read in three passes: it becomes a tree that knows the place of every key and value (``yaml_tree``), the tree
is compared with the records, and what records cannot say (names of parts, pictures, variables) is checked last. All
problems are gathered and raised together, each with its place.
"""

from __future__ import annotations

from harness.scenario.loaded import LoadedScenario
from harness.scenario.loading import checked, load, of_options, written
from harness.scenario.placing import located, names_a_folder, place
from harness.scenario.planning import for_calibration, plan
from harness.scenario.schema_file import schema, write_schema
from harness.scenario.translations import own_words

__all__ = [
    "LoadedScenario",
    "checked",
    "for_calibration",
    "load",
    "located",
    "names_a_folder",
    "of_options",
    "own_words",
    "place",
    "plan",
    "schema",
    "write_schema",
    "written",
]
