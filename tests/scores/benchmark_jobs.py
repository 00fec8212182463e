"""Jobs whose pictures go to a benchmark, and stand-ins that walk folders and write results as its programs do.

What the stand-ins read and write is from djghosh13/geneval (README, evaluate_images.py), TencentQQGYLab/ELLA (README,
compute_dpg_bench.py) and stepfun-ai/Step1X-Edit (EVAL.md, run_gedit_score.py). Only their judgement is planted: a
picture is as good as the letter that it was drawn from.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harness import store
from harness.jobs.compare import compare
from harness.records import Arm, Case, CaseKey, Role
from tests.compare.stored_runs import SIDE, letter, picture_of, scenario, stored_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SEEDS = (1, 2)


def prompt(number: int) -> str:
    return f"a photo of {number} cups"


def make_job(folder: Path, letters: Mapping[str, Sequence[str]], seeds: Sequence[int] = SEEDS) -> Path:
    """A job with an arm for each name and a case for each letter; the letters of the second seed are the next ones."""
    count = len(next(iter(letters.values())))
    cases = [Case(id=f"c{number}", prompt=prompt(number)) for number in range(count)]
    arms = [Arm(name=name, role=Role.REFERENCE if name == "reference" else Role.CANDIDATE) for name in letters]
    asked = scenario(name="stored", cases=cases, seeds=list(seeds), arms=arms, parity_margin=0.1)
    folder.mkdir(parents=True)
    store.save(store.Job(state="finished", scenario=asked, command=["harness", "check"]), folder / store.JOB_FILE)
    for name, drawn in letters.items():
        made = {
            CaseKey(case=case.id, seed=seed): [[letter(chr(ord(drawn[number]) + index))]]
            for number, case in enumerate(cases)
            for index, seed in enumerate(seeds)
        }
        planned = {"cases": cases, "seeds": list(seeds), "repeats": {"in_process": 1, "processes": 1}}
        stored_run(folder / name, made, planned=planned)
    for name in letters:
        if name != "reference":
            compare(folder / name, folder / "reference", None)
    return folder


def letter_of(picture: NDArray[np.uint8]) -> str:
    """The letter that a picture was drawn from."""
    return next(name for name in "ABCDEFGH" if np.array_equal(picture, picture_of(name)))


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


# --- GenEval ---------------------------------------------------------------------------------------------------------


def geneval_items(path: Path, count: int) -> Path:
    """A list of prompts as the benchmark has it, with two more than the job asks."""
    lines = [
        {"tag": "counting" if number % 2 else "colors", "include": [{"class": "cup"}], "prompt": prompt(number)}
        for number in reversed(range(count + 2))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def run_geneval(images: Path, out: Path, right: str) -> Path:
    """Judge as right what was drawn from one of some letters."""
    lines = []
    for folder in sorted(images.iterdir()):
        if not folder.is_dir() or not folder.name.isdigit():
            continue
        metadata = json.loads((folder / "metadata.jsonl").read_text(encoding="utf-8"))
        for picture in sorted((folder / "samples").iterdir()):
            if picture.suffix == ".png" and picture.stem.isdigit():
                correct = letter_of(read(picture)) in right
                reason = "" if correct else "expected cup>=1, found 0"
                fields = {"filename": str(picture), "tag": metadata["tag"], "prompt": metadata["prompt"]}
                lines.append(fields | {"correct": correct, "reason": reason})
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return out


# --- DPG-Bench -------------------------------------------------------------------------------------------------------


def dpg_items(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"COCOval{number}.txt").write_text(prompt(number) + "\n", encoding="utf-8")
    return folder


def run_dpg(images: Path, out: Path, shares: Mapping[str, float], pictures: int = 2) -> Path:
    """Cut each grid into its pictures and give each the share of its letter; every file of the folder is taken."""
    lines = []
    for path in sorted(images.iterdir()):
        grid = read(path)
        corners = [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)][:pictures]
        values = [shares[letter_of(grid[top : top + SIDE, left : left + SIDE])] for left, top in corners]
        lines.append(", ".join(map(str, [path, *values, sum(values) / len(values)])))
    mean = 100 * sum(float(line.rpartition(", ")[2]) for line in lines) / len(lines)
    summary = f"Model: images\nL1 category scores:\n\tentity: 90.0\nSave results to: {out}\nDPG-Bench score: {mean}"
    out.write_text("\n".join([*lines, summary]) + "\n", encoding="utf-8")
    return out


# --- GEdit-Bench -----------------------------------------------------------------------------------------------------

TASKS = ("color_alter", "text_change")


def gedit_items(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["key", "task_type", "instruction_language", "instruction"])
        for number in range(count):
            writer.writerow([f"key{number}", TASKS[number % 2], "en", prompt(number)])
    return path


def run_gedit(images: Path, method: str, out: Path, marks: Mapping[str, tuple[float, float]]) -> list[Path]:
    """A file for each task, with marks from 0 to 10 for semantics and quality by letter."""
    out.mkdir(parents=True)
    files = []
    for task in TASKS:
        files.append(out / f"{method}_{task}_all_vie_score.csv")
        with files[-1].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            names = ["key", "edited_image", "instruction", "sementics_score", "quality_score"]
            writer.writerow([*names, "intersection_exist", "instruction_language"])
            for path in sorted((images / method / "fullset" / task / "en").glob("*.png")):
                semantics, quality = marks[letter_of(read(path))]
                writer.writerow([path.stem, str(path), "edit, it", semantics, quality, "True", "en"])
    return files
