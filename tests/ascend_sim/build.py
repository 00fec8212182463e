"""Builds the C stand-in for the CANN libraries into a cache; needs a C compiler and the torch_npu wheel, not torch."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
RUNTIME = "ascendcl"
EMPTY = ("hccl", "acl_op_compiler", "ge_runner", "graph", "acl_tdt_channel")
"""Libraries that torch_npu links to for no symbol that tests need: they carry the name and depend on `RUNTIME`."""
OPERATORS = "opapi"
LIBRARIES = (RUNTIME, *EMPTY, OPERATORS)
"""All of them, each after those it depends on."""

FLAGS = (
    *("-std=gnu11", "-O2", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"),
    "-Wno-unused-parameter",  # a stand-in has CANN's signatures and ignores most of what they bring
)


class SimulationUnavailable(Exception):
    """Ascend cards cannot be simulated here; the text says what is missing and what to do."""


def libraries() -> Path:
    """The folder with the built libraries, built first if need be.

    The folder's name is a digest of the sources, the wheel and the compiler, so a change of any of them builds anew,
    and it appears complete or not at all: two processes may build at once.

    Raises:
        SimulationUnavailable: There is no C compiler or no torch_npu wheel, or the compiler reports an error.
    """
    compiler = find_compiler()
    wheel = find_wheel()
    folder = cache() / key(compiler, wheel)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
    try:
        build(compiler, wheel, unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first, with the same contents
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def find_compiler() -> list[str]:
    """The words that start the C compiler: ``CC`` if it is set, otherwise the first of cc, gcc and clang.

    Raises:
        SimulationUnavailable: None of them can be found.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    for words in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if found := shutil.which(words[0]):
            return [found, *words[1:]]
    looked_for = f"CC={chosen[0]}" if chosen else "cc, gcc or clang"
    raise SimulationUnavailable(
        f"Ascend cards cannot be simulated: no C compiler ({looked_for}) on PATH={os.environ.get('PATH', '')!r}. "
        "Install one (Debian: gcc), or set CC to its path."
    )


def find_wheel() -> Path:
    """``libtorch_npu.so`` of the torch_npu that ``import torch_npu`` would find; nothing is imported.

    Raises:
        SimulationUnavailable: There is no torch_npu on ``sys.path``, or it has no such library.
    """
    spec = importlib.util.find_spec("torch_npu")
    if spec is None or spec.origin is None:
        raise SimulationUnavailable(
            "Ascend cards cannot be simulated: no torch_npu on sys.path. Unpack the wheel into a folder of its own "
            "(pip install --no-deps --target FOLDER torch-npu==2.13.0) and put that folder on PYTHONPATH."
        )
    library = Path(spec.origin).parent / "lib" / "libtorch_npu.so"
    if not library.is_file():
        raise SimulationUnavailable(
            f"Ascend cards cannot be simulated: {library} does not exist, so the names of the operators are unknown. "
            "Install torch_npu from its wheel."
        )
    return library


def cache() -> Path:
    """``ASCEND_SIM_CACHE``, or a folder in the user's cache."""
    if chosen := os.environ.get("ASCEND_SIM_CACHE"):
        return Path(chosen)
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(users) / "accuracy-harness-tests" / "ascend_sim"


def key(compiler: list[str], wheel: Path) -> str:
    """Hexadecimal digest of what the libraries are made from."""
    digest = hashlib.sha256()
    for source in [*sorted(SOURCES.glob("*.[ch]")), Path(__file__)]:
        digest.update(source.read_bytes())
    # A release of the wheel differs in size; reading its 100 MB in every child process would cost a second.
    digest.update(f"{wheel.stat().st_size} {wheel_version(wheel)} {run([*compiler, '--version'])}".encode())
    return digest.hexdigest()[:20]


def wheel_version(wheel: Path) -> str:
    """Version that the wheel's metadata folder names, or no text where it is missing."""
    return " ".join(sorted(folder.name for folder in wheel.parents[2].glob("torch_npu-*.dist-info")))


def build(compiler: list[str], wheel: Path, folder: Path) -> None:
    """Compile all libraries into a folder.

    Raises:
        SimulationUnavailable: The compiler reports an error.
    """

    def link(name: str, *words: str | Path) -> None:
        to = folder / f"lib{name}.so"
        run([*compiler, *FLAGS, f"-Wl,-soname,{to.name}", "-o", str(to), *map(str, words)])

    depends = ("-Wl,--no-as-needed", f"-L{folder}", "-Wl,-rpath,$ORIGIN", f"-l{RUNTIME}")
    link(RUNTIME, *sorted(SOURCES.glob("*.c")))
    for name in EMPTY:
        link(name, "-x", "c", os.devnull, "-x", "none", *depends)
    source = folder / "operators.c"
    source.write_text(operators_source(operator_names(wheel.read_bytes())), encoding="utf-8")
    link(OPERATORS, "-O0", source, *depends)


def operator_names(library: bytes) -> list[str]:
    """CANN operators that torch_npu's library looks up by name, sorted.

    torch_npu silently takes the path of old cards where a name is missing, so all of them must be exported.
    """
    halves = re.findall(rb"(?<![A-Za-z0-9_])(acl[A-Za-z][A-Za-z0-9_]*)GetWorkspaceSize(?=\x00)", library)
    halves += re.findall(rb"\x00(aclnn[A-Z][A-Za-z0-9_]*)(?=\x00)", library)
    return sorted({name.decode().removesuffix("GetWorkspaceSize") for name in halves})


def operators_source(names: list[str]) -> str:
    """C text of ``libopapi.so``: for each operator its two entry points, which tell the runtime stand-in."""
    lines = [
        "#include <stdint.h>",
        "int ascend_sim_describe(const char *, const void *);",
        "int ascend_sim_launch_on_stream(const char *, const void *);",
        "#define OPERATOR(NAME) \\",
        "    int NAME##GetWorkspaceSize(const void *first) { return ascend_sim_describe(#NAME, first); } \\",
        "    int NAME(void *workspace, uint64_t size, void *executor, const void *stream) { \\",
        "        return ascend_sim_launch_on_stream(#NAME, stream); \\",
        "    }",
        *(f"OPERATOR({name})" for name in names),
    ]
    return "\n".join(lines) + "\n"


def run(words: list[str]) -> str:
    """Standard output of a compiler call.

    Raises:
        SimulationUnavailable: It cannot be started, or ends with an error.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    except OSError as reason:
        raise SimulationUnavailable(
            f"Ascend cards cannot be simulated: {words[0]} does not start: {reason}"
        ) from reason
    if done.returncode:
        raise SimulationUnavailable(
            f"Ascend cards cannot be simulated: the C compiler ended with {done.returncode}.\n"
            f"{shlex.join(words)}\n{done.stderr.strip()[-2000:]}"
        )
    return done.stdout
