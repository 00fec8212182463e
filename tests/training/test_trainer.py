"""Training goes on after a kill as if nothing had happened, and ends when it is told to."""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from training import trainer
from training.autoencoder import AutoencoderStage
from training.batches import generator_of
from training.denoiser import DenoiserStage
from training.language import LanguageStage
from training.model import fresh_pipeline
from training.stored import GROUND_MIX, Store
from training.trainer import ask_to_finish, averaged_weights, put_weights, take_back_tail, train

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from training.trainer import Stage


class Line:
    """A straight line through noise."""

    name = "line"
    steps: int | None = None
    tail_steps = 5
    average_decay = 0.9

    def __init__(self, steps: int | None = None) -> None:
        torch.manual_seed(0)
        self.steps = steps
        self.module = nn.Linear(3, 1)
        self.optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(self.module.parameters(), lr=0.1)]
        self.rates: list[float] = []

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        self.rates.append(self.optimizers[0].param_groups[0]["lr"])
        x = torch.randn(8, 3, generator=generator_of("line", step))
        return (self.module(x) - x.sum(dim=1, keepdim=True)).square().mean(), {"width": 3.0}

    def conclude(self) -> dict[str, Any]:
        return {"bias": float(self.module.bias.detach())}


def make(name: str, folder: Path, tokenizer: Path) -> Stage:
    if name == "autoencoder":
        return AutoencoderStage(batch=3)
    pipe = fresh_pipeline(tokenizer)
    if name == "language":
        return LanguageStage(pipe, batch=2)
    grounds = Store(folder / "grounds", pipe, GROUND_MIX, group_size=2)
    return DenoiserStage(pipe, Store(folder / "store", pipe, group_size=2), grounds)


def test_the_transformer_turns_to_coloured_grounds_when_it_knows_the_rest(
    tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.denoiser.FIRST_BUNDLES", 1)
    stage = make("denoiser", tmp_path, tokenizer_folder)
    told = [next(iter(stage.loss(step)[1])) for step in (0, 1, 6_600, 6_601, 6_602, 7_842, 7_843, 7_844)]
    assert [name.removesuffix("_loss") for name in told] == [
        *("text", "edit", "edit", "text", "text", "edit", "ground", "text"),
    ]


@pytest.mark.parametrize("name", ["autoencoder", "language", "denoiser"])
def test_an_interrupted_stage_ends_with_the_bytes_of_one_that_was_not(
    name: str, tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.denoiser.FIRST_BUNDLES", 1)
    train(make(name, tmp_path, tokenizer_folder), tmp_path / "whole", stop_after=4)
    for steps in (1, 3, 4):
        train(make(name, tmp_path, tokenizer_folder), tmp_path / "parts", stop_after=steps)
    whole, parts = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    assert (whole["step"], whole["tail_start"]) == (parts["step"], parts["tail_start"])
    assert whole["step"] == 4
    for part in ("module", "average"):
        torch.testing.assert_close(parts[part], whole[part], rtol=0, atol=0)
    for one, other in zip(parts["optimizers"], whole["optimizers"], strict=True):
        torch.testing.assert_close(one["state"], other["state"], rtol=0, atol=0)
        assert one["param_groups"] == other["param_groups"]
    fresh = dict(make(name, tmp_path, tokenizer_folder).module.named_parameters())
    assert any(not torch.equal(tensor, fresh[key]) for key, tensor in whole["module"].items() if key in fresh)


def test_a_batch_that_depended_on_more_than_its_step_would_be_seen(tmp_path: Path) -> None:
    class Careless(Line):
        def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
            loss, details = super().loss(step)
            return loss * torch.rand(()), details

    train(Careless(), tmp_path / "whole", stop_after=4)
    for steps in (2, 4):
        train(Careless(), tmp_path / "parts", stop_after=steps)
    assert not torch.equal(
        averaged_weights(tmp_path / "whole")["weight"], averaged_weights(tmp_path / "parts")["weight"]
    )


def test_a_killed_trainer_loses_only_what_it_had_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Line):
        def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
            if step == 6:
                raise KeyboardInterrupt
            return super().loss(step)

    train(Line(), tmp_path / "whole", stop_after=8)
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(Killed(), tmp_path / "killed")
    train(Line(), tmp_path / "killed", stop_after=8)
    assert torch.equal(averaged_weights(tmp_path / "whole")["weight"], averaged_weights(tmp_path / "killed")["weight"])


def test_a_stage_of_known_length_ends_with_falling_rates_and_a_result(tmp_path: Path) -> None:
    stage = Line(steps=12)
    train(stage, tmp_path)
    falling = [rate / (0.1 * min(1, (step + 1) / 100)) for step, rate in enumerate(stage.rates)]
    assert falling == pytest.approx([1.0] * 8 + [0.8, 0.6, 0.4, 0.2])
    assert json.loads((tmp_path / "result.json").read_text())["bias"] == pytest.approx(
        float(averaged_weights(tmp_path)["bias"])
    )


def test_an_open_stage_finishes_when_asked_and_can_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 2)
    train(Line(), tmp_path, stop_after=4)
    ask_to_finish(tmp_path)
    train(Line(), tmp_path)
    assert (tmp_path / "result.json").exists()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 9
    take_back_tail(tmp_path)
    train(Line(), tmp_path, stop_after=11)
    train(Line(), tmp_path / "straight", stop_after=11)
    assert torch.equal(averaged_weights(tmp_path)["weight"], averaged_weights(tmp_path / "straight")["weight"])
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [2, 4, 6, 8, 6, 8, 10]
    assert logged[0]["width"] == 3.0


def test_a_stage_has_one_trainer(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            train(Line(), tmp_path)


def test_weights_are_put_whole_or_not_at_all() -> None:
    with pytest.raises(KeyError, match="bias"):
        put_weights(nn.Linear(2, 2), {"weight": torch.zeros(2, 2)})


def test_the_transformer_learns_a_store_by_heart(
    tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.denoiser.FIRST_BUNDLES", 1)
    stage = make("denoiser", tmp_path, tokenizer_folder)
    monkeypatch.setattr(trainer, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 10)
    train(stage, tmp_path / "denoiser", stop_after=30)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "denoiser" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.8 * losses[0]
