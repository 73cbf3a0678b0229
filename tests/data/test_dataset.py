"""Reading parts of a data set: the judgments of some queries, the rows that have a class."""

from pathlib import Path

import pyarrow as pa
import pytest

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS

JUDGED = [
    [("q2", "d9", 1.0, None), ("q1", "d2", 0.0, None), ("q3", "d1", 1.0, 0.75)],
    [("q1", "d1", 2.0, None), ("q4", "d1", 1.0, None)],
]
LABELLED = [
    [("d5", "fr", "x", "test"), ("d1", "en", None, "train")],
    [("d3", "en", None, None)],
    [("d2", "en", "y", None), ("d4", "en", "x", "train")],
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    with NewOutput(str(tmp_path), "key") as output:
        for number, rows in enumerate(JUDGED):
            names = ("query_id", "document_id", "score", "similarity")
            table = to_table([dict(zip(names, row, strict=True)) for row in rows], QRELS)
            output.write_parquet(f"qrels/part-{number:05d}.parquet", table)
        for number, rows in enumerate(LABELLED):
            names = ("document_id", "language", "label", "split")
            table = to_table([dict(zip(names, row, strict=True)) for row in rows], CORPUS)
            output.write_parquet(f"corpus/part-{number:05d}.parquet", table)
        output.commit(DatasetManifest())
    return open_dataset(str(tmp_path))


@pytest.mark.parametrize(
    "queries", [pa.array(["q3", "q1", "none"]), pa.chunked_array([["q1"], ["none", "q3", "q1"]])]
)
def test_judgments_of_some_queries_are_sorted_whatever_file_they_are_in(
    dataset: Dataset, queries: pa.Array
):
    found = dataset.judgments(queries)
    assert found.schema.equals(QRELS)
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("q1", "d1", 2.0, None),
        ("q1", "d2", 0.0, None),
        ("q3", "d1", 1.0, 0.75),
    ]


@pytest.mark.parametrize(
    "queries", [pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.array(["none"])]
)
def test_no_query_has_no_judgment(dataset: Dataset, queries: pa.Array):
    assert dataset.judgments(queries).equals(QRELS.empty_table())


def test_rows_that_have_a_class_come_in_corpus_order_without_their_texts(dataset: Dataset):
    assert dataset.labels().to_pylist() == [
        {"document_id": "d5", "language": "fr", "label": "x", "split": "test"},
        {"document_id": "d2", "language": "en", "label": "y", "split": None},
        {"document_id": "d4", "language": "en", "label": "x", "split": "train"},
    ]


def test_a_data_set_without_corpus_or_judgments_has_none(tmp_path: Path):
    with NewOutput(str(tmp_path), "key") as output:
        output.commit(DatasetManifest())
    dataset = open_dataset(str(tmp_path))
    assert dataset.judgments(pa.array(["q1"])).equals(QRELS.empty_table())
    assert dataset.labels().equals(
        CORPUS.empty_table().select(["document_id", "language", "label", "split"])
    )
