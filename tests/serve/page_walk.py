"""Walk through the page in headless Chromium: do what its reader does, keep what he sees."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.serve.browser import Page, open_page
from tests.serve.conftest import KEY

QUESTION = "pain of the heart"
FUNNEL = {
    "query": QUESTION,
    "dimensions": "32",
    "k": "3",
    "role": "document",
    "first_dimensions": "8",
    "candidates": "4",
}
ROWS = ["pain of the heart", r"""it's "skin" \ \n $HOME `id` $(id) 37 °C < ${x} 😀"""]
COLUMNS = ["rash of the hand", "heart", "brain"]
COMPARED = {
    "rows": "\n".join(ROWS),
    "columns": "\n \n".join(COLUMNS),
    "columns_role": "document",
    "dimensions": "8",
}
HAS_ERROR = "document.getElementById('error').checkVisibility()"
# What can be seen of the page.
MEASURE = """(() => {
  const seen = node => node.checkVisibility();
  const list = id => [...document.querySelectorAll(`#${id} > li`)].map(node => ({
    id: node.dataset.id, move: node.querySelector(".move")?.firstChild.textContent,
    spoken: node.querySelector(".spoken")?.textContent, text: node.innerText,
  }));
  return {
    language: document.documentElement.lang,
    titles: [...document.querySelectorAll("h2")].filter(seen).map(node => node.textContent),
    chosen: list("chosen"), full: list("full"),
    images: document.querySelectorAll("#ranks img").length,
    error: document.getElementById("error").checkVisibility()
      ? document.getElementById("error").textContent : null,
    examples: [...document.querySelectorAll("#example-list button")].filter(seen)
      .map(node => node.textContent),
    forms: [...document.forms].filter(seen).map(form => form.id),
    unlabelled: [...document.querySelectorAll("input, select, textarea")]
      .filter(node => !node.labels.length).length,
    facts: document.getElementById("fact-list").innerText,
    matrices: [...document.querySelectorAll("#matrix section")].filter(seen).map(node => ({
      title: node.querySelector("h2").textContent,
      heads: [...node.querySelectorAll("th")].map(head => head.textContent),
      cells: [...node.querySelectorAll("tbody tr")].map(row =>
        [...row.querySelectorAll("td > :first-child")].map(
          cell => Number(cell.textContent.replace(",", ".")))),
      bold: [...node.querySelectorAll("tbody tr")].map(
        row => [...row.cells].findIndex(cell => cell.querySelector("strong")) - 1),
    })),
    focus: document.activeElement.id, status: document.getElementById("status").textContent,
  };
})()"""


