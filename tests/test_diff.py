"""``harness diff`` as a user meets it: real files, a real process, planted faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.metrics
from PIL import Image

from harness.images import write_picture
from tests.command_line import ROOT, environment, patience_seconds, run_command
from tests.processes import at_a_prompt, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.command_line import Ended, RunHarness


def noise(seed: int, size: int = 32) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 200, (size, size, 3), dtype=np.uint8)


def folders(root: Path, names: Iterable[str], size: int = 32) -> tuple[Path, Path]:
    """Two folders of the same pictures, made in the order of the names."""
    sides = root / "actual", root / "expected"
    for side in sides:
        side.mkdir(parents=True)
        for name in names:
            (side / name).parent.mkdir(exist_ok=True)
            write_picture(side / name, noise(sum(name.encode()), size))
    return sides


def one_pixel_off(path: Path, seed: int, size: int = 32) -> None:
    values = noise(seed, size)
    values[7, 21, 2] += 5
    write_picture(path, values)


DOOR = """
import json, sys
from harness.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
NOT_OF_DIFF = [
    "harness.run.supervisor",
    "harness.store",
    "harness.calibrate",
    "harness.diagnose",
    "harness.render",
    "harness.adapters",
    "harness.backends",
    "harness.scenario",
    "harness.jobs.arm_runs",
    "harness.metrics._kernels",
    "harness.records.descriptions",
    "cv2",
    "numba",
    "ruamel",
    "scipy",
    "jinja2",
    "pandas",
    "polib",
]


def loaded_by(folder: Path, *words: str) -> set[str]:
    """Which of the modules that comparing two files does not need are loaded after a command."""
    done = subprocess.run(
        [sys.executable, "-c", DOOR, *words], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return set(names) & set(NOT_OF_DIFF)


def test_two_files_load_only_what_compares_them(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", noise(1))
    write_picture(tmp_path / "b.png", noise(2))
    assert loaded_by(tmp_path, "diff", "a.png", "b.png") == set()
    assert {"harness.store", "harness.scenario"} <= loaded_by(tmp_path, "list", "metrics")


def test_two_large_files_are_worth_the_compiler(tmp_path: Path) -> None:
    for number in (1, 2):
        write_picture(tmp_path / f"{number}.png", noise(number, 1100))
    assert {"numba", "harness.metrics._kernels"} <= loaded_by(tmp_path, "diff", "1.png", "2.png")


def test_two_equal_files(tmp_path: Path, run_harness: RunHarness) -> None:
    write_picture(tmp_path / "a.png", noise(1))
    write_picture(tmp_path / "b.png", noise(1))
    ended = run_harness("diff", "a.png", "b.png", "--at-most", "max_abs_diff=0")
    assert ended.code == 0, ended.err
    assert "equal byte for byte" in ended.out
    assert "noise: unverified" in ended.out


def test_two_files_that_differ_are_judged_only_by_limits(tmp_path: Path, run_harness: RunHarness) -> None:
    one_pixel_off(tmp_path / "a.png", 1)
    write_picture(tmp_path / "b.png", noise(1))
    ended = run_harness("diff", "a.png", "b.png")
    assert ended.code == 0, ended.err
    assert "x=21 y=7 channel=b" in ended.out
    assert "The pictures differ. Nothing is judged: harness diff takes limits" in ended.out
    assert "visual similarity: lossless to the eye" in ended.out
    assert "hint: looks like damage in one place" in ended.out
    for metric in ("mse", "max_abs_diff", "mean_abs_diff", "p99_abs_diff", "psnr_db", "ssim", "ssim_tile_min"):
        assert metric in ended.out
    kept = run_harness("diff", "a.png", "b.png", "--at-most", "max_abs_diff=5", "--at-least", "psnr_db=30")
    assert kept.code == 0, kept.out
    broken = run_harness("diff", "a.png", "b.png", "--at-most", "max_abs_diff=4", "--at-least", "psnr_db=30")
    assert broken.code == 1
    assert "drift: max_abs_diff: 5 pixel units at x=21 y=7 channel=b; allowed: max_abs_diff at most 4" in broken.out


def test_json_of_two_files_is_strict(tmp_path: Path, run_harness: RunHarness) -> None:
    write_picture(tmp_path / "a.png", noise(1))
    ended = run_harness("diff", "a.png", "a.png", "--json", "--out", "line.jsonl")
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert {each["metric"]: each["value"] for each in found["measurements"]}["psnr_db"] == "inf"
    assert found["noise"] == "unverified"
    assert json.loads((tmp_path / "line.jsonl").read_text(encoding="utf-8")) == found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.png", "big.png"], ["a.png is 32 x 32", "big.png is 40 x 40"]),
        (["a.png", "none.png"], ["none.png", "no such file"]),
        (["a.png", "."], ["one is a folder"]),
        (["a.png", "cut.png"], ["cut.png", "damaged or cut off"]),
        (["a.png", "a.png", "--at-least", "psnr=3"], ["Did you mean 'psnr_db'"]),
        (["a.png", "a.png", "--at-least", "psnr_db"], ["--at-least psnr_db=30"]),
        ([".", ".", "--jobs", "0"], ["--jobs"]),
        ([".", ".", "--pair", "casfold"], ["Did you mean 'casefold'"]),
        ([".", ".", "--alpha", "wite"], ["Did you mean 'white'"]),
        (["a.png", "a.png", "--ignore", "*.gif"], ["--ignore, --pair and --pair-list are for two folders"]),
        (["a.png", "a.png", "--pair", "stem"], ["--ignore, --pair and --pair-list are for two folders"]),
    ],
)
def test_wrong_use_is_told(words: list[str], says: list[str], tmp_path: Path, run_harness: RunHarness) -> None:
    write_picture(tmp_path / "a.png", noise(1))
    write_picture(tmp_path / "big.png", noise(1, 40))
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    ended = run_harness("diff", *words)
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    for word in says:
        assert word in ended.err


