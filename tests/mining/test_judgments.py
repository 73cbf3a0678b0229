from itertools import starmap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.table import Table, TableInfo
from medembed.mining import judgments
from medembed.mining.judgments import (
    JudgedDocument,
    judged_negatives,
    known_positives,
    nearest_rows,
)
from medembed.mining.texts import CorpusRows
from tests.chunked import write_chunked
from tests.mining.corpus import corpus_rows

VECTORS = {
    "a#chunk-0": [1.0, 0.0],
    "a#chunk-10": [0.0, 1.0],
    "a#chunk-2": [0.0, 1.0],
    "b": [0.6, 0.8],
    "c#chunk-0": [-1.0, 0.0],
}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Return a table of VECTORS in two fragments."""
    uri, names = str(tmp_path / "t.lance"), list(VECTORS)
    parts = [
        write_fragment(
            uri,
            pa.table({"document_id": part, "content_hash": part}),
            Codec(2).write(np.array([VECTORS[name] for name in part], dtype=np.float32)),
        )
        for part in (names[:2], names[2:])
    ]
    return commit_table(uri, parts, TableInfo("encoder", "data", 2, (2,), "", 8))


@pytest.fixture
def rows(tmp_path: Path) -> CorpusRows:
    return corpus_rows({name: name for name in VECTORS}, tmp_path)


def test_known_positives_are_judged_above_zero_in_any_split_or_held_out(tmp_path: Path):
    dataset = write_chunked(tmp_path / "d")
    known = known_positives(dataset.qrels(), dataset.held_out())
    assert known["q-heart"] == {"heart", "brain"}
    assert known["q-kidney"] == {"kidney", "liver"}
    assert known["q-lung"] == {"heart", "lung"}
    assert known["q-refused"] == set()
    assert known["q-gone"] == {"ear"}


def test_a_querys_own_text_is_no_negative_of_it():
    known = known_positives({"A15#text-fr": {"A15#text-en": 1.0}, "q": {"q": 0.0}})
    assert known == {"A15#text-fr": {"A15#text-en", "A15#text-fr"}, "q": set()}


def test_judged_negatives_are_judged_zero_or_below_and_answer_the_query_nowhere():
    qrels = {
        "a": {"y": 0.0, "x": -1.0, "p": 1.0, "held": 0.0},
        "b": {"x": 0.0},
        "not asked": {"x": 0.0},
    }
    negatives = judged_negatives(
        qrels, known_positives(qrels, {"a": {"held": 1.0}}), ["b", "none", "a"]
    )
    assert negatives == [("b", "x"), ("a", "x"), ("a", "y")]


@pytest.mark.parametrize("together", [1, 2, 100])
def test_the_nearest_row_is_that_of_each_query_and_ties_go_to_the_smaller_id(
    table: Table, rows: CorpusRows, monkeypatch: pytest.MonkeyPatch, together: int
):
    monkeypatch.setattr(judgments, "_PAIRS", together)
    queries = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    asked = list(starmap(JudgedDocument, zip("xyzx", "aabc", strict=True)))
    nearest = nearest_rows(queries, {"x": 0, "y": 1, "z": 2}, asked, rows, table, 2)
    assert [row_id for row_id, _ in nearest] == ["a#chunk-0", "a#chunk-10", "b", "c#chunk-0"]
    assert [score for _, score in nearest] == pytest.approx([1, 1, 1, -1])


def test_at_fewer_dimensions_both_sides_are_cut_and_scaled_back(table: Table, rows: CorpusRows):
    queries = np.array([[0.6, 0.8]], np.float32)
    nearest = nearest_rows(queries, {"x": 0}, [JudgedDocument("x", "b")], rows, table, 1)
    assert nearest == [("b", pytest.approx(1))]


def test_a_document_without_a_row_in_the_table_has_no_best_one(table: Table, rows: CorpusRows):
    queries = np.array([[0.6, 0.8]], np.float32)
    gone = JudgedDocument("x", "gone")
    there = JudgedDocument("x", "b")
    nearest = nearest_rows(queries, {"x": 0}, [gone, there], rows, table, 2)
    assert nearest == [None, ("b", pytest.approx(1))]
    assert nearest_rows(queries, {"x": 0}, [gone], rows, table, 2) == [None]
