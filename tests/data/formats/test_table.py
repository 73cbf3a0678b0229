"""A format is known to all who read sources as soon as it stands in the table."""

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.corpus import open_corpus
from medembed.data.formats.format import Format, Part
from medembed.data.formats.lines import TextFile
from medembed.data.formats.table import FORMATS, FormatName
from medembed.data.grow import grow
from medembed.data.own_texts import TextColumns
from medembed.data.prepare import prepare
from medembed.data.query_file import read_queries
from medembed.data.reading import ReadingConfig
from medembed.data.rows import Rows
from medembed.finetuning.incoming import find_incoming

DOCS = Path(__file__).parents[3] / "docs" / "data.md"


def test_the_formats_that_a_source_may_name_are_those_of_the_table():
    assert get_args(FormatName) == ("auto", *FORMATS)


def test_an_ending_belongs_to_one_format_and_stands_in_the_docs():
    endings = Counter(ending for form in FORMATS.values() for ending in form.endings)
    assert set(endings.values()) == {1}
    documented = DOCS.read_text()
    assert [ending for ending in endings if f"`{ending}`" not in documented] == []


def read_cards(part: Part, source: ReadingConfig) -> Rows:
    """Each line is "id=question=answer"."""
    with TextFile(part.uri) as file:
        for number, line in file.texts():
            values = line.split("=")
            yield number, dict(zip(("id", "question", "text"), values, strict=True))


def are_closed(uri: str, source: ReadingConfig) -> str | None:
    return None if Path(uri).read_text().endswith("\n") else "its last card breaks off"


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a format that the table has just got."""
    cards = Format(
        name="cards", endings=(".cards",), read_rows=read_cards, why_incomplete=are_closed
    )
    monkeypatch.setitem(FORMATS, cards.name, cards)
    path = tmp_path / "landing" / "a.cards"
    path.parent.mkdir()
    path.write_text("".join(f"q{n}=question {n}=answer {n}\n" for n in range(30)))
    return path


def test_a_new_format_is_prepared_encoded_searched_and_grown_by_its_line_in_the_table(
    cards: Path, tmp_path: Path
):
    source = SourceConfig(path=str(cards), query_language="en", document_language="en")
    data = prepare(source, SplitConfig(), str(tmp_path / "data"))
    assert (data.manifest.format, data.manifest.counts["queries"]) == ("cards", 30)
    with open_corpus(str(cards), TextColumns(), str(tmp_path / "texts")) as corpus:
        assert corpus.counts == {"documents": 30}
    assert read_queries(str(cards))["q7"] == "question 7"

    landing = source.model_copy(update={"path": str(cards.parent)})
    incoming = find_incoming(landing, (), (), settle_s=0)
    files = [(file.uri, file.content) for file in incoming.new]
    grown = grow(None, files, landing, SplitConfig(), str(tmp_path / "grown"))
    assert grown.fingerprint == data.fingerprint
    cards.write_text("q0=question 0=ans")
    incoming = find_incoming(landing, (), (), settle_s=0)
    assert incoming.left == {"a.cards": "its last card breaks off"}
