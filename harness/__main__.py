"""``python -m harness`` and the command ``harness``.

Nothing is imported here before the command line is watched: an interpreter that ends in an error of its own ends in
exit code 1, which is the word for a broken limit.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; 3 where not even that could be loaded, for want of memory or files perhaps."""
    try:
        # By its full name: a package remembers a module that it once had.
        from harness.cli import main as run

        return run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no verdict
        sys.stderr.write(
            f"error: the harness could not be loaded or could not say what went wrong: {type(error).__name__}: {error}."
            " Look at the limits of this session (ulimit -a) and at the installation.\n"
        )
        return 3


if __name__ == "__main__":
    sys.exit(main())
