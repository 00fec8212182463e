"""Forcing finds the module that is wrong by itself, however predictions are batched, and nothing in a healthy one."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import RecordError, RunError
from harness.explain.places import LIMIT, culprits, first_of_kinds, innocents
from harness.explain.verdict import explained, proven
from harness.records import CaseKey, read_record
from harness.records.explanation import Culprit, ProofWord, Trouble
from harness.records.investigation import (
    FORCED_FILE,
    TENSORS_FILE,
    TRACE_FILE,
    Forced,
    Investigation,
    InvestigationTask,
    Place,
    Side,
    Trace,
)
from harness.run.worker import tracing
from harness.run.worker.tracing import read_trace
from harness.trace_files import read_trace_record
from tests.explain.toy import Block, Toy

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records.explanation import Explanation
    from harness.records.investigation import Swapped

KEY = CaseKey(case="toy", seed=0)
WORDS = ["first", "middle", "last"]


def explanation(
    folder: Path, change: Callable[[Toy], None], passes: Any = ((0, 1),), own: Any = ((0, 1),)
) -> Explanation:
    trace = Toy(own).investigator("reference").trace(KEY, folder / "reference", WORDS, 1 << 30)
    toy = Toy(passes)
    change(toy)
    (folder / "candidate").mkdir()
    forced = toy.investigator().force(folder / "candidate", folder / "reference" / TRACE_FILE, WORDS)
    assert innocents(trace, forced) == explained("toy", KEY, trace, forced).innocent
    assert [culprit.path for culprit in culprits(trace, forced)] == [
        culprit.path for culprit in explained("toy", KEY, trace, forced).culprits
    ]
    return explained("toy", KEY, trace, forced)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reference").mkdir()
    return tmp_path


def replace(module: Any, forward: Any) -> None:
    module.forward = forward


def wrong_layer(toy: Toy) -> None:
    layer = toy.denoiser.first.linear
    replace(layer, lambda x: torch.nn.functional.linear(x, layer.weight * 1.001, layer.bias))


def without_bias(toy: Toy) -> None:
    layer = toy.denoiser.first.linear
    replace(layer, lambda x: torch.nn.functional.linear(x, layer.weight))


def wrong_between(toy: Toy) -> None:
    block = toy.denoiser.second
    replace(block, lambda x: x + block.act(1.01 * block.linear(block.norm(x))))


def wrong_scheduler(toy: Toy) -> None:
    step = toy.scheduler.step
    toy.scheduler.step = lambda model_output, sample: step(model_output * 1.001, sample)  # type: ignore[method-assign]


def other_weight(toy: Toy) -> None:
    with torch.no_grad():
        toy.denoiser.first.linear.weight[0, 0] += 1e-3


def wrong_in_the_first_picture(toy: Toy) -> None:
    picture, made = toy.picture, [0]

    def late(seed: int = 0) -> Any:
        made[0] += 1
        return picture(seed) * (1.1 if made[0] == 1 else 1.0)

    toy.picture = late  # type: ignore[method-assign]


def wrong_where_nobody_looks(toy: Toy) -> None:
    picture = toy.picture
    toy.picture = lambda seed=0: picture(seed) * 1.00003  # type: ignore[method-assign]


def rounding_alone(toy: Toy) -> None:
    for block in (toy.denoiser.first, toy.denoiser.second):
        layer, order = block.linear, torch.randperm(16, generator=torch.Generator().manual_seed(3))
        replace(layer, lambda x, m=layer, o=order: torch.nn.functional.linear(x[..., o], m.weight[:, o], m.bias))


@pytest.mark.parametrize(
    ("change", "trouble", "path"),
    [
        (lambda _: None, Trouble.EQUAL, None),
        (rounding_alone, Trouble.ROUNDING, None),
        (wrong_layer, Trouble.PLACE, "denoiser.first.linear"),
        (wrong_between, Trouble.PLACE, "denoiser.second"),
        (wrong_scheduler, Trouble.PLACE, "scheduler.step"),
        (other_weight, Trouble.INPUTS, "denoiser.first.linear"),
        (wrong_in_the_first_picture, Trouble.NOT_REPEATABLE, None),
        (wrong_where_nobody_looks, Trouble.STATE, None),
    ],
)
def test_what_is_wrong_by_itself_is_named_and_nothing_else(
    folder: Path, change: Callable[[Toy], None], trouble: Trouble, path: str | None
) -> None:
    said = explanation(folder, change)
    assert said.trouble is trouble
    assert (said.culprits[0].path if said.culprits else None) == path
    assert {culprit.path for culprit in said.culprits} <= {path}
    assert bool(said.innocent) or not said.culprits


def test_what_is_between_two_modules_is_told_by_the_input_of_the_second(folder: Path) -> None:
    culprit = explanation(folder, wrong_between).culprits[0]
    assert (culprit.place.path, culprit.place.side, culprit.value) == ("denoiser.second.act", Side.INPUT, "input")


@pytest.mark.parametrize("passes", [((0,), (1,)), ((1,), (0,))])
@pytest.mark.parametrize("reverse", [False, True], ids=["reference in one pass", "candidate in one pass"])
def test_two_passes_are_matched_with_one_and_a_fault_in_them_is_still_found(
    folder: Path, passes: Any, *, reverse: bool
) -> None:
    mine, theirs = (((0, 1),), passes) if reverse else (passes, ((0, 1),))
    healthy = explanation(folder, lambda _: None, mine, theirs)
    assert healthy.trouble in {Trouble.EQUAL, Trouble.ROUNDING}
    assert healthy.places > 50
    (folder / "candidate").rename(folder / "first")
    assert explanation(folder, wrong_layer, mine, theirs).culprits[0].path == "denoiser.first.linear"


def swapped(folder: Path, change: Callable[[Toy], None], places: list[Place], name: str) -> tuple[Swapped, Swapped]:
    """A candidate with the reference's values at some places, and the reference with what the candidate gave there."""

    def order(task: InvestigationTask, made: str, values: str | None = None) -> Investigation:
        return Investigation(
            task=task,
            key=KEY,
            folder=str(folder / f"{name}-{made}"),
            trace_file=str(folder / "reference" / TRACE_FILE),
            places=places,
            values_folder=str(folder / values) if values else None,
        )

    toy = Toy()
    change(toy)
    Toy().investigator().work(order(InvestigationTask.KEEP, "values"))
    patched = toy.investigator().swap(
        _made(folder / f"{name}-patched"), order(InvestigationTask.SWAP, "patched", f"{name}-values")
    )
    injected = (
        Toy()
        .investigator()
        .swap(_made(folder / f"{name}-injected"), order(InvestigationTask.SWAP, "injected", "candidate"))
    )
    return patched, injected


