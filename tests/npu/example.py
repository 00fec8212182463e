"""An example of ``harness explain`` on a simulated card: ``python -m tests.npu.example`` writes it.

The card's attention ignores its mask; the reference is the CPU of the same machine with reference kernels. The page is
written in each language from the record of one run. ``nox -s card_faults`` starts it with the real torch_npu.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.files import write_text
from harness.jobs.explain import PAGE_FILE, write_page
from harness.records import read_record, to_json
from harness.records.explanation import EXPLANATION_FILE, Explanation
from tests.command_line import ROOT

FOLDER = ROOT / "reports" / "example-explain"
FAULT = "mask_ignored"
WORDS = ["explain", "scenarios/tiny-npu.yaml", "--arm", "npu", "--against", "cpu-kernels"]
README = f"""# An example of `harness explain`

`index.html` and `index.zh.html` are the pages of one run, and `explanation.json` is its record. `nox -s card_faults`
writes them; it runs `harness {" ".join(WORDS)}`.

**The card is simulated.** The real torch_npu ran on a stand-in for the libraries below it, with values of the CPU
behind its operators, and attention was made to ignore its mask (`ASCEND_SIM_FAULTS={FAULT}`). No number here
was made by an Ascend chip. How the cards are simulated: [docs/design/testing.md](../../docs/design/testing.md).
"""


def main() -> None:
    """Explain a planted fault and write its pages.

    Raises:
        SystemExit: the command did not say that something is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "harness", *WORDS, "--runs-dir", scratch]
        ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"ASCEND_SIM_FAULTS": FAULT}, check=False)
        if ended.returncode != 1:
            raise SystemExit(ended.returncode or 1)
        (record,) = Path(scratch).glob(f"*/{EXPLANATION_FILE}")
        explanation = read_record(Explanation, record)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for language in ("zh", "en"):
        page = write_page(explanation, FOLDER, language)
        if language != "en":
            page.replace(FOLDER / PAGE_FILE.replace(".", f".{language}."))
    write_text(FOLDER / EXPLANATION_FILE, to_json(explanation))
    write_text(FOLDER / "README.md", README)


if __name__ == "__main__":
    main()