def test_one_pixel_in_one_of_sixty_pairs_is_named(tmp_path: Path, run_harness: RunHarness) -> None:
    names = [f"{number:02}.png" for number in range(60)]
    actual, expected = folders(tmp_path, names)
    one_pixel_off(actual / "37.png", sum(b"37.png"))
    ended = run_harness("diff", actual, expected, "--at-most", "max_abs_diff=2")
    assert ended.code == 1, ended.err
    assert "breaks a limit: 37.png" in ended.out
    assert "37.png x=21 y=7" in ended.out
    assert "drift: 59 of 60 pairs are equal byte for byte; 1 with a broken limit." in ended.out
    assert "noise: unverified" in ended.out
    assert run_harness("diff", actual, expected).code == 0, "without a limit nothing is judged"


def faulty(root: Path, names: list[str]) -> tuple[Path, Path]:
    """Folders with a fault of each kind."""
    actual, expected = folders(root, names)
    one_pixel_off(actual / "b.png", sum(b"b.png"))
    (actual / "c.png").unlink()
    (expected / "d.png").unlink()
    (expected / "e.png").write_bytes((expected / "e.png").read_bytes()[:-30])
    write_picture(actual / "f.png", noise(1, 40))
    return actual, expected


NAMES = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "sub/g.png", "sub/h.png", "z.png"]


def test_every_kind_of_fault_is_named_and_the_rest_is_measured(tmp_path: Path, run_harness: RunHarness) -> None:
    faulty(tmp_path, NAMES)
    ended = run_harness("diff", "actual", "expected", "--json", "--out", "results.jsonl")
    assert ended.code == 3, ended.err
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert (found["pairs"], found["identical"], found["differing"]) == (7, 4, 1)
    assert found["missing"] == ["c.png"]
    assert found["unexpected"] == ["d.png"]
    assert sorted(found["problems"]) == ["e.png", "f.png"]
    assert "damaged or cut off" in found["problems"]["e.png"]
    assert "40 x 40" in found["problems"]["f.png"]
    assert {each["name"] for each in found["worst"]} == {"b.png"}
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["name"] for each in lines] == NAMES
    assert not (tmp_path / "results.jsonl.part").exists()


def test_output_is_the_same_for_any_number_of_jobs_and_order_of_creation(tmp_path: Path) -> None:
    seen = set()
    for jobs, names in (("1", NAMES), ("3", [NAMES[each] for each in (4, 8, 1, 0, 6, 3, 7, 2, 5)])):
        root = tmp_path / jobs
        faulty(root, names)
        words = ["diff", "actual", "expected", "--jobs", jobs, "--out", "results.jsonl"]
        done = [run_command(root, *words, *more) for more in ([], ["--json"])]
        assert [each.code for each in done] == [3, 3]
        seen.add((*(each.out for each in done), (root / "results.jsonl").read_bytes()))
    assert len(seen) == 1


