"""What an evaluation shows comes from the catalogue whole: beside it stand only names and numbers."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from matplotlib.text import Text

from medembed import language
from medembed.evaluation.footprint_words import format_footprints
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.recommend import format_recommendation
from medembed.evaluation.report.headline import headlines, warnings
from medembed.evaluation.report.page import Page
from medembed.evaluation.report.plots import (
    draw_dimensions,
    draw_scores,
    draw_similarity,
    draw_slices,
)
from medembed.evaluation.report.render import render_report
from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.side_by_side import differences_by_baseline
from medembed.evaluation.words import format_metrics, format_slices, format_table
from tests.evaluation.pages import compared, make_inspection, make_page, ranked
from tests.evaluation.test_retention_words import make_retention
from tests.messages import extract, parts

NAMES = ("clinic-minilm-v3", "all-MiniLM-L6-v2", "BM25", "new", "base", "NDCG", "recall", "MRR")
# of slices and queries; the rest is a column's name, and one that is shorter on a phone
NAMES += ("fr", "en", "lay", "clinical", "rare", "query", "id", "dim", "ension")
NAMES += ("float32", "int8")


@pytest.fixture
def masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write messages in a language whose words are all dots."""
    catalogue = Catalog(locale="fr")
    for message in extract():
        texts = tuple(mask(text) for text in parts(message))
        catalogue.add(message, texts if len(texts) > 1 else texts[0])
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "medembed.mo").open("wb") as file:
        write_mo(file, catalogue)
    monkeypatch.setattr(language, "CATALOGUES", tmp_path)
    before = language.current_language()
    language.use_language("fr")
    yield
    language.use_language(before)


def mask(text: str) -> str:
    return re.sub(r"(\{[^}]*\})|[^\W\d_]+", lambda match: match[1] or "·", text)


class Visible(HTMLParser):
    """The texts of a page, of its images and for its screen readers."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(re.sub("<style>.*?</style>", "", page, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"alt", "title", "aria-label"}:
                self.texts.append(value or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def make_full_page() -> Page:
    """Make a page with all sections, a set and a case that were named here, and all warnings."""
    page = make_page(count=120, groups=90)
    cases = {64: (CaseOutcome("case 3", 0.4, 0.5),)}
    model = replace(page.model, must_rank=cases)
    losses = {"first sentences": {64: 0.02}, "held back tag lay": {64: 0.0}}
    return replace(
        page,
        title="",
        evaluations=[model, *page.evaluations[1:]],
        inspections={model.name: make_inspection(0.8, cut=0.4)},
        facts=(),
        retention=make_retention(losses),
    )


def show_page(page: Page) -> list[str]:
    alone = replace(page, comparisons=(), evaluations=page.evaluations[:1])
    images = dict.fromkeys(
        ("dimensions.png", "curves.png", "slices.png", "scores.png", "similarity.png"), b""
    )
    pages = [render_report(page, images), render_report(alone, images)]
    assert all('<html lang="fr">' in html for html in pages)
    return [text for html in pages for text in Visible(html).texts]


def show_figures(page: Page) -> list[str]:
    texts: list[str] = []
    for draw in (draw_dimensions, draw_slices, draw_scores, draw_similarity):
        figure = draw(page)
        assert figure is not None
        texts += [part.get_text() for part in figure.findobj() if isinstance(part, Text)]
    return texts


def show_terminal(page: Page) -> list[str]:
    lines = [*format_metrics(page.model), *headlines(page), *warnings(page)]
    for comparison in page.comparisons:
        lines += [format_table(comparison), format_slices(comparison)]
    lines += format_retention(page.retention) + format_recommendation(page.recommendation)
    return lines + format_footprints(page.footprints)


@pytest.mark.parametrize("show", [show_page, show_figures, show_terminal])
def test_no_word_is_written_past_the_catalogue(masked: None, show: Callable[[Page], list[str]]):
    text = "\n".join(show(make_full_page()))
    assert "·" in text
    left = re.sub(rf"\b({'|'.join(NAMES)})\b", "", text)
    assert re.findall(r".*[^\W\d_]{2}.*", left) == []


@pytest.fixture
def french() -> Iterator[None]:
    before = language.current_language()
    language.use_language("fr")
    yield
    language.use_language(before)


def test_a_model_is_called_in_the_users_language_by_its_part_and_in_english_in_json(french: None):
    page = compared(ranked("fine-tuned", 0.8), ranked("base model"))
    retention = make_retention({"clinic": {64: 0.02}})
    retention = replace(
        retention, model="new", against=(replace(retention.against[0], baseline="champion"),)
    )
    inspected = replace(page, inspections={"base model": make_inspection(0.8)}, retention=retention)
    shown = "\n".join([*show_terminal(inspected), *Visible(render_report(inspected, {})).texts])
    assert "modèle affiné" in shown
    assert "modèle de base" in shown
    assert not re.search("base model|fine-tuned", shown)
    assert list(differences_by_baseline(page)) == ["base model"]
