import unicodedata

import pytest

from medembed.data.cleaning import clean, clean_text
from medembed.data.rows import Document, Dropped, Judgment, Query
from medembed.errors import DataError


def test_text_is_composed_and_spaced_once_and_keeps_french_letters():
    assert clean_text(unicodedata.normalize("NFD", "  l’œdème\t\x00 aigu\r\n")) == "l’œdème aigu"


def test_documents_with_one_text_become_one_and_their_judgments_follow():
    rows = clean(iter([
        Document("a", "same text", "en"), Document("b", "same  text ", "en"),
        Query("q", "why", "en", "g"), Judgment("q", "b"),
    ]))  # fmt: skip
    assert list(rows.documents) == ["a"]
    assert list(rows.judgments) == [("q", "a")]
    assert rows.dropped["document text repeated under another id"] == 1


def test_every_row_left_out_is_counted():
    rows = clean(iter([
        Dropped("by reader"), Document("a", " ", "en"), Document("b", "text", "en"),
        Query("q1", "", "en", "g"), Query("q2", "ok", "en", "g"), Query("q3", "orphan", "en", "g"),
        Judgment("q1", "b"), Judgment("q2", "b"), Judgment("q2", "a"),
    ]))  # fmt: skip
    assert dict(rows.dropped) == {
        "by reader": 1, "empty document": 1, "empty query": 1, "judgment of an absent row": 2,
        "query without a positive": 1,
    }  # fmt: skip
    assert list(rows.queries) == ["q2"]


def test_one_id_with_two_texts_is_an_error_that_names_the_id_only():
    with pytest.raises(DataError, match="query id 'q'") as caught:
        clean(iter([Query("q", "SECRET one", "en", "g"), Query("q", "SECRET two", "en", "g")]))
    assert "SECRET" not in str(caught.value)
