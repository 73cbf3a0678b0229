"""Drive headless Chromium by its own protocol: open a page, type, press keys, look."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.children import die_with_parent

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
]
_WAIT_S = 60


class Page:
    """A tab records in `errors` the exceptions of its scripts and what its policy blocked."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.numbers, self.errors = socket, itertools.count(1), list[str]()

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json(timeout=_WAIT_S)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    async def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait(self, script: str) -> None:
        """Wait until the expression is true."""
        for _ in range(_WAIT_S * 20):
            if await self.run(script):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {script}; the page's errors: {self.errors}")

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", url=url)
        await self.wait(
            "document.readyState === 'complete' && [...document.forms].some(form => !form.hidden)"
        )

    async def speak(self, language: str) -> None:
        """Let the page's reader speak this language from now on."""
        await self.send("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage=language)

    async def type(self, text: str) -> None:
        """Type into what has the focus, in place of what is there, and press Enter."""
        await self.run("document.activeElement.select()")
        await self.send("Input.insertText", text=text)
        await self.press("Enter", 13, "\r")

    async def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            sent = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **sent
            )

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"]))
        entry = message.get("params", {}).get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry.get("source") == "security":
            self.errors.append(entry["text"])


@asynccontextmanager
async def open_page(chromium: str, folder: Path) -> AsyncIterator[Page]:
    """Open a tab of a browser whose profile lies in the folder."""
    command = [chromium, *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent
    )
    try:
        port = await _find_port(folder / "profile" / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                address = next(one for one in await response.json() if one["type"] == "page")[
                    "webSocketDebuggerUrl"
                ]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.send(f"{domain}.enable")
                yield page
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _find_port(file: Path) -> int:
    for _ in range(_WAIT_S * 20):
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError("the browser did not start")
