from pathlib import Path

import pytest

from medembed.errors import DataError
from medembed.mining.texts import gather_rows
from tests.chunked import CHUNKS, NOTICE, WHOLE, write_chunked
from tests.mining.corpus import corpus_rows


def test_rows_and_documents_that_are_wanted_are_found_in_any_file_and_no_others(tmp_path: Path):
    files = write_chunked(tmp_path / "d").corpus_files()
    rows = gather_rows(
        [file for file, _ in files], {"bone", "eye#chunk-1"}, {"skin", "ear", "gone"}, tmp_path
    )
    assert set(rows.line) == {
        "bone",
        "ear",
        "eye#chunk-1",
        "skin#chunk-0",
        "skin#chunk-1",
        "skin#chunk-2",
    }
    assert rows.text("skin#chunk-2") == NOTICE
    assert rows.text("bone") == WHOLE["bone"]
    assert [rows.text(name) for name in rows.rows_of(["skin", "ear"])] == [
        *CHUNKS["skin"],
        WHOLE["ear"],
    ]
    assert rows.rows_of(["gone"]) == ["gone"]
    assert rows.present(["gone", "bone"]) == ["bone"]


def test_chunks_of_a_document_are_in_the_order_of_their_ids(tmp_path: Path):
    rows = corpus_rows({"a#chunk-2": "x", "a#chunk-10": "y", "b": "z", "a#chunk-0": "w"}, tmp_path)
    assert rows.rows_of(["a"]) == ["a#chunk-0", "a#chunk-10", "a#chunk-2"]


def test_equal_texts_have_equal_numbers_and_equal_words_too(tmp_path: Path):
    texts = {
        "a": "Heart pain.",
        "b": "heart  PAIN",
        "c": "Heart pain.",
        "d": "...",
        "e": "?!",
        "f": "Heart pain +",
    }
    rows = corpus_rows(texts, tmp_path)
    content, words = (
        dict(zip(rows.line, numbers.tolist(), strict=True))
        for numbers in (rows.content, rows.words)
    )
    assert content["a"] == content["c"] != content["b"]
    assert words["a"] == words["b"] == words["c"]
    assert len({words[name] for name in "adef"}) == 4, "signs are not dropped"


def test_a_row_of_the_table_that_the_data_set_lacks_is_named(tmp_path: Path):
    with pytest.raises(
        DataError, match="row id 'gone' is in the embedding table, but not in the data set"
    ):
        corpus_rows({"a": "x"}, tmp_path).lines(["a", "gone"])


def test_no_rows_wanted_are_none(tmp_path: Path):
    assert corpus_rows({}, tmp_path).line == {}
