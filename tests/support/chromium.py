"""Drives a headless Chromium through its debugging pipe: pages, keys, screenshots, what its console says."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--remote-debugging-pipe", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
_ANSWER_S = 120
_END_S = 20
_ABOVE = 10
_BOX = """(() => {
  const box = document.querySelector(SELECTOR).getBoundingClientRect();
  return [box.x + scrollX, box.y + scrollY, box.width, box.height];
})()"""
_DRAWN = """(async () => {
  const turn = () => new Promise(requestAnimationFrame);
  const shown = (map) => map.checkVisibility();
  for (const map of [...document.querySelectorAll(".map")].filter(shown)) {
    map.scrollIntoView();
    while (!map.dataset.ready && !map.closest(".plain")) await turn();
  }
  scrollTo(0, 0);
  await turn();
})()"""


def chromium() -> str | None:
    """Path of a Chromium of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page of a Chromium that was started for it."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._numbers, self._rest = itertools.count(1), b""
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the DevTools protocol on the page."""
        return self._call(method, session=self._session, **parameters)

    def _call(self, method: str, session: str = "", **parameters: Any) -> Any:
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        request |= {"sessionId": session} if session else {}
        os.write(self._to, json.dumps(request).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._events.append(message)

    def _message(self) -> dict[str, Any]:
        deadline = time.monotonic() + _ANSWER_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._back, 1 << 16) if ready else b""
            if not data:
                raise RuntimeError("Chromium ended" if ready else f"no answer within {_ANSWER_S} s")
            self._rest += data
        whole, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        return message

    def _await(self, method: str) -> None:
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._message())

    def open(self, page: Path) -> None:
        """Load a file, whole; complaints of the page before are forgotten."""
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self._await("Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; of a promise what it settles at."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def emulate(self, *, dark: bool = False, media: str = "screen") -> None:
        """Let the system wish dark or light colors, or print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def key(self, key: str, code: str = "", number: int = 0) -> None:
        """Press and release a key."""
        event = {"key": key, "code": code or key, "windowsVirtualKeyCode": number}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def tab(self) -> None:
        """Move on to the next control."""
        self.key("Tab", "Tab", 9)

    def screenshot(self, selector: str = "", *, width: int = 1280, height: float | None = None) -> bytes:
        """A PNG of the first element that a selector names, or of the whole page.

        Args:
            height: of the part that is shown, from the top; all of it by default.
        """
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                  mobile=False)  # fmt: skip
        box = self.evaluate(_BOX.replace("SELECTOR", json.dumps(selector or "html")))
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
        clip["height"] = min(clip["height"], height or clip["height"])
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def drawn(self) -> None:
        """Wait until all maps of memory that are not folded away are drawn, wherever they are on the page."""
        self.evaluate(_DRAWN)

    def complaints(self) -> list[str]:
        """Exceptions, errors of the console, and addresses asked for other than of files and data."""
        self.evaluate("1")  # what was said before comes before the answer
        found = []
        for event in self._events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(str(parameters["entry"]["text"]))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
                found.append(str(parameters["args"]))
            elif method == "Network.requestWillBeSent":
                url = str(parameters["request"]["url"])
                found += [] if url.startswith(("file:", "data:", "blob:", "about:")) else [f"asks for {url}"]
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A Chromium with a profile of its own in a folder; it is gone at the end.

    Raises:
        FileNotFoundError: this machine has none.
    """
    path = chromium()
    if path is None:
        raise FileNotFoundError("no Chromium: apt-get install chromium")
    ends = [*os.pipe(), *os.pipe()]
    # High numbers: the shell puts them at 3 and 4, where Chromium looks for them.
    theirs_in, to, back, theirs_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for end in ends)
    for end in ends:
        os.close(end)
    command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    log = folder / "chromium.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["bash", "-c", command, path, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(to, back)
    finally:
        os.close(to)  # it ends when its pipe does
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(back)
