"""The report as headless Chromium lays it out, at the width of a desktop and of a phone."""

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from medembed.evaluation.report.plots import draw_plots
from medembed.evaluation.report.render import render_report
from tests.evaluation.pages import make_page

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1300,900",
]
DESKTOP, PHONE = 1200, 360
# A window is at least 500 pixels wide, so the page sits in frames of both widths; the script
# measures each frame.
OUTER = """<!doctype html><body>{frames}<script>
function backgroundOf(node) {{
  for (; node; node = node.parentElement) {{
    const colour = getComputedStyle(node).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }}
  return "rgb(255, 255, 255)";
}}
function luminance(colour) {{
  const [r, g, b] = colour.match(/[\\d.]+/g).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}}
function contrast(node) {{
  const [low, high] = [getComputedStyle(node).color, backgroundOf(node)].map(luminance).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}}
function measure(page) {{
  page.querySelectorAll("details").forEach(node => node.open = true);
  const texts = [...page.body.querySelectorAll("*")].filter(
    node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()) && node.checkVisibility());
  const box = page.querySelector(".scroll"), cell = box.querySelector("tbody th");
  const before = cell.getBoundingClientRect().left;
  box.scrollLeft = 60;
  return {{
    width: page.documentElement.scrollWidth,
    images: [...page.images].map(image => image.complete && image.naturalWidth),
    lefts: [...page.querySelectorAll(".figures")].map(box => [...box.querySelectorAll("img")])
      .find(images => images.length > 1).map(image => image.getBoundingClientRect().left),
    smallest: Math.min(...texts.map(node => parseFloat(getComputedStyle(node).fontSize))),
    contrast: Math.min(...texts.map(contrast)),
    scrolled: box.scrollLeft,
    moved: cell.getBoundingClientRect().left - before,
    texts: texts.length,
  }};
}}
onload = () => {{
  const measured = [...document.querySelectorAll("iframe")].map(frame => measure(frame.contentDocument));
  document.body.innerHTML = "<pre id=measured>" + JSON.stringify(measured) + "</pre>";
}};
</script>"""


@pytest.fixture(scope="module")
def measured(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """{width: what was measured}."""
    page = make_page(count=120, groups=90)
    report = html.escape(render_report(page, draw_plots(page)))
    frames = "".join(
        f'<iframe style="width:{w}px;height:800px;border:0" srcdoc="{report}"></iframe>'
        for w in (DESKTOP, PHONE)
    )
    folder: Path = tmp_path_factory.mktemp("browser")
    (folder / "outer.html").write_text(OUTER.format(frames=frames), encoding="utf-8")
    command = [
        chromium,
        *FLAGS,
        f"--user-data-dir={folder}/profile",
        "--dump-dom",
        f"file://{folder}/outer.html",
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search('<pre id="measured">(.*?)</pre>', dom)
    assert match, f"nothing was measured in {len(dom)} characters"
    return dict(zip((DESKTOP, PHONE), json.loads(match[1]), strict=True))


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_is_never_wider_than_the_screen(measured: dict[int, dict[str, Any]], width: int):
    assert measured[width]["width"] <= width


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_figure_is_loaded(measured: dict[int, dict[str, Any]], width: int):
    assert measured[width]["images"] == [920] * 5


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_text_is_large_and_dark_enough_to_read(measured: dict[int, dict[str, Any]], width: int):
    """12 pixels; a contrast of 4.5 (WCAG 2.2, success criterion 1.4.3)."""
    assert measured[width]["texts"] > 100
    assert measured[width]["smallest"] >= 12
    assert measured[width]["contrast"] >= 4.5


def test_figures_are_side_by_side_on_a_desktop_and_below_each_other_on_a_phone(
    measured: dict[int, dict[str, Any]],
):
    assert measured[DESKTOP]["lefts"][0] + 400 < measured[DESKTOP]["lefts"][1]
    assert measured[PHONE]["lefts"][0] == measured[PHONE]["lefts"][1]


def test_a_wide_table_scrolls_inside_its_own_box_and_keeps_its_first_column_in_sight(
    measured: dict[int, dict[str, Any]],
):
    assert measured[PHONE]["scrolled"] == 60
    assert measured[PHONE]["moved"] == 0
    assert measured[DESKTOP]["scrolled"] == 0
