"""A headless Chromium for tests and benchmarks, spoken to over its debugging pipe: no driver, no package.

``with Browser.open() as browser: browser.goto(path); browser.js("1 + 1")``. What the page logs as an error,
and every address that it asks for, is kept in ``browser.errors`` and ``browser.requests``.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable")
SOFTWARE_GL = ("--enable-unsafe-swiftshader",)

DRAWN_EDGES = """[...document.querySelectorAll('.frames figure')].map(f =>
  [...f.querySelectorAll('g[data-kind]')].map(g => [g.dataset.kind, g.dataset.label,
    g.querySelector('.edge').getAttribute('d')]))"""
"""Of a sample's frames in the page: kind, label and path of every box that is drawn."""


def ends(path: str) -> np.ndarray:
    """``M u v L u v ...`` -> (n, 2) end points."""
    return np.array(path.replace("M", " ").replace("L", " ").split(), dtype=float).reshape(-1, 2)


def find_browser() -> str | None:
    """The first Chromium or Chrome on PATH."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one browser process."""

    def __init__(self, process: subprocess.Popen[bytes], write_to: int, read_from: int) -> None:
        self._process, self._write_to, self._read_from = process, write_to, read_from
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @classmethod
    @contextmanager
    def open(cls, width: int = 1366, height: int = 768, webgl: bool = True) -> Iterator[Browser]:
        """A fresh browser with an empty profile; ``webgl=False`` switches WebGL off."""
        program = find_browser()
        if program is None:
            raise FileNotFoundError(f"none of {', '.join(NAMES)} is on PATH")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            theirs_in, ours_out = os.pipe()
            ours_in, theirs_out = os.pipe()
            command = [
                *(program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
                *(
                    "--no-sandbox",
                    "--no-first-run",
                    "--disable-extensions",
                    "--hide-scrollbars",
                    "--mute-audio",
                ),
                *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
                *(f"--window-size={width},{height}", "--force-device-scale-factor=1"),
                *(SOFTWARE_GL if webgl else ("--disable-gpu", "--disable-3d-apis")),
                "about:blank",
            ]
            # the browser reads commands from descriptor 3 and writes answers to 4
            shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
            process = subprocess.Popen(
                ["bash", "-c", shell, "bash", *command],
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(theirs_in)
            os.close(theirs_out)
            try:
                browser = cls(process, ours_out, ours_in)
                browser.resize(width, height)
                yield browser
                browser._session = None
                browser.call("Browser.close")
                process.wait(20)
            finally:
                process.kill()
                process.wait()
                os.close(ours_out)
                os.close(ours_in)

    def call(self, method: str, timeout_s: float = 120.0, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; RuntimeError when the browser refuses it."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + timeout_s
        while True:
            answer = self._receive(until)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read_from], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser did not answer in time")
            read = os.read(self._read_from, 1 << 20)
            if not read:
                raise RuntimeError(f"the browser ended (exit code {self._process.poll()})")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            found = params["exceptionDetails"]
            self.errors.append(str(found.get("exception", {}).get("description", found.get("text"))))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.errors.append(
                " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
            )
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            if "GPU stall due to ReadPixels" not in params["entry"]["text"]:  # our own screenshots
                self.errors.append(params["entry"]["text"])
        elif event == "Page.javascriptDialogOpening":
            self.errors.append(f"a dialog opened: {params['message']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def goto(
        self, page: Path, anchor: str = "", ready: str = "document.documentElement?.dataset.ready"
    ) -> None:
        """Open a file and wait until ``ready`` is true in it."""
        self.call("Page.navigate", url="about:blank")  # an anchor of the same file would not load it anew
        self.call("Page.navigate", url=page.resolve().as_uri() + anchor)
        self.wait(ready)

    def js(self, code: str) -> Any:
        """The JSON value of an expression in the page; promises are awaited. RuntimeError when it throws."""
        made = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in made:
            raise RuntimeError(made["exceptionDetails"].get("exception", {}).get("description", "it threw"))
        return made["result"].get("value")

    def wait(self, condition: str, timeout_s: float = 20.0) -> Any:
        """Wait until an expression is true and return it (True for an object); TimeoutError names it."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if value := self.js(f"(found => found instanceof Object ? true : found)({condition})"):
                return value
            time.sleep(0.03)
        raise TimeoutError(f"still not true after {timeout_s:g} s: {condition}; errors: {self.errors}")

    def click(self, selector: str) -> None:
        """A real mouse click in the middle of the first element that matches."""
        quoted = json.dumps(selector)
        self.wait(f"document.querySelector({quoted})")
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({quoted}); e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name: str, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, text=text if kind == "keyDown" else "")

    def choose(self, selector: str, value: str) -> None:
        """Set a select or a range and tell the page, as a person's choice would."""
        self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            f"e.value = {json.dumps(value)}; "
            "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {bubbles: true})); })()"
        )

    def theme(self, name: str) -> None:
        """``light`` or ``dark``, as the system would prefer it."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path: Path | None = None) -> bytes:
        """A PNG of what the window shows."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return data
