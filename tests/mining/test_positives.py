from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.table import Table, TableInfo
from medembed.errors import StorageError
from medembed.mining import positives
from medembed.mining.positives import best_rows, chunks_by_document, known_positives
from tests.chunked import write_chunked

VECTORS = {
    "a#chunk-0": [1.0, 0.0],
    "a#chunk-10": [0.0, 1.0],
    "a#chunk-2": [0.0, 1.0],
    "b": [0.6, 0.8],
    "c#chunk-0": [-1.0, 0.0],
}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """VECTORS in two fragments."""
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


def test_known_positives_are_judged_above_zero_in_any_split_or_held_out(tmp_path: Path):
    known = known_positives(write_chunked(tmp_path / "d")[0])
    assert known["q-heart"] == {"heart", "brain"}
    assert known["q-kidney"] == {"kidney", "liver"}
    assert known["q-lung"] == {"heart", "lung"}
    assert known["q-refused"] == set()
    assert known["q-gone"] == {"ear"}


def test_chunks_are_grouped_by_document_and_whole_documents_are_not_named():
    assert chunks_by_document(["b", *reversed(list(VECTORS)), "e"]) == {
        "a": ["a#chunk-0", "a#chunk-10", "a#chunk-2"],
        "c": ["c#chunk-0"],
    }


@pytest.mark.parametrize("together", [1, 2, 100])
def test_the_best_row_is_that_of_each_query_and_ties_go_to_the_smaller_id(
    table: Table, monkeypatch: pytest.MonkeyPatch, together: int
):
    monkeypatch.setattr(positives, "_PRODUCTS", together)
    queries = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], dtype=np.float32)
    found = best_rows(queries, ["a", "a", "b", "c"], chunks_by_document(VECTORS), table)
    assert [row_id for row_id, _ in found] == ["a#chunk-0", "a#chunk-10", "b", "c#chunk-0"]
    assert [score for _, score in found] == pytest.approx([1, 1, 1, -1])


def test_a_document_without_a_row_in_the_table_is_named(table: Table):
    with pytest.raises(StorageError, match="1 documents are not in the table, e.g. id 'gone'"):
        best_rows(np.ones((1, 2), np.float32), ["gone"], {}, table)