def linked(root: Path, count: int) -> tuple[Path, Path]:
    """Two folders with so many links to one pair of pictures that differ everywhere."""
    sides = root / "actual", root / "expected"
    for seed, side in enumerate(sides):
        side.mkdir(parents=True)
        write_picture(root / f"{seed}.png", noise(seed, 64))
        for number in range(count):
            (side / f"{number:04}.png").hardlink_to(root / f"{seed}.png")
    return sides


# Not getrusage: its peak begins with what the process that started this one held.
PEAK = """
import sys
from harness.cli import main
assert main(sys.argv[1:]) == 0
(peak,) = [line.split()[1] for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM")]
print(peak)
"""
KEEP = """
from harness.compare.pictures import Tally
kept, add = [], Tally.add
Tally.add = lambda self, pair: (kept.append(pair), add(self, pair))
"""


def peak(folder: Path, count: int, plant: str = "") -> int:
    """Largest resident memory of the command, in KiB, for so many pairs."""
    root = folder / f"{count}{'-planted' * bool(plant)}"
    done = subprocess.run(
        [sys.executable, "-c", plant + PEAK, "diff", *map(str, linked(root, count)), "--jobs", "2", "--out", "out"],
        env=environment(MALLOC_ARENA_MAX="1"),
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])


def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path: Path) -> None:
    few = peak(tmp_path, 20)
    seen = (peak(tmp_path, 250, plant=KEEP) - few) / 2
    assert seen > 1024, "the twin that keeps all records must be seen to grow"
    assert peak(tmp_path, 250) - few < seen


PRINTING = """
UNIT, BETTER, IDENTICAL, SPEC, SUBJECTS = "", "lower", 0.0, "test", ("image",)
def measure(actual, expected, *, data_range):
    from harness.contracts import Measured
    print("a library says something", flush=True)
    return Measured(value=4.0)
"""


def test_what_a_library_prints_does_not_get_among_the_results(tmp_path: Path, run_harness: RunHarness) -> None:
    (tmp_path / "planted_metric.py").write_text(PRINTING, encoding="utf-8")
    info = tmp_path / "planted-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[harness.metrics]\nplanted = planted_metric\n", encoding="utf-8")
    actual, expected = folders(tmp_path, ["a.png"])
    one_pixel_off(actual / "a.png", sum(b"a.png"))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = run_harness("diff", actual, expected, "--at-most", "planted=3", PYTHONPATH=path)
    assert ended.code == 1, ended.err
    assert "a library says something" in ended.err
    assert "a library" not in ended.out


# --- what is compared, and how it is read ----------------------------------------------------------------------------


def test_nothing_is_left_out_without_a_word(tmp_path: Path, run_harness: RunHarness) -> None:
    actual, expected = folders(tmp_path, ["3.png"])
    moving = [Image.fromarray(noise(seed)) for seed in (1, 2, 3)]
    for side, frames in ((actual, moving[:2]), (expected, moving)):
        frames[0].save(side / "1.gif", save_all=True, append_images=frames[1:])
    moving[0].save(expected / "2.avif")
    (actual / "settings.json").write_text("{}", encoding="utf-8")
    (actual / ".DS_Store").touch()
    for limits in ([], ["--at-least", "psnr_db=20"]):
        ended = run_harness("diff", "actual", "expected", *limits)
        assert ended.code == 3, ended.out
        assert "not measured: 1.gif: picture actual/1.gif: it is animated" in ended.out
        assert "missing: 2.avif" in ended.out
        assert "not an image: .DS_Store\nnot an image: settings.json" in ended.out
        assert "1 of 2 pairs are equal byte for byte; 1 not measured; 1 missing; 2 not images" in ended.out
    ended = run_harness("diff", "actual", "expected", "--ignore", "*.gif", "--ignore", "2.*")
    assert ended.code == 0, ended.out
    assert "ignored: 1.gif\nignored: 2.avif" in ended.out
    assert "1 of 1 pairs are equal byte for byte; 2 not images; 2 ignored by name" in ended.out
    ended = run_harness("diff", "actual", "expected", "--ignore", "*.jif")
    assert ended.code == 3
    assert "0 ignored by name" in ended.out