def test_values_of_the_other_side_mend_a_picture_and_spoil_the_other(folder: Path) -> None:
    said = explanation(folder, wrong_layer)
    patched, injected = swapped(folder, wrong_layer, [culprit.place for culprit in said.culprits], "named")
    assert said.floor is not None
    assert patched.gap.finest == 0
    assert injected.gap.finest > LIMIT * said.floor.finest
    assert (patched.replaced, injected.replaced) == (4, 3), "the candidate's own are of the steps that were traced"
    proof = proven(said, patched, injected).proof
    assert proof is not None
    assert proof.word is ProofWord.PROVEN


def test_what_merely_follows_is_not_proven_although_all_that_is_wrong_passes_through_it(folder: Path) -> None:
    said = explanation(folder, wrong_layer)
    follows = Place(path="scheduler.step", side=Side.OUTPUT)
    patched, injected = swapped(folder, wrong_layer, [follows], "follows")
    assert patched.gap.finest == 0, "the picture is mended"
    assert injected.replaced == 0
    proof = proven(said, patched, injected).proof
    assert proof is not None
    assert proof.word is ProofWord.UNDECIDED


def without_bias_and_transposed(toy: Toy) -> None:
    without_bias(toy)
    layer = toy.denoiser.second.linear
    replace(layer, lambda x: torch.nn.functional.linear(x, layer.weight.T, layer.bias))


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        (without_bias, [("denoiser.first.linear", "bias_missing")]),
        (
            without_bias_and_transposed,
            [("denoiser.first.linear", "bias_missing"), ("denoiser.second.linear", "weight_transposed")],
        ),
    ],
)
def test_causes_are_tried_at_each_place_with_the_references_own_module(
    folder: Path, change: Callable[[Toy], None], causes: list[tuple[str, str]]
) -> None:
    said = explanation(folder, change)
    kinds = first_of_kinds(said.culprits)
    orders = [
        Investigation(
            task=InvestigationTask.TRY,
            key=KEY,
            folder=str(_made(folder / f"tried-{number}")),
            trace_file=str(folder / "reference" / TRACE_FILE),
            values_folder=str(folder / "candidate"),
            places=[culprit.place],
            path=culprit.path,
        )
        for number, culprit in enumerate(kinds)
    ]
    tried = [Toy().investigator().attempt(Path(order.folder), order) for order in orders]
    forced = read_record(Forced, folder / "candidate" / FORCED_FILE)
    trace = read_trace_record(folder / "reference" / TRACE_FILE)
    again = explained("toy", KEY, trace, forced, *tried)
    assert [(cause.path, cause.hypothesis) for cause in again.causes] == causes
    assert {record.calls for record in tried} == {3}


