"""Devices as an arm names them: which words are allowed, and which an adapter allows."""

from __future__ import annotations

import re

from harness import plugins
from harness.errors import UnknownName, UsageError
from harness.yaml_tree import quoted


def is_cpu(device: str) -> bool:
    """Whether a device is the CPU, with or without an index."""
    return device.partition(":")[0] == "cpu"


def check_device(device: str) -> None:
    """Refuse what is not ``auto``, a backend, or a backend with an index.

    Raises:
        UnknownName: there is no such backend.
        UsageError: what follows the colon is no index.
    """
    backend, colon, index = device.partition(":")
    known = plugins.names("backends")
    if device != "auto" and backend not in known:
        raise UnknownName("backend", backend, ["auto", *known])
    if colon and not re.fullmatch("[0-9]{1,4}", index):
        raise UsageError(
            f"found {quoted(device)}; allowed after the colon is an index from 0 to 9999. Write {backend}:0, "
            f"or {backend} alone for the first."
        )


def refuse_other_device(adapter: str, device: str, *, computes: bool) -> None:
    """Where the worker opens no device, the arm names the one that is told to a command, or none.

    Raises:
        UsageError: nothing is computed and a device is named, or something is and none is named.
    """
    if computes and device == "auto":
        raise UsageError(
            f"found 'auto'; allowed with the adapter {adapter} is {', '.join(plugins.names('backends'))}, with or "
            "without an index: the device is told to the command and asked by nobody. Write 'device: ...' in the arm."
        )
    if not computes and device not in {"auto", "cpu"}:
        raise UsageError(
            f"found {quoted(device)}; allowed is cpu, because with the adapter {adapter} nothing is computed. Leave "
            "the device out, and say in the summary where the pictures were made."
        )
