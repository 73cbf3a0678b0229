"""The page as headless Chromium runs it, on a desktop and on a phone, over a real server of a tiny model."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from serve.answer import Served
from serve.api import make_app
from serve.front import Front
from tests.serve.browser import Page, open_page
from tests.serve.conftest import KEY, Replica, keys_of, running

DESKTOP, PHONE = 1200, 360
QUESTION = "pain of the heart"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
# What can be seen of the page; contrast and sizes as WCAG 2.2 wants them (1.4.3, 2.5.8).
MEASURE = """(() => {
  const backgroundOf = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(
      value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = node => {
    const [low, high] = [getComputedStyle(node).color, backgroundOf(node)].map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = [...document.body.querySelectorAll("*")].filter(
    node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()) && node.checkVisibility());
  const list = id => [...document.querySelectorAll(`#${id} > li`)].map(node => ({
    id: node.dataset.id, move: node.querySelector(".move")?.firstChild.textContent,
    spoken: node.querySelector(".spoken")?.textContent, text: node.innerText,
  }));
  const seen = node => node.checkVisibility();
  return {
    width: document.documentElement.scrollWidth, language: document.documentElement.lang,
    smallest: Math.min(...texts.map(node => parseFloat(getComputedStyle(node).fontSize))),
    contrast: Math.min(...texts.map(contrast)),
    targets: Math.min(...[...document.querySelectorAll("input, select, textarea, button")].filter(seen)
      .map(node => node.getBoundingClientRect().height)),
    unlabelled: [...document.querySelectorAll("input, select, textarea")].filter(node => !node.labels.length).length,
    lines: [...document.querySelectorAll("#lines path")].filter(seen).map(line => line.dataset.id),
    titles: [...document.querySelectorAll("h2")].filter(seen).map(node => node.textContent),
    tops: ["chosen", "full"].map(id => document.getElementById(id).getBoundingClientRect().top),
    chosen: list("chosen"), full: list("full"), images: document.querySelectorAll("#ranks img").length,
    error: document.getElementById("error").checkVisibility() ? document.getElementById("error").textContent : null,
    focus: document.activeElement.id, status: document.getElementById("status").textContent,
  };
})()"""


def app_of(served: Served, hashes: Sequence[str] = ()) -> FastAPI:
    return make_app(Replica(served), Front(keys=keys_of(*hashes)))


async def walk(chromium: str, folder: Path, url: str, plain: str) -> dict[str, Any]:
    """What was seen on the way through the page."""
    seen: dict[str, Any] = {}
    async with open_page(chromium, folder) as page:

        async def measure(name: str) -> None:
            seen[name] = await page.run(MEASURE)
            await page.screenshot(folder / f"{name}.png")

        await page.look(DESKTOP)
        await page.go(url)
        await measure("locked")
        await page.type("wrong")
        await page.wait("document.getElementById('error').checkVisibility()")
        await measure("wrong key")
        await page.type(KEY)
        await page.wait("document.activeElement.id === 'question'")
        await search(page, QUESTION)
        await measure("desktop")
        seen["kept"] = await page.run("JSON.stringify([document.cookie, localStorage.length, sessionStorage.length])")
        await page.look(DESKTOP, is_dark=True)
        await measure("dark")
        await page.look(PHONE)
        await measure("phone")
        await page.run("document.getElementById('question').focus()")
        await page.type("heart " * 99)
        await page.wait("document.getElementById('error').checkVisibility()")
        await measure("too long")
        await page.run("document.getElementById('search-dimension').value = 32")
        await search(page, QUESTION)
        await measure("full width")
        seen["hacked"] = await page.run(
            "(() => { const node = document.createElement('script'); node.textContent = 'window.hacked = 1';"
            "document.body.append(node); return window.hacked ?? null; })()"
        )
        seen["blocked"], page.errors = page.errors, []
        await page.look(PHONE, language="fr-FR")
        await page.go(plain)
        await page.send("Input.insertText", text="douleur")
        await page.press("Tab", 9)
        await page.send("Input.insertText", text="pain of the heart")
        await page.press("Tab", 9)
        await page.press("Enter", 13, "\r")
        await page.wait("document.getElementById('cosines').checkVisibility()")
        await measure("compared")
        seen["cosines"] = await page.run(
            "[...document.querySelectorAll('#cosine-rows tr')].map(row => [...row.cells].map(cell => cell.innerText))"
        )
        seen["errors"] = page.errors
    return seen


async def search(page: Page, question: str) -> None:
    """Asks, and waits for the answer to this question."""
    await page.run("document.getElementById('status').textContent = ''; document.getElementById('question').focus()")
    await page.type(question)
    await page.wait("/\\d+ documents? in/.test(document.getElementById('status').textContent)")


@pytest.fixture(scope="module")
def seen(chromium: str, searched: Served, trained: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with running(app_of(searched, [HASH])) as url, running(app_of(trained)) as plain:
        return asyncio.run(walk(chromium, tmp_path_factory.mktemp("page"), url, plain))


def test_a_key_is_asked_for_and_kept_nowhere(seen: dict[str, Any]):
    assert (seen["locked"]["focus"], seen["locked"]["error"]) == ("key", None)
    assert seen["wrong key"]["error"] == "The server did not accept this key."
    assert seen["kept"] == '["",0,0]'


def test_both_lists_are_the_apis_and_say_how_documents_move(seen: dict[str, Any], searched: Served):
    client = TestClient(make_app(Replica(searched), Front()))
    lists = {}
    for name, dimensions in (("chosen", 8), ("full", 32)):
        answer = client.post("/v1/search", json={"query": QUESTION, "dimensions": dimensions}).json()["data"]
        lists[name] = [entry["id"] for entry in answer]
        assert [entry["id"] for entry in seen["desktop"][name]] == lists[name]
        for entry, shown in zip(answer, seen["desktop"][name], strict=True):
            assert entry["fields"]["text"] in shown["text"]
    for place, entry in enumerate(seen["desktop"]["chosen"]):
        if entry["id"] not in lists["full"]:
            assert (entry["move"], "not among" in entry["spoken"]) == ("new", True)
            continue
        moved = lists["full"].index(entry["id"]) - place
        assert entry["move"].replace("−", "-").replace("=", "0") == (f"+{moved}" if moved > 0 else str(moved))
    assert seen["desktop"]["lines"] == [name for name in lists["chosen"] if name in lists["full"]]
    assert seen["desktop"]["titles"] == ["At 8 dimensions", "At full width, 32"]


@pytest.mark.parametrize("name", ["locked", "desktop", "dark", "phone", "full width", "compared"])
def test_it_fits_the_screen_and_can_be_read(seen: dict[str, Any], name: str):
    found = seen[name]
    assert found["width"] <= (PHONE if name in ("phone", "full width", "compared") else DESKTOP)
    assert found["smallest"] >= 12
    assert found["contrast"] >= 4.5
    assert found["targets"] >= 24
    assert found["unlabelled"] == 0


def test_lists_are_side_by_side_on_a_desktop_and_below_each_other_on_a_phone(seen: dict[str, Any]):
    assert seen["desktop"]["tops"][0] == seen["desktop"]["tops"][1]
    assert seen["phone"]["tops"][0] < seen["phone"]["tops"][1]
    assert seen["phone"]["lines"] == []
    assert [entry["move"] for entry in seen["phone"]["chosen"]] == [e["move"] for e in seen["desktop"]["chosen"]]


def test_at_full_width_there_is_one_list(seen: dict[str, Any]):
    assert seen["full width"]["titles"] == ["At full width, 32"]
    assert seen["full width"]["error"] is None
    assert not any("move" in entry for entry in seen["full width"]["chosen"])


def test_errors_are_said_in_words(seen: dict[str, Any]):
    assert seen["too long"]["error"] == "The text is too long for this model. Shorten it."


def test_texts_and_scripts_run_nothing(seen: dict[str, Any]):
    assert (seen["desktop"]["images"], seen["hacked"]) == (0, None)
    assert all("Content Security Policy" in text for text in seen["blocked"])
    assert (len(seen["blocked"]), seen["errors"]) == (1, [])


def test_without_a_table_two_texts_are_compared_in_french(seen: dict[str, Any], trained: Served):
    assert (seen["compared"]["language"], seen["compared"]["status"]) == ("fr", "Comparé.")
    one, other = trained.encoder.encode(["douleur", "pain of the heart"], "query")
    assert [row[0] for row in seen["cosines"]] == ["32 (toutes)", "8"]
    assert abs(float(seen["cosines"][0][1].replace(",", ".")) - float(one @ other)) < 1e-3
