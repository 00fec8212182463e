from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from harness import plugins
from harness.records import EXIT_CODES, Report, Status, from_json
from harness.render import _pictures, _words

if TYPE_CHECKING:
    from collections.abc import Iterator
