"""``python -m harness.scenario`` writes the JSON Schema of scenario files."""

from __future__ import annotations

from harness.scenario.schema_file import main

if __name__ == "__main__":
    raise SystemExit(main())
