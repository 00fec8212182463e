"""The whole way on simulated cards: scenarios, references on the CPU, faults of operators, and cards that fail.

Workers are children with the real torch_npu; nothing of the harness knows that the cards are played, but for the
word that it finds in the library.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import Run, from_json
from tests.command_line import PLANTED, ROOT, with_texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Ended, RunHarness, WriteScenario

WHY_100_DB = "Between the rounding of a simulated card and the mildest of the faults that are planted below."
IDENTICAL = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The same card and noise, so the same."}
CLOSE = {
    "metric": "psnr_db",
    "subject": "float_image",
    "scope": "reference",
    "at_least": 100,
    "reason": WHY_100_DB,
}
ONCE = {"in_process": 1, "processes": 1}
ARMS = [
    {"name": "npu", "device": "npu"},
    {"name": "cpu-kernels", "role": "reference", "device": "cpu", "npu_ops": "reference", "repeats": ONCE},
    {"name": "cpu-plain", "role": "reference", "device": "cpu", "npu_ops": "hidden", "repeats": ONCE},
]


@pytest.fixture
def referenced(write_scenario: WriteScenario) -> Path:
    """One candidate on a card and two references on the CPU, in float32, with and without padding in the texts."""
    return write_scenario(
        model={"dtype": "float32"},
        cases=[
            {"id": "padded", "prompt": "a blue circle"},
            {"id": "even", "prompt": "a blue circle", "negative_prompt": "a pink circle"},
        ],
        arms=ARMS,
        limits=[IDENTICAL, CLOSE],
    )


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[str], Any]:
    """Reads a file of the only job folder."""

    def read(name: str) -> Any:
        (folder,) = (tmp_path / "runs").iterdir()
        text = (folder / name).read_text(encoding="utf-8")
        if name.endswith("run.json"):
            return from_json(Run, text, place=name)
        return with_texts(json.loads(text)) if name.endswith(".json") else text

    return read


def measured(comparison: Any, metric: str, subject: str) -> list[float]:
    return [
        float(each["value"])
        for pair in comparison["pairs"]
        for each in pair["measurements"]
        if (each["metric"], each["subject"]) == (metric, subject)
    ]


# --- shipped scenarios -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "case"), [("tiny-t2i", "blue-pizza"), ("tiny-edit", "green-tea")])
@pytest.mark.parametrize("device", ["npu:0", "npu:1"])
def test_repeats_on_a_card_are_identical(
    scenario: str, case: str, device: str, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    words = ["--device", device, "--case", case, "--seed", "42", "--repeats", "1"]
    ended = run_harness("check", ROOT / "scenarios" / f"{scenario}.yaml", *words)
    assert ended.code == 0, ended.out + ended.err
    for arm in ("portable", "as-shipped"):
        run: Run = stored(f"{arm}/run.json")
        assert [len({sample.image.digest for sample in run.samples}), len(run.samples)] == [1, 2]
        assert run.environment is not None
        assert (run.environment.device, run.environment.simulated, run.environment.npu_ops) == (device, True, "native")
        assert run.loaded is not None
        places = {name: use.device for name, use in run.loaded.memory.items() if name != "device"}
        assert places == dict.fromkeys(["transformer", "vae", "vlm", "connector"], device)


# --- references ------------------------------------------------------------------------------------------------------


def test_a_card_with_the_cpus_values_equals_both_references_to_the_last_byte(
    referenced: Path, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", referenced, ASCEND_SIM_VALUES="exact")
    assert ended.code == 0, ended.out + ended.err
    for reference in ("cpu-kernels", "cpu-plain"):
        assert stored(f"comparison-reference-npu-against-{reference}.json")["outcome"] == "identical"


def test_a_card_that_rounds_as_documented_is_near_both_references_and_the_report_says_all(
    referenced: Path, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", referenced, ASCEND_SIM_VALUES="documented")
    assert ended.code == 0, ended.out + ended.err
    for reference, answered in (("cpu-kernels", "reference"), ("cpu-plain", "hidden")):
        comparison = stored(f"comparison-reference-npu-against-{reference}.json")
        assert comparison["outcome"] == "within_limits"
        assert comparison["expected"]["npu_ops"] == answered
        values = measured(comparison, "psnr_db", "float_image")
        assert 100 < min(values) <= max(values) < 150, "near, and honestly not equal"
    kernels, plain = (stored(f"{arm}/run.json") for arm in ("cpu-kernels", "cpu-plain"))
    assert all(set(sample.npu_calls) == {"npu_rms_norm"} for sample in kernels.samples)
    assert all(sample.npu_calls == {} for sample in plain.samples)
    assert kernels.samples[0].image.digest == plain.samples[0].image.digest, "float32 RMSNorm is the same formula"
    for page in ("report/index.html", "report/report.md"):
        text = stored(page)
        assert "SIMULATED" in text
        assert "npu_rms_norm" in text
        assert "Ascend910B4" in text
        for component in ("transformer", "vae", "vlm", "connector"):
            assert component in text
    assert "simulated" in ended.out.lower()


FAULTS = {
    "wrong_eps": 1,
    "gelu_form": 1,
    "mask_ignored": 1,
    "mask_inverted": 1,
    "fp16_accumulation": 1,
    "stale_cache": 1,
    "changing_order": 6,  # rounding alone: it breaks no limit of accuracy, and determinism always
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_an_operator_is_found_and_the_limit_named(
    fault: str, referenced: Path, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", referenced, ASCEND_SIM_VALUES="documented", ASCEND_SIM_FAULTS=fault)
    assert f"ascend_sim: fault {fault} struck" in stored("npu/logs/p0.log"), "the fault was met"
    assert ended.code == FAULTS[fault], ended.out + ended.err
    broken = "psnr_db of the float output at least 100" if ended.code == 1 else "identical equals 1"
    page = stored("report/report.md")
    assert f"| `{broken}` | **{'DRIFT' if ended.code == 1 else 'UNSTABLE'}** |" in page


# --- padded rows -----------------------------------------------------------------------------------------------------


def test_padded_rows_are_told_apart_and_only_texts_of_unequal_length_have_them(
    referenced: Path, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    assert run_harness("check", referenced, "--repeats", "1", ASCEND_SIM_VALUES="documented").code == 0
    traces = {
        pair["key"]["case"]: [trace["name"] for trace in pair["traces"]]
        for pair in stored("comparison-reference-npu-against-cpu-plain.json")["pairs"]
    }
    assert traces == {
        "padded": ["text_encoding/real_rows", "text_encoding/padded_rows"],
        "even": ["text_encoding/real_rows"],
    }


def test_flash_attention_is_replaced_by_sdpa_and_the_record_says_what_that_means(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    path = write_scenario(model={"attention": "flash_attention_2"}, arms=[ARMS[0]])
    ended = run_harness("check", path)
    assert ended.code == 0, ended.out + ended.err
    run: Run = stored("npu/run.json")
    assert run.loaded is not None
    (words,) = run.loaded.substitutions
    assert "flash_attention_2 was asked for and sdpa runs on npu" in words
    assert "padded rows" in words


# --- switches and memory ---------------------------------------------------------------------------------------------


def test_switches_are_in_force_where_they_were_asked_for_and_untouched_where_not(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    arms = [
        {"name": "set", "device": "npu", "switches": "deterministic"},
        {"name": "shipped", "device": "npu", "switches": "as_shipped"},
    ]
    assert run_harness("check", write_scenario(arms=arms)).code == 0
    found = {
        arm: {switch.name: switch for switch in stored(f"{arm}/run.json").environment.switches}
        for arm in ("set", "shipped")
    }
    for name, wanted, shipped in (
        ("torch.npu.conv.allow_hf32", "False", "True"),
        ("torch.npu.matmul.allow_hf32", "False", "False"),
        ("torch.are_deterministic_algorithms_enabled", "True", "False"),
        ("torch_npu.npu.set_deterministic_level", "1", "0"),
        ("HCCL_DETERMINISTIC", "true", None),
        ("TORCH_NPU_FALLBACK_CPU_DISABLE", "1", None),
    ):
        assert found["set"][name].effective == wanted, name
        assert found["shipped"][name].effective == shipped, name
        assert found["shipped"][name].requested is None, name


def test_memory_is_the_cards_own_count_by_component_and_by_stage(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    assert run_harness("run", write_scenario(arms=[ARMS[0]])).code == 0
    run: Run = stored("npu/run.json")
    assert run.loaded is not None
    memory = dict(run.loaded.memory)
    whole = memory.pop("device").allocated_bytes
    parts = sum(use.allocated_bytes for use in memory.values())
    assert parts <= whole < 1.3 * parts, "the allocator rounds every tensor up, and nothing else is on the card"
    sample = run.samples[0]
    stages = {name: use.peak_bytes for name, use in sample.stage_memory.items()}
    assert stages["total"] == sample.memory["device"].peak_bytes == max(filter(None, stages.values()))
    assert len(set(stages.values())) > 2, "each stage has a peak of its own"
    assert set(run.loaded.components) >= set(sample.seconds) - {"total"}


def test_an_operator_that_would_run_on_the_cpu_is_a_failure_and_not_a_pass(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    path = write_scenario(model={"adapter": "planted-fallback"}, arms=[ARMS[0]])
    ended = run_harness("run", path)
    assert ended.code == 3
    (failure, *_) = stored("npu/run.json").failures
    assert failure.stage == "generate"
    assert "aten::lgamma" in failure.message
    assert "CPU" in failure.message


# --- cards that fail -------------------------------------------------------------------------------------------------


def failed(ended: Ended, stored: Callable[[str], Any]) -> tuple[str, str]:
    """Stage and words of the first failure of a run that ended with exit code 3."""
    assert ended.code == 3, ended.out + ended.err
    (failure, *_) = stored("npu/run.json").failures
    return failure.stage, f"{failure.error}: {failure.message}"


def test_a_card_without_enough_memory_is_a_failure_in_torchs_own_words(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", write_scenario(arms=[ARMS[0]]), ASCEND_SIM_HBM_MB="4")
    stage, words = failed(ended, stored)
    assert stage == "load"
    assert words.startswith("OutOfMemoryError: NPU out of memory. Tried to allocate")


def test_a_card_that_is_lost_on_the_way_is_a_failure_in_torch_npus_own_words(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", write_scenario(arms=[ARMS[0]]), ASCEND_SIM_LOSE_CARD_AFTER="400")
    stage, words = failed(ended, stored)
    assert stage == "generate"
    assert "NPU" in words
    assert "error code is" in words


def test_a_pipeline_that_asks_for_another_card_fails_in_torch_npus_own_words(
    write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", write_scenario(model={"adapter": "planted-other-card"}, arms=[ARMS[0]]))
    stage, words = failed(ended, stored)
    assert stage == "generate"
    assert "Invalid device ID" in words


def test_a_card_that_is_not_there_is_refused_with_the_number_of_those_that_are(
    write_scenario: WriteScenario, run_harness: RunHarness
) -> None:
    ended = run_harness("run", write_scenario(arms=[ARMS[0]]), "--device", "npu:2")
    assert ended.code == 3
    assert "npu has 2 device(s), counted from 0" in ended.err


# --- without CANN ----------------------------------------------------------------------------------------------------


@pytest.fixture
def without_cann(monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of a machine on which torch_npu is installed and no CANN is: the stand-in's folder is left out."""
    monkeypatch.delenv("ASCEND_SIM_DEVICES")
    monkeypatch.delenv("TORCH_DEVICE_BACKEND_AUTOLOAD")
    kept = [word for word in os.environ["PYTHONPATH"].split(os.pathsep) if "ascend_sim" not in word]
    return os.pathsep.join([str(PLANTED), *kept])


