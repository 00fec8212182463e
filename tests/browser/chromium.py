"""A headless Chromium that tests talk to: the DevTools protocol over a pair of pipes, and nothing to install for it.

Messages are JSON that ends with a zero byte; Chromium reads them on descriptor 3 and writes them on 4.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_CODES = {"ArrowRight": 39}
"""Codes of keys that write nothing."""


class BrowserError(Exception):
    """The browser refused, or did not answer."""


def program() -> str | None:
    """Path of ``chromium``, or of the program that the variable CHROMIUM names; None where there is none."""
    return shutil.which(os.environ.get("CHROMIUM", "chromium"))


class Chromium:
    """One browser with one page."""

    def __init__(self, profile: Path) -> None:
        found = program()
        if found is None:
            raise BrowserError("there is no chromium on the PATH, and CHROMIUM names no other")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        with (profile.parent / f"{profile.name}.log").open("wb") as log:
            # Descriptors are renumbered after the fork; high ones first, so that none is overwritten before its turn.
            moves = [(theirs_in, 103), (theirs_out, 104), (103, 3), (104, 4), (log.fileno(), 1), (log.fileno(), 2)]
            self._process = os.posix_spawn(
                found,
                [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, old, new) for old, new in moves],
                setpgroup=0,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._bytes = b""
        self._events: deque[dict[str, Any]] = deque()
        self._session = ""
        (page,) = (each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def end(self) -> None:
        """End the browser and all its children."""
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that arrive in between are kept."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + patience_seconds()
        while (answer := self._next(until)).get("id") != number:
            self._events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def events(self, method: str) -> list[dict[str, Any]]:
        """Everything of one kind that happened since the last look at a page; all that arrived is kept."""
        self.ask("Runtime.evaluate", expression="0")
        return [each["params"] for each in self._events if each.get("method") == method]

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scripts: bool = True, **features: str) -> None:
        """Show a file at a size, with media features such as ``prefers_color_scheme="dark"``."""
        self._events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", media="", features=chosen)
        self.ask("Page.navigate", url=page.as_uri())
        until = time.monotonic() + patience_seconds()
        while not any(each.get("method") == "Page.loadEventFired" for each in self._events):
            self._events.append(self._next(until))

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, waited for where it is a promise.

        Raises:
            BrowserError: it throws.
        """
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression}: {found['exceptionDetails'].get('exception', {}).get('description')}")
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a person does: a character, or a key of ``_CODES``."""
        text = {} if key in _CODES else {"text": key}
        code = _CODES.get(key, 0)
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at a place of the window, move it to another and release it."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def print_to(self, path: Path) -> None:
        """The page as it is printed, as PDF."""
        path.write_bytes(base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"]))

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._bytes:
            if not select.select([self._in], [], [], max(until - time.monotonic(), 0))[0]:
                raise BrowserError(f"no answer within {patience_seconds():.0f} seconds")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise BrowserError("the browser has ended; its log lies beside its profile")
            self._bytes += read
        line, _, self._bytes = self._bytes.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