def test_of_one_kind_only_the_first_is_tried() -> None:
    def at(path: str) -> Culprit:
        place = Place(path=path, side=Side.OUTPUT)
        return Culprit(path=path, place=place, value="", error=1.0, floor=1e-7, free_error=None)

    wrong = [at(path) for path in ("t.blocks.0.ff", "t.blocks.1.ff", "t.blocks.1.attn", "vae.up.2.norm", "vae.out")]
    assert [culprit.path for culprit in first_of_kinds(wrong)] == ["t.blocks.0.ff", "t.blocks.1.attn", "vae.up.2.norm"]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "the file was cut or changed"),
        (lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:], "the file was cut or changed"),
        (lambda data: data[:100], "is no trace file"),
        (lambda data: data[8:], "is no trace file"),
        (lambda _: b"", "is no trace file"),
    ],
)
def test_a_trace_that_was_cut_or_changed_is_refused(
    folder: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    Toy().investigator("reference").trace(KEY, folder, ["first"], 1 << 30)
    path = folder / TRACE_FILE
    data = path.read_bytes()
    path.write_bytes(spoil(data))
    with pytest.raises(RecordError, match=message):
        read_trace(path)
    path.write_bytes(data)
    assert read_trace(path)[0].arm == "reference"
    path.unlink()
    with pytest.raises(RecordError, match="there is no such trace file"):
        read_trace(path)


def test_a_file_of_tensors_that_is_no_trace_is_refused(folder: Path) -> None:
    path = folder / TENSORS_FILE
    save_file({"0.0": torch.zeros(2)}, path)
    with pytest.raises(RecordError, match="is no trace file"):
        read_trace(path)


def test_a_trace_of_another_model_is_refused_before_any_picture_is_made(folder: Path) -> None:
    Toy().investigator("reference").trace(KEY, folder, ["first"], 1 << 30)
    toy = Toy()
    others: Any = toy.modules
    others["other"] = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(9)))
    investigator = toy.investigator()
    with pytest.raises(RunError, match="the trace is of another model: 8 of 26 weights have the same name"):
        investigator.force(folder / "candidate", folder / TRACE_FILE, WORDS)
    assert investigator.pictures == 0


def test_the_size_of_a_trace_is_known_before_anything_is_kept(folder: Path) -> None:
    told: list[int] = []
    toy = Toy()
    investigator = toy.investigator("reference", told.append)
    trace = investigator.trace(KEY, folder, WORDS, 1 << 30)
    assert told == [trace.tensors_bytes]
    assert 0 < trace.tensors_bytes < (folder / TRACE_FILE).stat().st_size


def test_a_trace_that_is_too_large_is_refused_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(
        RunError, match=r"the trace would have .* allowed are .* --max-gib\. Keep fewer steps with --trace-steps first"
    ):
        Toy().investigator().trace(KEY, folder / "reference", WORDS, 1000)
    assert list((folder / "reference").iterdir()) == []