@pytest.mark.without_cards
def test_without_cann_the_refusal_is_one_line_that_names_the_library(
    without_cann: str, write_scenario: WriteScenario, run_harness: RunHarness
) -> None:
    ended = run_harness("run", write_scenario(), "--device", "npu", PYTHONPATH=without_cann)
    assert ended.code == 3
    (line,) = ended.err.strip().splitlines()
    assert "torch_npu 2.13.0 needs CANN: libhccl.so cannot be opened" in line


@pytest.mark.without_cards
def test_without_cann_a_cpu_run_is_ordinary(
    without_cann: str, write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    ended = run_harness("check", write_scenario(), "--device", "cpu", PYTHONPATH=without_cann)
    assert ended.code == 0, ended.out + ended.err
    assert stored("candidate/run.json").environment.npu_ops == "hidden"


@pytest.mark.without_cards
def test_without_cann_reference_kernels_are_refused_with_the_library_that_is_missing(
    without_cann: str, write_scenario: WriteScenario, run_harness: RunHarness, stored: Callable[[str], Any]
) -> None:
    arms = [{"name": "npu", "device": "cpu", "npu_ops": "reference"}]
    ended = run_harness("run", write_scenario(arms=arms), PYTHONPATH=without_cann)
    stage, words = failed(ended, stored)
    assert stage == "start"
    assert "libhccl.so" in words
