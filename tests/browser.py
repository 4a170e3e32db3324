"""A headless Chromium, driven through its debugging pipe: no driver, no port, no package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"),
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def found():
    """Return the browser's path, or None where the machine has none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Browser:
    """One page of a browser. errors: what its console and its scripts complained of.

    requests: addresses that it asked for. contexts: where scripts run, one per frame, the latest
    last.
    """

    def __init__(self, profile: Path, size=(1280, 860)):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # It reads from descriptor 3 and writes to 4.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        window = f"--window-size={size[0]},{size[1]}"
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "-", found(), *OPTIONS, f"--user-data-dir={profile}", window],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        # Ends the test where the browser answers no more.
        self._watch = threading.Timer(120, self._process.kill)
        self._watch.start()
        self._number, self._rest, self._session = 0, b"", None
        self.errors, self.requests, self.contexts, self._loaded = [], [], [], False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._watch.cancel()
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method, **params):
        """Return the answer to a command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._heard(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _heard(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append([each.get("value") for each in params["args"]])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"])
        elif method == "Runtime.executionContextCreated":
            self.contexts.append(params["context"]["id"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded = True

    def open(self, address, until="true"):
        """Open a page; return the seconds until it is loaded and an expression of it is true."""
        self._loaded, start = False, time.perf_counter()
        self.call("Page.navigate", url=address)
        while not self._loaded:
            self._heard(self._next())
        while not self.run(f"Boolean({until})"):
            self.painted()
        self.painted()
        return time.perf_counter() - start

    def painted(self):
        """Wait until what was asked for is on the screen: two frames."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script, **where):
        """Return the value of an expression, or of a promise. where: contextId, of a frame."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, **where
        )
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"])
        return done["result"].get("value")

    def type(self, text):
        """Type into what has the focus; return the seconds until the page shows the answer."""
        start = time.perf_counter()
        self.call("Input.insertText", text=text)
        self.painted()
        return time.perf_counter() - start

    def press(self, key):
        """Press a key, such as ArrowDown."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        self.painted()
