"""Nothing here is a test, and doctest collection would import modules that need a simulated card."""

from __future__ import annotations

collect_ignore_glob = ["*"]