class Walk:
    """A walk goes through a page, and keeps by name what was seen of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seen: dict[str, Any] = {}

    async def measure(self, name: str) -> None:
        self.seen[name] = await self.page.run(MEASURE)

    async def measure_error(self, name: str) -> None:
        await self.page.wait(HAS_ERROR)
        await self.measure(name)


async def walk(chromium: str, folder: Path, url: str, plain: str) -> dict[str, Any]:
    """Return what was seen on the way through the page."""
    async with open_page(chromium, folder) as page:
        way = Walk(page)
        await _unlock(way, url)
        await _search(way)
        await _compare(way)
        await _be_attacked(way)
        await _open_link(way)
        await _compare_without_table(way, plain)
        way.seen["errors"] = page.errors
    return way.seen


async def _unlock(way: Walk, url: str) -> None:
    page = way.page
    await page.go(url)
    await way.measure("locked")
    await page.type("wrong")
    await way.measure_error("wrong key")
    await page.type(KEY)
    await page.wait("document.activeElement.id === 'question'")
    await way.measure("empty")


async def _search(way: Walk) -> None:
    page = way.page
    await ask(page, "document.querySelector('#example-list button').click()")
    await way.measure("found")
    way.seen["kept"] = await page.run(
        "JSON.stringify([document.cookie, localStorage.length, sessionStorage.length])"
    )
    await page.run("document.getElementById('question').focus()")
    await page.type("heart " * 99)
    await way.measure_error("too long")
    await fill(page, "search", {"query": QUESTION, "dimensions": "32"})
    await way.measure("full width")
    await fill(page, "search", FUNNEL)
    await way.measure("funnel")
    way.seen["search"] = await take(page)


async def _compare(way: Walk) -> None:
    page = way.page
    await page.run("document.getElementById('compare-tab').click()")
    await fill(page, "compare", COMPARED)
    await page.run("document.getElementById('facts').open = true")
    await way.measure("comparison")
    way.seen["compare"] = await take(page)
    click = "document.getElementById('copy-snippet').click()"
    await page.send("Runtime.evaluate", expression=click, userGesture=True)
    await page.wait("document.getElementById('copied').textContent")
    way.seen["copied"] = await page.run("document.getElementById('copied').textContent")
    await page.run("document.getElementById('rows').value = 'heart\\n'.repeat(51)")
    await page.run("document.getElementById('compare-form').requestSubmit()")
    await way.measure_error("too many")


async def _be_attacked(way: Walk) -> None:
    """Put a script into the page, which does not run."""
    way.seen["hacked"] = await way.page.run(
        "(() => { const node = document.createElement('script'); node.textContent = "
        "'window.hacked = 1';document.body.append(node); return window.hacked ?? null; })()"
    )
    way.seen["blocked"] = way.page.errors
    way.page.errors = []


async def _open_link(way: Walk) -> None:
    page = way.page
    # anew, as somebody else opens it
    await page.go(way.seen["search"]["link"].replace("#", "?opened#"))
    await ask(
        page,
        (
            "(() => "
            f"{{ const key = document.getElementById('key'); key.value = '{KEY}';key.form.requestSubmit(); }})()"
        ),
    )
    await way.measure("opened")
    await page.run("location.hash = 'view=search&query=heart&dimensions=7'")
    await way.measure_error("unfit link")


async def _compare_without_table(way: Walk, plain: str) -> None:
    page = way.page
    await page.speak("fr-FR")
    await page.go(plain)
    await way.measure("plain")
    await page.send("Input.insertText", text="douleur\npain of the heart\nskin rash")
    for _ in range(5):  # the role, the other texts, their role, the dimension, the button
        await page.press("Tab", 9)
    await page.press("Enter", 13, "\r")
    await page.wait("document.getElementById('matrix').checkVisibility()")
    await way.measure("compared")
    await page.run("location.hash = 'view=toString&query=heart'")
    await page.run("location.hash = 'view=search&query=heart'")
    await way.measure_error("unfit view")


async def ask(page: Page, action: str) -> None:
    """Do what asks, and wait for the answer."""
    await page.run("document.getElementById('status').textContent = ''")
    await page.run(action)
    await page.wait("/document|Cosines/.test(document.getElementById('status').textContent)")


async def fill(page: Page, view: str, values: Mapping[str, str]) -> None:
    """Fill a view's form as its readers do, telling each choice to the page, and ask."""
    for name, value in values.items():
        field = f"document.getElementById('{view}-form').elements['{name}']"
        await page.run(
            f"{field}.value = {json.dumps(value)}; {field}.dispatchEvent(new Event('change'))"
        )
    await ask(page, f"document.getElementById('{view}-form').requestSubmit()")


async def take(page: Page) -> dict[str, str]:
    """Return the link, and what both snippets print when they run as they are."""
    taken: dict[str, str] = {"link": await page.run("document.getElementById('link').href")}
    for language, command in (("python", [sys.executable, "-c"]), ("curl", ["bash", "-c"])):
        await page.run(f"document.getElementById('{language}-tab').click()")
        text = await page.run("document.getElementById('snippet').textContent")
        taken[f"{language} text"] = text
        environment = os.environ | {"MEDEMBED_KEY": KEY}
        run = await asyncio.to_thread(
            subprocess.run,
            [*command, text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        taken[language] = run.stdout
    return taken
