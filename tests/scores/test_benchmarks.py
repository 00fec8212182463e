"""Pictures go out as a benchmark wants them, and its results come back to the case and seed that they are about."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import store
from harness.errors import HarnessError, NothingSelected, RecordError, UnknownName, UsageError
from harness.images import write_picture
from harness.jobs.report import report
from harness.jobs.scores_export import EXPORT_FILE, IMAGES_FOLDER, export
from harness.jobs.scores_import import Imported, Table, import_results, import_table
from harness.records import ArmScores, Comparison, EquivalenceVerdict, Export
from tests.compare.stored_runs import picture_of
from tests.scores.benchmark_jobs import (
    dpg_items,
    gedit_items,
    geneval_items,
    make_job,
    read,
    run_dpg,
    run_gedit,
    run_geneval,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness

COUNT = 20
ALIKE, FALLEN = "A" * COUNT, "A" * 12 + "C" * 8
"""Forty pictures that agree, and forty of which sixteen are of another kind."""
FEW = 4


@pytest.fixture
def job(tmp_path: Path, made_once: MadeOnce) -> Path:
    """A job with an arm that is as good as the reference and one that is not."""
    letters = {"alike": ALIKE, "fallen": FALLEN, "reference": ALIKE}
    made = made_once("benchmark-job", lambda folder: make_job(folder / "job", letters))
    shutil.copytree(made / "job", tmp_path / "job")
    return tmp_path / "job"


@pytest.fixture
def small(tmp_path: Path, made_once: MadeOnce) -> Path:
    """A job with four cases and two seeds, of which the last two cases of one arm are of another kind."""
    letters = {"alike": "A" * FEW, "fallen": "AACC", "reference": "A" * FEW}
    made = made_once("small-benchmark-job", lambda folder: make_job(folder / "job", letters))
    shutil.copytree(made / "job", tmp_path / "job")
    return tmp_path / "job"


def comparison(job: Path, arm: str) -> Comparison:
    return store.load_comparison(job / f"comparison-reference-{arm}-against-reference.json")


def scores(job: Path, arm: str) -> ArmScores:
    return store.load(ArmScores, job / store.scores_file(arm))


# --- what goes out ---------------------------------------------------------------------------------------------------


def test_geneval_gets_a_folder_for_each_prompt_with_its_own_line_of_the_list(small: Path, tmp_path: Path) -> None:
    items = geneval_items(tmp_path / "evaluation_metadata.jsonl", FEW)
    exported = export(small / "fallen", "geneval", items, tmp_path / "out").export
    images = tmp_path / "out" / IMAGES_FOLDER
    assert len(list(images.iterdir())) == FEW
    folder = images / "00002"
    assert json.loads((folder / "metadata.jsonl").read_text()) == json.loads(items.read_text().splitlines()[2])
    assert [path.name for path in sorted((folder / "samples").iterdir())] == ["0000.png", "0001.png"]
    assert [np.array_equal(read(folder / "samples" / f"000{n}.png"), picture_of("CD"[n])) for n in (0, 1)] == [True] * 2
    assert (exported.items, len(exported.pictures), exported.left_out) == (FEW + 2, 2 * FEW, [])


def test_dpg_gets_one_grid_for_each_prompt_and_nothing_else(small: Path, tmp_path: Path) -> None:
    export(small / "fallen", "dpg_bench", dpg_items(tmp_path / "prompts", FEW), tmp_path / "out")
    images = tmp_path / "out" / IMAGES_FOLDER
    assert {path.name for path in images.iterdir()} == {f"COCOval{number}.png" for number in range(FEW)}
    grid = read(images / "COCOval3.png")
    assert grid.shape == (64, 64, 3)
    assert np.array_equal(grid[:32, :32], picture_of("C"))
    assert np.array_equal(grid[:32, 32:], picture_of("D"))
    assert not grid[32:].any()


def test_gedit_gets_a_folder_for_each_task_and_language(small: Path, tmp_path: Path) -> None:
    export(small / "fallen", "gedit_bench", gedit_items(tmp_path / "edits.csv", FEW), tmp_path / "out", [1])
    images = tmp_path / "out" / IMAGES_FOLDER
    assert np.array_equal(read(images / "fallen/fullset/text_change/en/key3.png"), picture_of("C"))
    assert len(list(images.rglob("*.png"))) == FEW


def with_wrong_item(job: Path, place: Path) -> tuple[Any, ...]:
    items = geneval_items(place / "items.jsonl", FEW)
    items.write_text(items.read_text().replace("of 3 cups", "of 3 mugs"))
    return job / "alike", "geneval", items, place / "out"


def with_doubtful_item(job: Path, place: Path) -> tuple[Any, ...]:
    items = gedit_items(place / "items.csv", FEW)
    items.write_text(items.read_text() + "key99,text_change,en,a photo of 3 cups\n")
    return job / "alike", "gedit_bench", items, place / "out", [1]


def with_full_folder(job: Path, place: Path) -> tuple[Any, ...]:
    (place / "out").mkdir()
    (place / "out" / "other.png").touch()
    return job / "alike", "geneval", geneval_items(place / "items.jsonl", FEW), place / "out"


def with_changed_picture(job: Path, place: Path) -> tuple[Any, ...]:
    write_picture(job / "alike" / "samples" / "c3" / "1" / "p0r0.png", picture_of("B"))
    return job / "alike", "geneval", geneval_items(place / "items.jsonl", FEW), place / "out"


def with_name_that_leads_out(job: Path, place: Path) -> tuple[Any, ...]:
    items = gedit_items(place / "items.csv", FEW)
    items.write_text(items.read_text().replace("key3,", "../key3,"))
    return job / "alike", "gedit_bench", items, place / "out", [1]


@pytest.mark.parametrize(
    ("plant", "error", "words"),
    [
        (
            with_wrong_item,
            RecordError,
            "no item with the prompt of case c3.*nearest prompt there is 'a photo of . cups'",
        ),
        (with_doubtful_item, RecordError, "2 items for case c3: key3, key99.*column 'case'"),
        (with_full_folder, UsageError, "is not empty"),
        (with_changed_picture, RecordError, "does not hold what its record says"),
        (with_name_that_leads_out, RecordError, "becomes the name of a file"),
        (lambda job, place: (job / "alike", "gen_eval", place, place / "out"), UnknownName, "Did you mean 'geneval'"),
        (lambda job, place: (job, "geneval", place, place / "out"), RecordError, "it holds the arms"),
        (
            lambda job, place: (job / "alike", "gedit_bench", gedit_items(place / "i.csv", FEW), place / "out"),
            UsageError,
            "at most 1 pictures of one item, and the run has 2 seeds",
        ),
        (
            lambda job, place: (job / "alike", "geneval", geneval_items(place / "i.jsonl", FEW), place / "out", [7]),
            UsageError,
            "has no seed 7; it has 1, 2",
        ),
        (lambda job, place: (job / "alike", "dpg_bench", place, place / "out"), RecordError, "holds no prompt"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(
    plant: Callable[[Path, Path], tuple[Any, ...]], error: type[HarnessError], words: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        export(*plant(small, tmp_path))
    assert not (tmp_path / "out" / EXPORT_FILE).exists()


def test_a_case_may_be_named_beside_its_item(small: Path, tmp_path: Path) -> None:
    items = gedit_items(tmp_path / "items.csv", FEW)
    rows = items.read_text().splitlines()
    named = [f"{rows[0]},case", *(f"{row},c{number}" for number, row in enumerate(rows[1:])), "key99,t,en,of 3 cups,"]
    items.write_text("\n".join(named).replace("a photo of 3 cups", "anything") + "\n")
    exported = export(small / "alike", "gedit_bench", items, tmp_path / "out", [1]).export
    assert exported.pictures[3].place == "alike/fullset/text_change/en/key3.png"
    assert exported.pictures[3].key.case == "c3"


# --- what comes back -------------------------------------------------------------------------------------------------


def geneval(job: Path, arm: str, place: Path, right: str = "AB", judge: str = "") -> Imported:
    """Export an arm, have it judged, and import that."""
    items = geneval_items(place / "items.jsonl", COUNT)
    out = place / f"out-{arm}-{judge}"
    export(job / arm, "geneval", items, out)
    results = run_geneval(out / IMAGES_FOLDER, place / f"{arm}.jsonl", right)
    return import_results([results], job / arm, out, judge)


def test_arms_that_geneval_finds_alike_are_equivalent_and_one_that_fell_is_not(job: Path, tmp_path: Path) -> None:
    first = geneval(job, "reference", tmp_path)
    assert first.statements == [
        "alike against reference: alike has no geneval yet; import its results too",
        "fallen against reference: fallen has no geneval yet; import its results too",
    ]
    (alike,) = geneval(job, "alike", tmp_path).statements
    assert alike.startswith(
        "geneval of alike 100.0 %, of reference 100.0 %: equivalent within 10 points (90 % interval"
    )
    (fallen,) = geneval(job, "fallen", tmp_path).statements
    assert fallen.startswith("geneval of fallen 60.0 %, of reference 100.0 %: not equivalent within 10 points")
    assert [comparison(job, arm).parities[0].standing for arm in ("alike", "fallen")] == [
        EquivalenceVerdict.EQUIVALENT,
        EquivalenceVerdict.BEYOND,
    ]


def test_each_result_is_that_of_its_case_and_seed_with_task_and_reason(small: Path, tmp_path: Path) -> None:
    geneval(small, "fallen", tmp_path, right="AC")
    kept = scores(small, "fallen")
    values = {(score.key.case, score.key.seed): score.value for score in kept.scores}
    assert values == {(f"c{number}", seed): float(seed == 1) for number in range(FEW) for seed in (1, 2)}
    assert kept.totals[0].parts == {"colors": 0.5, "counting": 0.5}
    assert {score.words for score in kept.scores} == {"", "expected cup>=1, found 0"}
    assert kept.imported["geneval"].files[0].path == "fallen.jsonl"


def test_dpg_gives_each_seed_the_value_of_its_corner_of_the_grid(job: Path, tmp_path: Path) -> None:
    shares = {"A": 0.9, "B": 0.8, "C": 0.5, "D": 0.25}
    items = dpg_items(tmp_path / "prompts", COUNT)
    for arm in ("reference", "alike", "fallen"):
        out = tmp_path / arm
        export(job / arm, "dpg_bench", items, out)
        results = run_dpg(out / IMAGES_FOLDER, tmp_path / f"{arm}.txt", shares)
        imported = import_results([results], job / arm, out)
    values = {(score.key.case, score.key.seed): score.value for score in scores(job, "fallen").scores}
    assert {values["c0", 1], values["c0", 2], values["c19", 1], values["c19", 2]} == {0.9, 0.8, 0.5, 0.25}
    assert (values["c19", 1], values["c19", 2]) == (0.5, 0.25)
    assert "of reference 85.0 %: equivalence within 10 points not shown" in imported.statements[0]
    assert comparison(job, "alike").parities[0].standing is EquivalenceVerdict.EQUIVALENT


def test_gedit_is_the_root_of_semantics_times_quality_on_a_scale_to_1(small: Path, tmp_path: Path) -> None:
    items = gedit_items(tmp_path / "edits.csv", FEW)
    export(small / "fallen", "gedit_bench", items, tmp_path / "out", [1])
    files = run_gedit(tmp_path / "out" / IMAGES_FOLDER, "fallen", tmp_path / "csv", {"A": (8, 8), "C": (2, 8)})
    imported = import_results(files, small / "fallen", tmp_path / "out", "gpt-4.1")
    assert imported.total.mean == pytest.approx((0.8 + 0.4) / 2)
    assert imported.total.parts["semantics"] == pytest.approx((0.8 + 0.2) / 2)
    assert imported.total.without_value == FEW, "the second seed was not exported"
    assert scores(small, "fallen").specs == {"gedit_bench": "gedit-bench:overall:1:gpt-4.1"}


def test_scores_of_two_judges_say_nothing_of_two_arms(small: Path, tmp_path: Path) -> None:
    geneval(small, "reference", tmp_path, judge="one")
    imported = geneval(small, "alike", tmp_path, judge="another")
    assert "was read as geneval:correct:1:another and as geneval:correct:1:one" in imported.statements[0]
    assert comparison(small, "alike").parities == []


def test_what_was_imported_is_replaced_by_what_is_imported_again(small: Path, tmp_path: Path) -> None:
    geneval(small, "alike", tmp_path, right="")
    import_table([table(tmp_path, "A" * FEW)], small / "alike", MARKS)
    again = geneval(small, "alike", tmp_path, judge="better")
    assert again.total.mean == 1
    kept = scores(small, "alike")
    assert [total.score for total in kept.totals] == ["imgedit", "geneval"]
    assert len(kept.scores) == 4 * FEW


def test_a_picture_without_a_result_has_no_value_and_is_named(small: Path, tmp_path: Path) -> None:
    items = geneval_items(tmp_path / "items.jsonl", FEW)
    export(small / "alike", "geneval", items, tmp_path / "out")
    results = run_geneval(tmp_path / "out" / IMAGES_FOLDER, tmp_path / "results.jsonl", "AB")
    results.write_text("\n".join(results.read_text().splitlines()[1:]))
    imported = import_results([results], small / "alike", tmp_path / "out")
    assert [str(key) for key in imported.without] == ["c3, seed 1"]
    assert imported.total.words.endswith("7 pictures, 1 without a value)")


def other_run(text: str, out: Path) -> str:
    path = out / EXPORT_FILE
    store.save(store.load(Export, path).model_copy(update={"run": "job/fallen"}), path)
    return text


def other_picture(text: str, out: Path) -> str:
    path = out / EXPORT_FILE
    changed = store.load(Export, path)
    first = changed.pictures[0].model_copy(update={"image_digest": "0" * 64})
    store.save(changed.model_copy(update={"pictures": [first, *changed.pictures[1:]]}), path)
    return text


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (other_run, "holds pictures of job/fallen, and the run is job/alike"),
        (other_picture, "disagree about the picture of c0, seed 1"),
        (lambda text, _: text.replace("samples/0000", "samples/0007"), "samples/0007.png, which was not exported"),
        (lambda text, _: text + text.splitlines()[0], "again; allowed is one result for each picture"),
        (lambda text, _: text.replace("true", "7", 1), "line 1: correct: found .*7; allowed is true or false"),
        (lambda text, _: text.replace('"correct"', '"corect"', 1), "line 1: no column is called 'correct'.*'corect'"),
        (lambda text, _: text[:-20], "line 8 is not valid JSON"),
        (lambda *_: "", "holds no row"),
        (lambda *_: "[1]", "allowed is one JSON object in each line"),
        (lambda *_: "\udce9", "is not UTF-8"),
    ],
)
def test_results_of_other_pictures_and_damaged_ones_are_refused(
    plant: Callable[[str, Path], str], words: str, small: Path, tmp_path: Path
) -> None:
    items = geneval_items(tmp_path / "items.jsonl", FEW)
    export(small / "alike", "geneval", items, tmp_path / "out")
    results = run_geneval(tmp_path / "out" / IMAGES_FOLDER, tmp_path / "results.jsonl", "AB")
    results.write_bytes(plant(results.read_text(), tmp_path / "out").encode("utf-8", "surrogateescape"))
    with pytest.raises(RecordError, match=words):
        import_results([results], small / "alike", tmp_path / "out")
    assert not (small / store.scores_file("alike")).exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.png, 0.5, 0.7, 0.9", "one to four values and their mean"),
        ("a.png, 1.5, 1.5", "found 1.5; allowed is a number from 0 to 1"),
        ("a.png 0.5", "allowed is PICTURE.png, its values and their mean"),
        ("a.png, 0.5", "one to four values and their mean"),
        ("Model: nothing above", "holds no result"),
    ],
)
def test_a_line_that_dpg_would_not_write_is_refused(line: str, words: str, small: Path, tmp_path: Path) -> None:
    export(small / "alike", "dpg_bench", dpg_items(tmp_path / "prompts", FEW), tmp_path / "out")
    (tmp_path / "results.txt").write_text(line + "\n")
    with pytest.raises(RecordError, match=words):
        import_results([tmp_path / "results.txt"], small / "alike", tmp_path / "out")


# --- tables of any benchmark -----------------------------------------------------------------------------------------


def table(place: Path, letters: str, worth: str = "C", name: str = "table.csv") -> Path:
    """A row for each picture, from 1 to 5; those of one letter are worth less."""
    rows = [
        f"c{number},{seed},{2 if letter == worth else 4.5}" for number, letter in enumerate(letters) for seed in (1, 2)
    ]
    path = place / name
    path.write_text("\ufeffcase,seed,mark\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


MARKS = Table(score="imgedit", column="mark", lowest=1, highest=5)


def test_any_table_becomes_a_score_and_the_report_says_where_it_is_from(job: Path, tmp_path: Path) -> None:
    for arm, letters in (("reference", ALIKE), ("alike", ALIKE), ("fallen", FALLEN)):
        imported = import_table([table(tmp_path, letters, name=f"{arm}.csv")], job / arm, MARKS, "gpt-4.1")
    assert imported.total.mean == pytest.approx((24 * 0.875 + 16 * 0.25) / 40)
    assert "not equivalent within 10 points, the difference is larger" in imported.statements[0]
    files = sorted(job.glob("comparison-reference-*.json"))
    report(files, ["md"], tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "imgedit of alike 87.5 %, of reference 87.5 %: equivalent within 10 points" in page
    assert "imgedit of fallen was made by another program and imported from fallen.csv (SHA-256" in page
    assert "judge: gpt-4.1." in page


def test_json_lines_say_the_same_as_a_table(small: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"case": f"c{number}", "seed": seed, "score": True}) for number in range(FEW) for seed in (1, 2)
    ]
    (tmp_path / "table.jsonl").write_text("\n".join(lines))
    imported = import_table([tmp_path / "table.jsonl"], small / "alike", Table(score="wise"))
    assert (imported.total.mean, imported.total.pictures) == (1, 2 * FEW)


def test_a_run_of_one_seed_needs_no_column_for_it(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"one": "AB", "reference": "AB"}, seeds=(7,))
    (tmp_path / "table.csv").write_text("case,score\nc0,1\nc1,\n")
    imported = import_table([tmp_path / "table.csv"], job / "one", Table(score="wise"))
    assert (imported.total.pictures, imported.total.without_value) == (1, 1)


@pytest.mark.parametrize(
    ("text", "asked", "words"),
    [
        (
            "case,seed,score\nc0,1,1.5\n",
            Table(score="wise"),
            "line 2: score: found .*1.5.*allowed is a number from 0 to 1",
        ),
        ("case,seed,score\nc0,1,good\n", Table(score="wise"), "allowed is a number from 0 to 1"),
        ("case,seed,score\nc0,1,nan\n", Table(score="wise"), "allowed is a number from 0 to 1"),
        ("case,seed,score\nc0,9,1\n", Table(score="wise"), "no picture of case 'c0' and seed 9.*the seeds 1, 2"),
        ("case,seed,score\ncup,1,1\n", Table(score="wise"), "no picture of case 'cup'"),
        ("case,score\nc0,1\n", Table(score="wise"), "no column is called 'seed'"),
        ("case,seed,scores\nc0,1,1\n", Table(score="wise"), "no column is called 'score'. Did you mean 'scores'"),
        ("case,seed,score\nc0,1,1\nc0,1,1\n", Table(score="wise"), "line 3: c0, seed 1 has a value already"),
        ("case,seed,score\nc0,1\n", Table(score="wise"), "line 2: found 2 cells; allowed are 3"),
        ("case,case,score\nc0,1,1\n", Table(score="wise"), "a heading stands there twice"),
        ('case,seed,score\n"c0,1,1\n', Table(score="wise"), "damaged, or no CSV file"),
        ("case,seed,score\n", Table(score="wise"), "holds no row"),
        ("case,seed,score\nc0,1,1\n", Table(score="shapes_prompt_score"), "is what the harness measures itself"),
        ("case,seed,score\nc0,1,1\n", Table(score="My Score"), "cannot be the name of a score"),
        ("case,seed,score\nc0,1,1\n", Table(score="wise", lowest=1, highest=1), "found a scale from 1 to 1"),
    ],
)
def test_a_table_that_says_something_else_is_refused(
    text: str, asked: Table, words: str, small: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        import_table([tmp_path / "table.csv"], small / "alike", asked)
    assert not (small / store.scores_file("alike")).exists()


@pytest.mark.usefixtures("small")
def test_the_commands_do_the_same(tmp_path: Path, run_harness: RunHarness) -> None:
    geneval_items(tmp_path / "items.jsonl", FEW)
    words = ["scores", "export", "job/alike", "--benchmark", "geneval", "--items", "items.jsonl", "--out", "out"]
    ended = run_harness(*words)
    assert (ended.code, ended.out.splitlines()[0]) == (
        0,
        "8 pictures of alike, 4 of 6 items of geneval: out/images",
    )
    run_geneval(tmp_path / "out" / "images", tmp_path / "results.jsonl", "AB")
    ended = run_harness("scores", "import", "results.jsonl", "--run", "job/alike", "--export", "out")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].startswith("geneval of alike: 100.0 % (95 % interval 67.6 to 100.0, 8 pictures)")
    ended = run_harness("scores", "import", "results.jsonl", "--run", "job/alike")
    assert ended.code == 2
    assert "give --export DIR" in ended.err


def test_a_run_without_pictures_of_a_seed_gives_nothing_to_judge(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"one": "AB", "reference": "AB"}, seeds=(7,))
    run = store.load_run(job / "one")
    store.save(run.model_copy(update={"samples": [], "failures": []}), job / "one" / "run.json")
    shutil.rmtree(job / "one" / "samples")
    with pytest.raises(NothingSelected, match="has no picture"):
        export(job / "one", "geneval", geneval_items(tmp_path / "items.jsonl", 2), tmp_path / "out")
