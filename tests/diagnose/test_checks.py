"""Every check is seen to fail on a machine with its fault, and to keep still on the nearest one without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from harness.contracts import Availability
from harness.diagnose.checks import CANN_OF_TORCH_NPU, EVERYWHERE, FOR_THE_NPU, diagnose
from harness.diagnose.machine import Cann, Machine, Place
from harness.diagnose.npu_smi import NpuSmi
from harness.diagnose.switches import SWITCHES
from harness.records import Finding, Severity
from tests.diagnose.planted_machines import CHIP, CPU, NO_CANN, NO_GPU, TWO_CARDS, npu_machine, plain_machine

BAD = {Severity.BLOCKED, Severity.WARNING}


def bad(machine: Machine) -> list[Finding]:
    return [each for each in diagnose(machine).findings if each.severity in BAD]


def of(severity: Severity, machine: Machine) -> list[Finding]:
    return [each for each in diagnose(machine).findings if each.severity is severity]


def test_nothing_is_wrong_with_a_sound_machine() -> None:
    assert bad(npu_machine()) == []
    assert {each.name for each in of(Severity.OK, npu_machine())} == {
        *("device", "torch", "libraries", "switches", "CANN", "driver", "cards", "memory")
    }
    assert bad(plain_machine()) == []


def cann(version: str, *, active: bool = True) -> list[Cann]:
    folder = f"/usr/local/Ascend/cann-{version}"
    return [Cann(path=folder, version=version, set_env=f"{folder}/set_env.sh", active=active)]


def cards(*changes: dict[str, Any]) -> NpuSmi:
    return NpuSmi(state="answered", version="24.1", chips=[replace(CHIP, **each) for each in changes])


class Case(NamedTuple):
    """A fault of an NPU machine on which the cards work all the same, and the nearest sound machine."""

    fault: dict[str, Any]
    sound: dict[str, Any]
    name: str
    says: tuple[str, ...]
    numbers: bool = False


FAULTS = {
    "torch_npu for another torch": Case(
        {"packages": {"torch": "2.10.0+cpu"}},
        {"packages": {"torch": "2.9.0"}},
        "torch_npu",
        ("torch_npu 2.9.0 beside torch 2.10.0+cpu", "torch==2.9.0"),
    ),
    "torch for CUDA": Case(
        {"torch_cuda": "12.8"}, {"torch_cuda": ""}, "torch_npu", ("CUDA 12.8", "refuses", "built for the CPU")
    ),
    "no CANN": Case(
        {"cann": []}, {"cann": cann("8.5.0")}, "CANN", ("no CANN in /usr/local/Ascend", "CANN 8.5.0", "set_env.sh")
    ),
    "CANN that nobody activated": Case(
        {"cann": cann("8.5.0", active=False), "environment": {"ASCEND_HOME_PATH": None}},
        {"cann": cann("8.5.0")},
        "CANN",
        ("ASCEND_HOME_PATH is not set", "source /usr/local/Ascend/cann-8.5.0/set_env.sh"),
    ),
    "a stale ASCEND_HOME_PATH": Case(
        {"cann": cann("8.5.0", active=False), "environment": {"ASCEND_HOME_PATH": "/opt/gone"}},
        {"cann": [*cann("8.2.RC1", active=False), *cann("8.5.0")]},
        "CANN",
        ("ASCEND_HOME_PATH is /opt/gone, which holds no CANN", "source"),
    ),
    "an old CANN": Case(
        {"cann": cann("8.3.RC1"), "packages": {"torch": "2.8.0+cpu", "torch_npu": "2.8.0"}},
        {"cann": cann("8.5.1")},
        "CANN",
        ("CANN 8.3.RC1", "8.5.0 or later"),
        numbers=True,
    ),
    "a CANN of another torch_npu": Case(
        {"cann": cann("9.0.0")},
        {"cann": cann("9.0.0"), "packages": {"torch_npu": "2.9.0.post2"}},
        "versions",
        ("torch_npu 2.9.0 with CANN 9.0.0", "CANN 8.5.0"),
        numbers=True,
    ),
    "folders that may not be read": Case(
        {"ascend_folders": [Place(path="/usr/local/Ascend", owner="root", usable=False)]},
        {"ascend_folders": [Place(path="/usr/local/Ascend", owner="root", usable=True)]},
        "folder",
        ("/usr/local/Ascend belongs to root", "chmod"),
    ),
    "no device file": Case({"device_files": []}, {}, "driver", ("/dev/davinci0", "--device /dev/davinci_manager")),
    "a device file that may not be used": Case(
        {"device_files": [Place(path="/dev/davinci1", owner="root", usable=False)]},
        {"device_files": [Place(path="/dev/davinci1", owner="root", usable=True)]},
        "driver",
        ("/dev/davinci1 may not be read", "group"),
    ),
    "no npu-smi": Case({"npu_smi": NpuSmi(state="missing")}, {}, "npu-smi", ("not installed", "mount")),
    "npu-smi is refused": Case(
        {"npu_smi": NpuSmi(state="failed", complaint="dcmi module initialize failed. ret is -8005")},
        {"npu_smi": cards({}, {"card": 1})},
        "npu-smi",
        ("dcmi module initialize failed. ret is -8005", "another container"),
    ),
    "an ill card": Case(
        {"npu_smi": cards({}, {"card": 3, "health": "Alarm"})},
        {"npu_smi": cards({}, {"card": 3, "health": "OK"})},
        "health",
        ("card 3 chip 0 (910B4)", "Alarm", "-i 3"),
        numbers=True,
    ),
    "processes on a card": Case(
        {"npu_smi": cards({}, {"chip": 1, "processes": 2})},
        {"npu_smi": cards({}, {"chip": 1, "processes": 0})},
        "busy",
        ("card 0 chip 1: 2 processes", "2847 of 32768 MB", "--device npu:N"),
    ),
    "a card at work for somebody unseen": Case(
        {"npu_smi": cards({"load_percent": 87})},
        {"npu_smi": cards({"load_percent": 0})},
        "busy",
        ("AI cores 87 %", "0 processes"),
    ),
    "a small card": Case(
        {"backends": {"npu": replace(TWO_CARDS, memory_bytes=(8 * 2**30, 2**35))}},
        {"backends": {"npu": replace(TWO_CARDS, memory_bytes=(14_346_011_318, 2**35))}},
        "memory",
        ("a card has 8.0 GiB", "13.4 GiB", "peak is not known"),
    ),
    "a small card by npu-smi": Case(
        {"backends": {"npu": replace(TWO_CARDS, memory_bytes=())}, "npu_smi": cards({"total_mb": 8192})},
        {"backends": {"npu": replace(TWO_CARDS, memory_bytes=())}, "npu_smi": cards({})},
        "memory",
        ("a card has 8.0 GiB",),
    ),
    "full cards": Case(
        {"npu_smi": cards({"used_mb": 31000}, {"used_mb": 20000})},
        {"npu_smi": cards({"used_mb": 31000}, {"used_mb": 2000})},
        "memory",
        ("no card has more than 12.5 GiB free", "ended"),
    ),
    "diffusers before masks were right": Case(
        {"packages": {"diffusers": "0.37.1"}},
        {"packages": {"diffusers": "0.38.0"}},
        "diffusers",
        ("_native_npu inverts only some masks", "0.38"),
        numbers=True,
    ),
    "diffusers before masks": Case(
        {"packages": {"diffusers": "0.35.2"}}, {}, "diffusers", ("_native_npu ignores masks",), numbers=True
    ),
    "diffusers before DeepGen": Case(
        {"packages": {"diffusers": "0.34.0"}}, {}, "diffusers", ("DeepGen-1.0 asks for 0.35",), numbers=True
    ),
    "transformers 5": Case(
        {"packages": {"transformers": "5.0.0"}},
        {"packages": {"transformers": "4.57.6"}},
        "transformers",
        ("version 5", "'transformers>=4.56,<5'"),
    ),
    "no accelerate": Case(
        {"packages": {"accelerate": None}}, {}, "accelerate", ("not installed", "pip install -c constraints")
    ),
    "an import of torch that wants CANN": Case(
        {"torch_error": "RuntimeError: Failed to load the backend extension: torch_npu."},
        {"torch_error": ""},
        "autoload",
        ("your own scripts", "export TORCH_DEVICE_BACKEND_AUTOLOAD=0", "own workers"),
    ),
    "torch.cuda redirected without a variable": Case(
        {"transfers_to_npu": True}, {"transfers_to_npu": False}, "switch", ("transfer_to_npu", ".pth"), numbers=True
    ),
    "visible devices out of order": Case(
        {"environment": {"ASCEND_RT_VISIBLE_DEVICES": "1,0"}},
        {"environment": {"ASCEND_RT_VISIBLE_DEVICES": "0,1"}},
        "switch",
        ("ascend", "export ASCEND_RT_VISIBLE_DEVICES=0,1"),
    ),
    "two settings of one allocator": Case(
        {"environment": {"PYTORCH_NPU_ALLOC_CONF": "a:1", "PYTORCH_ALLOC_CONF": "a:1"}},
        {"environment": {"PYTORCH_NPU_ALLOC_CONF": "a:1"}},
        "switch",
        ("both set", "unset"),
    ),
    "the older random stream": Case(
        {"environment": {"TORCH_NPU_LEGACY_IMPL_LIST": "gelu,randomness"}},
        {"environment": {"TORCH_NPU_LEGACY_IMPL_LIST": "gelu"}},
        "switch",
        ("one seed gives other noise",),
        numbers=True,
    ),
    "simulated cards": Case(
        {"backends": {"npu": replace(TWO_CARDS, simulated=True, reason="Ascend910B4 (simulated)")}},
        {"backends": {"npu": TWO_CARDS}},
        "SIMULATED",
        ("2 SIMULATED npu device(s)", "no result for evidence"),
        numbers=True,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_alone_and_with_a_next_step(fault: str) -> None:
    case = FAULTS[fault]
    assert bad(npu_machine(**case.sound)) == []
    (found,) = bad(npu_machine(**case.fault))
    assert (found.name, found.severity, found.changes_numbers) == (case.name, Severity.WARNING, case.numbers)
    text = f"{found.observed} {found.expected} {found.next_step}"
    for words in case.says:
        assert words in text
    assert found.observed
    assert found.expected
    assert found.next_step


CAUSES = [
    *("torch_npu for another torch", "torch for CUDA", "no CANN", "CANN that nobody activated"),
    *("a stale ASCEND_HOME_PATH", "a CANN of another torch_npu", "folders that may not be read", "no device file"),
    *("a device file that may not be used", "visible devices out of order", "two settings of one allocator"),
]


@pytest.mark.parametrize("fault", CAUSES)
def test_a_cause_is_a_block_where_the_cards_do_not_work(fault: str) -> None:
    case = FAULTS[fault]
    answer = {"npu": Availability(available=False, reason="torch_npu 2.9.0 finds no card")}
    broken = npu_machine(**{**case.fault, "backends": answer})
    assert {each.name for each in of(Severity.BLOCKED, broken)} == {"npu", case.name}
    assert diagnose(broken).exit_code(strict=False) == 3
    assert diagnose(npu_machine(**case.fault)).exit_code(strict=False) == 0


# --- switches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda each: each.variable)
def test_a_switch_is_noticed_on_any_machine_and_by_its_value(switch: Any) -> None:
    for value in (switch.values[0], f" {switch.values[-1].upper()}"):
        environment = {switch.variable: value}
        (found,) = [each for each in diagnose(plain_machine(environment=environment)).findings if each.name == "switch"]
        assert found.observed.startswith(f"{switch.variable}=")
        assert (found.severity, found.changes_numbers) == (switch.severity, switch.changes_numbers)
    for value in ("", "something else"):
        assert bad(plain_machine(environment={switch.variable: value})) == []


def test_a_redirected_torch_is_told_once() -> None:
    machine = plain_machine(environment={"TORCH_TRANSFER_TO_NPU": "1"}, transfers_to_npu=True)
    assert len(bad(machine)) == 1


# --- devices and packages --------------------------------------------------------------------------------------------


def test_a_plain_machine_can_use_its_cpu_and_says_why_nothing_else() -> None:
    diagnosis = diagnose(plain_machine())
    assert diagnosis.exit_code(strict=True) == 0
    assert diagnosis.summary == "Only the CPU can be used here; 0 warnings."
    assert "npu (torch_npu is not installed)" in diagnosis.findings[0].observed


@pytest.mark.parametrize("wanted", ["npu", "cuda"])
def test_a_device_that_is_asked_for_and_not_there_blocks(wanted: str) -> None:
    diagnosis = diagnose(plain_machine(wanted=wanted))
    assert diagnosis.exit_code(strict=False) == 3
    found = next(each for each in diagnosis.findings if each.name == wanted)
    assert plain_machine().backends[wanted].reason in found.observed
    assert found.next_step.endswith("until then there is --device cpu.")


def test_an_npu_is_wanted_where_torch_npu_or_a_card_is() -> None:
    assert not plain_machine().npu_wanted
    assert plain_machine(packages={"torch_npu": "2.9.0"}).npu_wanted
    with_card = plain_machine(device_files=[Place(path="/dev/davinci0", owner="root", usable=True)])
    assert with_card.npu_wanted
    assert not replace(with_card, wanted="cpu").npu_wanted
    blocked = of(Severity.BLOCKED, with_card)
    assert "torch_npu is not installed" in blocked[1].observed


def test_another_device_hears_nothing_of_a_broken_npu() -> None:
    broken = npu_machine(wanted="cpu", backends={"npu": NO_CANN}, cann=[], device_files=[])
    assert bad(broken) == []
    assert len(of(Severity.BLOCKED, replace(broken, wanted="auto"))) > 2


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("libhccl.so cannot be opened", "source /usr/local/Ascend/cann-8.5.0/set_env.sh"),
        ("libge_runner.so: cannot open shared object file", "source /usr/local/Ascend/cann-8.5.0/set_env.sh"),
        ("libatb.so: cannot open shared object file", "/usr/local/Ascend/nnal/atb/set_env.sh"),
        ("libascend_hal.so: cannot open shared object file", "/usr/local/Ascend/driver/lib64"),
    ],
)
def test_a_missing_library_is_named_with_what_brings_it(reason: str, says: str) -> None:
    machine = npu_machine(backends={"npu": Availability(available=False, reason=reason)})
    (found,) = [each for each in of(Severity.BLOCKED, machine) if each.name == "library"]
    assert found.observed == f"{reason.split('.so', maxsplit=1)[0]}.so cannot be opened"
    assert says in found.next_step


def test_no_library_is_missing_where_the_reason_names_none() -> None:
    machine = npu_machine(backends={"npu": Availability(available=False, reason="torch_npu finds no card")})
    assert [each.name for each in of(Severity.BLOCKED, machine)] == ["npu"]
    talkative = npu_machine(backends={"npu": replace(TWO_CARDS, reason="with libhccl.so")})
    assert bad(talkative) == []


def test_without_torch_nothing_can_be_run_and_one_line_says_so() -> None:
    no = Availability(available=False, reason="torch is not installed")
    packages = dict.fromkeys(("torch", "diffusers", "transformers", "accelerate"))
    diagnosis = diagnose(plain_machine(packages=packages, backends={"cpu": no, "cuda": no, "npu": no}))
    assert [each.name for each in diagnosis.findings[:3]] == ["torch", "diffusers", "transformers"]
    assert {each.severity for each in diagnosis.findings[:3]} == {Severity.BLOCKED}
    assert diagnosis.summary.startswith("No device can be used here; blocked: torch, diffusers, transformers")
    assert diagnosis.exit_code(strict=False) == 3


def test_a_torch_that_cannot_be_imported_blocks() -> None:
    (found,) = bad(plain_machine(torch_error="OSError: libgomp.so.1: no such file"))
    assert (found.name, found.severity) == ("torch", Severity.BLOCKED)
    assert "libgomp" in found.observed


def test_no_usable_device_at_all_blocks_with_all_reasons() -> None:
    machine = plain_machine(backends={"cpu": replace(CPU, available=False, reason="no processor")})
    (found,) = bad(machine)
    assert found.severity is Severity.BLOCKED
    assert "no processor" in found.observed
    assert NO_GPU.reason in found.observed


def test_a_simulated_machine_is_not_asked_for_cann_driver_or_npu_smi() -> None:
    machine = npu_machine(
        backends={"npu": replace(TWO_CARDS, simulated=True)},
        cann=[],
        device_files=[],
        driver="",
        npu_smi=NpuSmi(state="missing"),
    )
    assert [each.name for each in bad(machine)] == ["SIMULATED"]
    assert diagnose(machine).exit_code(strict=False) == 0
    assert diagnose(machine).exit_code(strict=True) == 1
    assert diagnose(replace(machine, wanted="cpu")).exit_code(strict=True) == 0


# --- what is not known, and what is harmless -------------------------------------------------------------------------


@pytest.mark.parametrize("wheel", ["2.13.0", "2.14.0", "2.9.0.post1"])
def test_a_wheel_that_is_not_listed_is_unknown_and_not_wrong(wheel: str) -> None:
    torch = wheel.removesuffix(".post1")
    machine = npu_machine(packages={"torch_npu": wheel, "torch": torch})
    assert bad(machine) == []
    (found,) = [each for each in of(Severity.HARMLESS, machine) if each.name == "versions"]
    assert "unknown" in found.observed


def test_the_whole_version_of_a_wheel_decides_which_cann_it_is_listed_with() -> None:
    assert [CANN_OF_TORCH_NPU[f"2.9.0{post}"] for post in ("", ".post2", ".post6")] == ["8.5.0", "9.0.0", "9.1.0"]
    assert len(CANN_OF_TORCH_NPU) == 27, "no wheel stands in two rows"


def test_harmless_warnings_are_named_where_they_can_come() -> None:
    names = {each.name: each for each in of(Severity.HARMLESS, npu_machine())}
    assert set(names) == {"collect_env", "internal_format"}
    assert "/usr/local/Ascend belongs to root" in names["collect_env"].observed
    assert not of(Severity.HARMLESS, plain_machine())


def test_a_driver_without_its_version_is_harmless() -> None:
    assert bad(npu_machine(driver="")) == []
    assert "driver" in {each.name for each in of(Severity.HARMLESS, npu_machine(driver=""))}


# --- the whole -------------------------------------------------------------------------------------------------------


def test_the_worst_comes_first_and_what_changes_numbers_before_what_does_not() -> None:
    machine = npu_machine(
        backends={"npu": NO_CANN},
        environment={"HCCL_DETERMINISTIC": "false", "ASCEND_LAUNCH_BLOCKING": "1", "TASK_QUEUE_ENABLE": "2"},
    )
    diagnosis = diagnose(machine)
    order = [(list(Severity).index(each.severity), not each.changes_numbers) for each in diagnosis.findings]
    assert order == sorted(order)
    assert {each.severity for each in diagnosis.findings} == set(Severity)
    assert diagnosis.summary == (
        "Only the CPU can be used here; blocked: npu, library; 2 warnings (1 can change numbers)."
    )


def test_strict_minds_only_warnings_that_change_numbers() -> None:
    numbers = diagnose(plain_machine(environment={"HCCL_DETERMINISTIC": "0"}))
    assert (numbers.exit_code(strict=False), numbers.exit_code(strict=True)) == (0, 1)
    others = diagnose(plain_machine(environment={"ASCEND_LAUNCH_BLOCKING": "1"}))
    assert (others.exit_code(strict=False), others.exit_code(strict=True)) == (0, 0)
    harmless = diagnose(plain_machine(environment={"TORCH_NPU_USE_COMPATIBLE_IMPL": "1"}))
    assert harmless.exit_code(strict=True) == 0


def test_every_check_is_seen_to_find_something() -> None:
    machines = [npu_machine(**case.fault) for case in FAULTS.values()]
    machines.append(npu_machine(backends={"npu": NO_CANN}))
    for check in EVERYWHERE + FOR_THE_NPU:
        assert any(list(check(each)) for each in machines), check.__name__
