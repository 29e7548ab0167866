"""A headless Chromium that a test drives over its debugging pipe."""

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

__all__ = ["CHROMIUM", "browsing"]

_COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Page:
    """One page of a browser.

    Attributes:
        complaints: What its console shows.
    """

    def __init__(self, given, taken):
        self.given, self.taken, self.number, self.session, self.rest = given, taken, 0, None, b""
        self.complaints = []

    def command(self, method, **params):
        """What a command of Chromium's protocol gives."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.given, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                found = os.read(self.taken, 1 << 20)
                assert found, "the browser has left"
                self.rest += found
            line, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("method") in _COMPLAINTS:
                self.complaints.append(answer["params"])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, code):
        """The value of an expression of JavaScript."""
        found = self.command(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, code, seconds=30):
        """Waits for an expression to be true."""
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, code
            time.sleep(0.05)

    def choose_file(self, selector, path):
        """Puts a file into an input."""
        root = self.command("DOM.getDocument")["root"]["nodeId"]
        node = self.command("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.command("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


@contextmanager
def browsing(profile, url, width=1000):
    """A page of a new browser.

    Args:
        profile: A folder that does not exist.
        url: What it shows.
        width: Of its window.
    """
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # Chromium reads commands from 3 and writes answers to 4.
    shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *command],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    page = Page(ours_out, ours_in)
    try:
        target = page.command("Target.createTarget", url="about:blank")["targetId"]
        found = page.command("Target.attachToTarget", targetId=target, flatten=True)
        page.session = found["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            page.command(f"{domain}.enable")
        page.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=False,
        )
        page.command("Page.navigate", url=url)
        page.until("document.readyState == 'complete' && location.href != 'about:blank'")
        yield page
    finally:
        process.terminate()
        process.wait(10)
        os.close(ours_in)
        os.close(ours_out)
