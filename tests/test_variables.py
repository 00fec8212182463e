"""One table of variables that change numbers: doctor tells them, records hold them, and no backend knows another."""

from __future__ import annotations

import pytest

from harness import plugins, variables
from harness.backends import cpu, cuda, npu
from harness.diagnose.checks import diagnose
from harness.diagnose.switches import SWITCHES
from harness.records import Severity, Switch, SwitchMode
from harness.run.worker.environment import with_variables
from tests.diagnose.planted_machines import plain_machine

WITHOUT_NUMBERS = {
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "OMP_WAIT_POLICY",
    "ASCEND_LAUNCH_BLOCKING",
    "ASCEND_RT_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "MULTI_STREAM_MEMORY_REUSE",
    "NPU_ASD_ENABLE",
    "PER_STREAM_QUEUE",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NO_NPU_MEMORY_CACHING",
    "PYTORCH_NPU_ALLOC_CONF",
    "TASK_QUEUE_ENABLE",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
}
"""What backends and doctor look at though it changes the order of work, memory or waiting, and no arithmetic."""


def test_every_variable_stands_once_with_its_effect_and_its_source() -> None:
    names = [entry.name for entry in variables.TABLE]
    assert len(names) == len(set(names))
    assert all(entry.effect and len(entry.source) > 10 for entry in variables.TABLE)


def test_what_backends_and_doctor_look_at_is_in_the_table() -> None:
    looked_at = {switch.variable for switch in SWITCHES}
    looked_at |= {*cpu._VARIABLES, *cuda._VARIABLES, *npu._DETERMINISTIC, *npu._RECORDED}
    for backend in plugins.names("backends"):
        looked_at |= set(plugins.load("backends", backend).start_environment(SwitchMode.DETERMINISTIC))
    assert {name for name in looked_at if not variables.known(name)} == WITHOUT_NUMBERS & looked_at


@pytest.mark.parametrize(
    "name", ["DIFFUSERS_ATTN_BACKEND", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCHINDUCTOR_MAX_AUTOTUNE", "HCCL_ALGO"]
)
def test_a_variable_that_is_set_is_told_by_doctor_and_recorded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    told = [
        finding for finding in diagnose(plain_machine(environment={name: "1"})).findings if name in finding.observed
    ]
    assert len(told) == 1
    assert told[0].changes_numbers
    recorded = {switch.name: switch for switch in with_variables([])}
    assert recorded[name] == Switch(name=name, requested=None, effective="1", source="environment")


@pytest.mark.parametrize(
    "name", ["HOME_MADE", "PIP_INDEX_URL", "DIFFUSERS_VERBOSITY", "TORCHINDUCTOR", *variables.HARMLESS]
)
def test_a_variable_that_changes_no_number_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not any(name in finding.observed for finding in diagnose(plain_machine(environment={name: "1"})).findings)
    assert name not in {switch.name for switch in with_variables([])}


def test_a_variable_that_may_be_anything_is_no_warning_and_one_that_redirects_is() -> None:
    (found,) = (
        finding
        for finding in diagnose(plain_machine(environment={"DIFFUSERS_ATTN_BACKEND": "flash"})).findings
        if finding.name == "variable"
    )
    assert found.severity is Severity.HARMLESS
    assert "the same in all runs" in found.expected
    override = diagnose(plain_machine(environment={"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}))
    assert any(finding.severity is Severity.WARNING for finding in override.findings)


def test_what_a_backend_records_is_not_recorded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    own = Switch(name="OMP_NUM_THREADS", requested="2", effective="2", source="scenario")
    assert [switch.name for switch in with_variables([own])].count("OMP_NUM_THREADS") == 1


def test_a_home_folder_in_a_value_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", "/home/somebody/operators")
    (found,) = (switch for switch in with_variables([]) if switch.name == "ASCEND_CUSTOM_OPP_PATH")
    assert "somebody" not in str(found.effective)


def test_older_random_numbers_of_torch_npu_are_told_once() -> None:
    for value, severity in (("gelu,randomness", Severity.WARNING), ("gelu", Severity.HARMLESS)):
        findings = diagnose(plain_machine(environment={"TORCH_NPU_LEGACY_IMPL_LIST": value})).findings
        told = [finding for finding in findings if "TORCH_NPU_LEGACY_IMPL_LIST" in finding.observed]
        assert [finding.severity for finding in told] == [severity], value
