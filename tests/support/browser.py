# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, told what to do over the DevTools protocol on a pipe: nothing but the Debian package is needed.

Messages are JSON, each ended by NUL, on descriptors 3 (to the browser) and 4 (from it).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds for anything: only to end."""
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-proxy-server", "--remote-debugging-pipe"),
)  # fmt: skip

_COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


class PageError(Exception):
    """The browser refused, or a script threw."""


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    async def goto(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        said = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise PageError(str(said["exceptionDetails"]))
        return said["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until the expression holds."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self.js(f"Boolean({expression})"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            body = await self.js("document.body.innerText")
            raise PageError(f"never came true: {expression}\n{body}") from None

    async def press(self, key: str, code: int, text: str = "") -> None:
        """A key, down and up; ``text`` is what it writes: without it Enter submits no form."""
        facts: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    @property
    def complaints(self) -> list[str]:
        """What the console and the security policy said."""
        return self._browser.complaints.get(self._session, [])


class Browser:
    """A running Chromium."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.complaints: dict[str, list[str]] = {}
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def read(self) -> None:
        """Hand on answers until the browser goes."""
        while message := await self._reader.readuntil(b"\0"):
            said = json.loads(message[:-1])
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                self._note(said)

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] in _COMPLAINTS:
            said = self.complaints.setdefault(event.get("sessionId", ""), [])
            said.append(json.dumps(event["params"]))

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self._number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = answer
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(PATIENCE):
            said = await answer
        if "error" in said:
            raise PageError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def page(self, *, dark: bool = False) -> Page:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.call("Emulation.setEmulatedMedia", features=[scheme])
        await page.call("Page.bringToFront")
        return page


@contextlib.asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Browser]:
    """A browser with a profile of its own, ended with the block."""
    path = shutil.which("chromium") or "chromium"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    argv = [path, *_FLAGS, f"--user-data-dir={profile}"]
    shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    with open(profile.parent / "chromium.log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", shell, "bash", *argv),
            pass_fds=(theirs_in, theirs_out),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(theirs_in)
    os.close(theirs_out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb")
    )
    outgoing, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(ours_out, "wb")
    )
    writer = asyncio.StreamWriter(outgoing, protocol, None, loop)
    browser = Browser(reader, writer)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(browser.read())
            try:
                yield browser
            finally:
                reading.cancel()
    finally:
        incoming.close()
        outgoing.abort()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        await asyncio.sleep(0)