class Blocks(torch.nn.Module):
    """Numbered blocks, as denoisers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])

    def forward(self, sample: Any, text: Any) -> Any:
        x = sample + text
        for block in self.blocks:
            x = block(x)
        return x


def in_blocks(change: Callable[[Any], None] | None = None) -> Toy:
    toy = Toy()
    torch.manual_seed(1)
    denoiser: Any = Blocks().eval()
    toy.denoiser = denoiser
    toy.modules["denoiser"] = denoiser
    if change:
        change(denoiser.blocks[1].linear)
    return toy


def larger(layer: Any) -> None:
    replace(layer, lambda x: torch.nn.functional.linear(x, layer.weight * 1.001, layer.bias))


def test_where_all_modules_are_too_much_blocks_are_kept_and_then_the_inside_of_the_wrong_one(folder: Path) -> None:
    whole = in_blocks().investigator("reference").trace(KEY, _made(folder / "whole"), WORDS, 1 << 30)
    least = whole.tensors_bytes - 1
    coarse = in_blocks().investigator("reference").trace(KEY, folder / "reference", WORDS, least)
    assert (whole.blocks, coarse.blocks) == (False, True)
    assert {traced.place.path for traced in coarse.places} == {
        "denoiser",
        "denoiser.blocks.0",
        "denoiser.blocks.1",
        "scheduler.step",
        "picture",
    }
    assert coarse.tensors_bytes < whole.tensors_bytes / 2

    def named(change: Callable[[Any], None] | None, trace: Trace, name: str) -> list[str]:
        folder_of = _made(folder / name)
        file = folder / ("inside" if trace.inside else "reference") / TRACE_FILE
        forced = in_blocks(change).investigator().force(folder_of, file, WORDS)
        assert forced.additional == []
        return list(dict.fromkeys(culprit.path for culprit in culprits(trace, forced)))

    assert named(larger, coarse, "coarse") == ["denoiser.blocks.1"]
    assert named(None, coarse, "healthy") == []
    inside = (
        in_blocks().investigator("reference").trace(KEY, _made(folder / "inside"), WORDS, least, "denoiser.blocks.1")
    )
    assert named(larger, inside, "fine") == ["denoiser.blocks.1.linear"]
    assert named(None, inside, "healthy-inside") == []


def test_an_unknown_module_to_look_inside_of_is_refused_with_the_nearest_one(folder: Path) -> None:
    investigator = in_blocks().investigator()
    with pytest.raises(RunError, match=r"found 'denoiser\.block\.1', .* The nearest are denoiser\.blocks\.1, "):
        investigator.trace(KEY, folder / "reference", WORDS, 1 << 30, "denoiser.block.1")
    assert investigator.pictures == 0


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("memory", "half of the free memory. Keep fewer steps"),
        ("disk", "the free disk. Keep fewer steps"),
    ],
)
def test_a_trace_for_which_there_is_no_room_is_refused_before_anything_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, message: str
) -> None:
    if lacking == "disk":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    else:
        monkeypatch.setattr(tracing, "available_memory_bytes", lambda: 2)
    with pytest.raises(RunError, match=message):
        Toy().investigator().trace(KEY, folder / "reference", WORDS, 1 << 30)
    assert list((folder / "reference").iterdir()) == []


def test_a_swap_in_a_picture_that_is_not_the_references_to_rounding_proves_nothing(folder: Path) -> None:
    said = explanation(folder, wrong_layer)
    patched, injected = swapped(folder, wrong_layer, [culprit.place for culprit in said.culprits], "named")
    assert said.floor is not None
    for size, word in ((LIMIT / 2, ProofWord.PROVEN), (LIMIT * 2, ProofWord.UNDECIDED)):
        away = injected.gap.model_copy(update={"latents": size * said.floor.finest})
        proof = proven(said, patched, injected, injected.model_copy(update={"gap": away})).proof
        assert proof is not None
        assert proof.word is word


def test_a_module_that_fails_while_it_is_watched_is_named(folder: Path) -> None:
    toy = Toy()

    def broken(_: Any) -> Any:
        raise ZeroDivisionError("no kernel")

    replace(toy.denoiser.second.norm, broken)
    with pytest.raises(
        RunError, match=r"denoiser\.second\.norm failed while it was watched: ZeroDivisionError: no kernel"
    ):
        toy.investigator().force(folder, None, WORDS)