@pytest.mark.parametrize("name", ["x.svg", "x.heic", "x.psd", "x.exr", "x.ico", "x.png"])
def test_a_picture_that_is_not_read_is_an_error(name: str, tmp_path: Path, run_harness: RunHarness) -> None:
    for side in folders(tmp_path, ["a.png"]):
        (side / name).write_bytes(b"what no decoder takes")
    ended = run_harness("diff", "actual", "expected")
    assert ended.code == 3, ended.out
    assert f"not measured: {name}: picture actual/{name}: it is not a picture of a known format" in ended.out


@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.md", "x.yaml", ".x.png", "x.npy", "a.png.bak", "Makefile"])
def test_what_is_no_picture_is_counted_and_costs_nothing(name: str, tmp_path: Path, run_harness: RunHarness) -> None:
    actual, _ = folders(tmp_path, ["a.png"])
    (actual / name).write_bytes(b"words")
    ended = run_harness("diff", "actual", "expected")
    assert ended.code == 0, ended.out
    assert f"not an image: {name}" in ended.out
    assert "1 of 1 pairs are equal byte for byte; 1 not images" in ended.out


def test_files_that_stand_in_the_place_of_pictures_are_named(tmp_path: Path, run_harness: RunHarness) -> None:
    _, expected = folders(tmp_path, ["a.png", "b.png", "c.png"])
    (expected / "a.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (expected / "b.png").write_bytes(b"")
    cv2.imwrite(str(expected / "c.tif"), noise(1).astype(np.float32))
    (expected / "c.tif").rename(expected / "c.png")
    ended = run_harness("diff", "actual", "expected")
    assert ended.code == 3
    for words in ("a Git LFS pointer", "`git lfs pull`", "an empty file", "a TIFF file of floating-point values"):
        assert words in ended.out


def test_names_that_nearly_match_are_said_and_paired_on_request(tmp_path: Path, run_harness: RunHarness) -> None:
    actual, expected = folders(tmp_path, ["caf\u00e9.png", "cat.png", "Dog.png"])
    (expected / "caf\u00e9.png").rename(expected / "cafe\u0301.png")
    (expected / "cat.png").rename(expected / "cat.webp")
    (expected / "Dog.png").rename(expected / "dog.png")
    ended = run_harness("diff", actual, expected)
    assert ended.code == 3, ended.err
    assert "nearly matches: Dog.png and dog.png (case)" in ended.out
    assert "nearly matches: cat.png and cat.webp (ending)" in ended.out
    assert "With --pair stem --pair casefold names that nearly match are pairs" in ended.out
    assert "(Unicode form)" in ended.out
    assert "1 of 1 pairs are equal byte for byte; 2 missing; 2 unexpected" in ended.out
    words = ["--pair", "stem", "--pair", "casefold", "--out", "lines"]
    ended = run_harness("diff", actual, expected, *words, "--json")
    assert ended.code == 0, ended.out
    found = json.loads(ended.out)
    assert (found["identical"], found["nearly"], found["pair"]) == (3, [], ["stem", "casefold"])
    assert {(match["actual"], match["expected"]) for match in found["paired"]} >= {("Dog.png", "dog.png")}
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="utf-8").splitlines()]
    assert [(line["name"], line["expected_name"]) for line in lines[:2]] == [
        ("Dog.png", "dog.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
    ]


def test_a_name_that_nearly_matches_several_is_left_alone(tmp_path: Path, run_harness: RunHarness) -> None:
    actual, expected = folders(tmp_path, ["cat.png"])
    (expected / "cat.png").rename(expected / "cat.webp")
    write_picture(actual / "cat.jpg", noise(1))
    ended = run_harness("diff", actual, expected, "--pair", "stem")
    assert ended.code == 3
    assert "Names that nearly match are no pairs where one could belong to several" in ended.out


def test_pictures_that_become_rgb_without_loss_compare_and_it_is_said(tmp_path: Path, run_harness: RunHarness) -> None:
    actual, expected = folders(tmp_path, ["grey.png", "opaque.png", "palette.png", "rgb.png"])
    grey = Image.fromarray(noise(1)).convert("L")
    grey.save(actual / "grey.png")
    grey.convert("RGB").save(expected / "grey.png")
    with Image.open(expected / "opaque.png") as opaque:
        opaque.convert("RGBA").save(actual / "opaque.png")
    palette = Image.fromarray(noise(2)).convert("P")
    palette.save(actual / "palette.png")
    palette.convert("RGB").save(expected / "palette.png")
    ended = run_harness("diff", actual, expected, "--at-most", "max_abs_diff=0")
    assert ended.code == 0, ended.out
    assert "4 of 4 pairs are equal byte for byte" in ended.out
    for how in ("greyscale", "alpha that is opaque everywhere", "palette"):
        assert f"read as RGB: {how}: 1 pictures" in ended.out
    ended = run_harness("diff", actual / "grey.png", expected / "grey.png")
    assert ended.code == 0, ended.err
    assert "actual picture read as RGB: greyscale" in ended.out


def test_transparency_is_refused_until_it_is_said_what_shall_show_through(
    tmp_path: Path, run_harness: RunHarness
) -> None:
    actual, expected = folders(tmp_path, ["a.png", "b.png"])
    picture = np.dstack([noise(sum(b"a.png")), np.full((32, 32), 255, np.uint8)])
    picture[:8, :8, 3] = 0
    Image.fromarray(picture).save(actual / "a.png")
    ended = run_harness("diff", actual, expected)
    assert ended.code == 3
    assert "it is transparent in 6.25 % of its pixels" in ended.out
    assert "--alpha white" in ended.out
    ended = run_harness("diff", actual, expected, "--alpha", "drop", "--at-most", "max_abs_diff=0")
    assert ended.code == 0, ended.out
    assert "read as RGB: transparency dropped: 1 pictures" in ended.out
    ended = run_harness("diff", actual, expected, "--alpha", "white", "--at-most", "max_abs_diff=0")
    assert ended.code == 1, ended.out
    assert "read as RGB: transparency on white: 1 pictures" in ended.out
    ended = run_harness("diff", actual / "a.png", expected / "a.png", "--alpha", "black")
    assert "actual picture read as RGB: transparency on black" in ended.out
    assert run_harness("diff", actual / "a.png", expected / "a.png").code == 2
    ended = run_harness("diff", expected, expected, "--alpha", "white")
    assert ended.code == 0
    assert "--alpha white had no effect" in ended.out


# --- stopped on the way ----------------------------------------------------------------------------------------------


def children(parent: int) -> list[int]:
    """Processes that a process started and that still live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def alive(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_orphan_and_no_file_that_looks_whole(number: signal.Signals, tmp_path: Path) -> None:
    linked(tmp_path, 3000)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "diff", "actual", "expected", "--jobs", "2", "--out", "results.jsonl"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=at_a_prompt(),  # noqa: PLW1509 - tests start processes from their main thread
    )
    part = tmp_path / "results.jsonl.part"
    try:
        wait_for(lambda: part.exists() and part.stat().st_size, "the first line")
        wait_for(lambda: len(children(process.pid)) == 2, "both children")
        started = children(process.pid)
        os.killpg(process.pid, number)  # as a terminal does
        _, said = process.communicate(timeout=patience_seconds())
    finally:
        process.kill()
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        wait_for(lambda: not any(map(alive, started)), "children that notice that their parent is gone")
    else:
        assert process.returncode == 130
        assert said.strip().startswith(f"error: stopped by {number.name}")
        assert "Traceback" not in said
        assert not any(map(alive, started))
    assert not (tmp_path / "results.jsonl").exists()
    assert part.exists()


# --- light -----------------------------------------------------------------------------------------------------------


def test_two_files_need_no_heavy_import(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", noise(1))
    one_pixel_off(tmp_path / "b.png", 1)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", "diff", "a.png", "b.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "numpy" in imported, "the listing must be of real imports"
    assert not imported & {"torch", "pandas", "skimage", "diffusers", "transformers"}


def test_it_works_where_torch_cannot_be_imported(tmp_path: Path, run_harness: RunHarness) -> None:
    for name in ("torch", "torch_npu", "diffusers", "transformers"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('planted')\n", encoding="utf-8")
    actual, expected = folders(tmp_path, ["a.png"])
    ended: Ended = run_harness("diff", actual, expected, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert ended.code == 0, ended.err


def test_compare_takes_pictures_that_no_run_made(tmp_path: Path, run_harness: RunHarness) -> None:
    actual, _ = folders(tmp_path, ["a.png", "b/c.png", "only.png"])
    (tmp_path / "expected" / "only.png").unlink()
    write_picture(actual / "b" / "c.png", noise(99))
    ended = run_harness("compare", "actual", "expected", "--out", "lines", "--json")
    assert ended.code == 3, ended.err
    found = json.loads(ended.out)
    assert (found["noise"], found["identical"], found["differing"]) == ("unverified", 1, 1)
    assert (found["missing"], found["unexpected"]) == ([], ["only.png"])
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="utf-8").splitlines()]
    assert [line["name"] for line in lines] == ["a.png", "b/c.png", "only.png"]
    assert [hint["name"] for hint in lines[1]["hints"]] == ["other-picture"]
    assert lines[1]["appearance"] == "different"


def test_compare_refuses_a_run_beside_loose_pictures(tmp_path: Path, run_harness: RunHarness) -> None:
    folders(tmp_path, ["a.png"])
    (tmp_path / "actual" / "run.json").write_text("{}", encoding="utf-8")
    for sides in (("actual", "expected"), ("expected", "actual")):
        ended = run_harness("compare", *sides)
        assert ended.code == 2
        assert "actual is a run and expected is not" in ended.err
        assert "adapter 'images'" in ended.err


def test_foreign_pictures_get_the_numbers_of_scikit_image(tmp_path: Path, run_harness: RunHarness) -> None:
    """PNG against JPEG of the same photographs, and one pair that began with another picture."""
    photographs = {
        name: np.asarray(getattr(skimage.data, what)())
        for name, what in {"astronaut": "astronaut", "coffee": "coffee", "cat": "chelsea"}.items()
    }
    for name, picture in photographs.items():
        for side, ending in (("actual", "jpg"), ("expected", "png")):
            path = tmp_path / side / f"{name}.picture"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path, format={"jpg": "JPEG", "png": "PNG"}[ending])
            path.rename(path.with_suffix(".png"))  # what a file is called is not what it is
    Image.fromarray(photographs["coffee"][:300, :451]).save(tmp_path / "actual" / "cat.png")
    ended = run_harness("compare", "actual", "expected", "--out", "lines")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="utf-8").splitlines()]
    assert [line["name"] for line in lines] == ["astronaut.png", "cat.png", "coffee.png"]
    for line in lines:
        found = {each["metric"]: each["value"] for each in line["measurements"]}
        actual, expected = (np.asarray(Image.open(tmp_path / side / line["name"])) for side in ("actual", "expected"))
        ssim = skimage.metrics.structural_similarity(  # type: ignore[no-untyped-call]
            actual,
            expected,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert abs(found["ssim"] - ssim) < 1e-9
        assert found["mse"] == skimage.metrics.mean_squared_error(actual, expected)
        psnr_db = skimage.metrics.peak_signal_noise_ratio(  # type: ignore[no-untyped-call]
            expected, actual, data_range=255
        )
        assert abs(found["psnr_db"] - psnr_db) < 1e-9
        flagged = "other-picture" in [hint["name"] for hint in line["hints"]]
        assert flagged == (line["name"] == "cat.png")


# --- images that show nothing ----------------------------------------------------------------------------------------


def test_two_black_images_keep_no_limit_and_are_a_note_without_one(tmp_path: Path, run_harness: RunHarness) -> None:
    for folder in ("mine", "goldens"):
        (tmp_path / folder).mkdir()
        write_picture(tmp_path / folder / "black.png", np.zeros((64, 64, 3), np.uint8))
        write_picture(tmp_path / folder / "ramp.png", np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    files = [f"{folder}/black.png" for folder in ("mine", "goldens")]
    healthy = [f"{folder}/ramp.png" for folder in ("mine", "goldens")]
    judged = run_harness("diff", *files, "--at-least", "psnr_db=30")
    assert judged.code == 3, judged.out
    assert "error: the actual image shows nothing: every pixel is 0, 0, 0" in judged.out
    assert run_harness("diff", *healthy, "--at-least", "psnr_db=30").code == 0
    unjudged = run_harness("diff", *files)
    assert unjudged.code == 0, unjudged.out
    assert "note: the expected image shows nothing: every pixel is 0, 0, 0" in unjudged.out
    folders = run_harness("diff", "mine", "goldens", "--at-least", "psnr_db=30")
    assert folders.code == 3, folders.out
    assert "shows nothing: black.png: the actual image shows nothing" in folders.out
    assert "2 of 2 pairs are equal byte for byte; 1 with a side that shows nothing" in folders.out
    assert run_harness("diff", "mine", "goldens").code == 0
