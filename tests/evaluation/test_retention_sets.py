"""Sets are opened, and what is not from elsewhere is left out, counted or refused in one line."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.errors import MedEmbedError
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.names import MADE
from medembed.evaluation.retention.sets import open_retention
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash
from tests.tiny import SIGNS, SUBJECTS

ROWS = [
    (f"q{n}", f"my {SUBJECTS[n % 12]} {SIGNS[n % 10]} {n}", f"The {SUBJECTS[n % 12]}, case {n}")
    for n in range(24)
]


def write_set(
    place: Path,
    rows: Sequence[tuple[str, str, str]] = ROWS,
    split: str = "test",
    *,
    judged: bool = True,
) -> Dataset:
    """A data set with a query and a document of each row."""
    with NewOutput(str(place), place.name) as output:
        documents = [
            {
                "document_id": f"d-{name}",
                "text": text,
                "language": "en",
                "content_hash": content_hash(text),
            }
            for name, _, text in rows
        ]
        queries = [
            {
                "query_id": name,
                "text": text,
                "language": "en",
                "tags": [],
                "group_id": name,
                "split": split,
            }
            for name, text, _ in rows
        ]
        qrels = [
            {"query_id": name, "document_id": f"d-{name}", "score": float(judged)}
            for name, _, _ in rows
        ]
        output.write_parquet("corpus/part-0.parquet", to_table(documents, CORPUS))
        output.write_parquet("queries/part-0.parquet", to_table(queries, QUERIES))
        output.write_parquet("qrels/part-0.parquet", to_table(qrels, QRELS))
        counts = {"documents": len(rows), "queries": len(rows), "judgments": len(rows)}
        rows_of = {"corpus/part-0.parquet": len(rows)}
        output.commit(
            DatasetManifest(fingerprint=place.name, counts=counts, source="here", rows=rows_of)
        )
    return open_dataset(str(place))


def test_training_queries_are_left_out_whatever_their_case_and_shared_documents_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_set(tmp_path / "clinic")
    taught = [(f"t-{name}", text.upper() + "?", document) for name, text, document in ROWS[:6]]
    trained = write_set(tmp_path / "trained", taught, "train")
    with caplog.at_level(logging.INFO):
        (kept,) = open_retention(
            RetentionConfig(sets={"clinic": str(tmp_path / "clinic")}),
            str(tmp_path / "out"),
            trained,
        )
    assert kept.left_out == {name for name, _, _ in ROWS[:6]}
    assert kept.split == "test"
    assert (
        "18 queries of the test split; 6 left out, because they are training queries; 6 of "
        "24 documents are also in" in caplog.text
    )
    sample = kept.draw(RetentionConfig(queries=10, documents=12))
    assert len(sample.queries) == 10
    assert not {name for name, _ in sample.queries} & kept.left_out


def test_without_a_test_split_all_queries_measure(tmp_path: Path):
    write_set(tmp_path / "clinic", split="train")
    config = RetentionConfig(sets={"clinic": str(tmp_path / "clinic")})
    (kept,) = open_retention(config, str(tmp_path / "out"), None)
    assert kept.split is None
    assert len(kept.draw(config).queries) == 24


def test_what_is_no_set_from_elsewhere_is_refused_in_one_line(tmp_path: Path):
    trained = write_set(tmp_path / "trained", split="train")
    write_set(tmp_path / "refused", judged=False)
    write_set(tmp_path / "known", [(f"k-{row[0]}", *row[1:]) for row in ROWS])
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("refused", "no query of the test split with a relevant document"),
        (
            "known",
            r"0 queries with a relevant document that are no training queries \(24 are\), expected 10 or more",
        ),
        ("trained", "is the data set that is trained on"),
        ("empty", "empty"),
        ("absent", "absent"),
    ):
        config = RetentionConfig(sets={name: str(tmp_path / name)})
        with pytest.raises(MedEmbedError, match=f"retention set '{name}'.*{message}") as caught:
            open_retention(config, str(tmp_path / "out"), trained)
        assert "\n" not in str(caught.value)
        assert "my kidney" not in str(caught.value)


def long_rows(count: int) -> list[tuple[str, str, str]]:
    return [
        (
            f"q{n}",
            f"what of {n}",
            (
                f"Case {n} is about the {SUBJECTS[n % 12]}. It was seen with {SIGNS[n % 10]} on "
                f"day {n} of the stay."
            ),
        )
        for n in range(count)
    ]


def test_without_a_set_one_is_made_of_documents_that_were_not_trained_on_where_there_are_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    trained = write_set(tmp_path / "trained", long_rows(400), "train")
    (kept,) = open_retention(RetentionConfig(), str(tmp_path / "out"), trained)
    assert (kept.name, kept.dataset.manifest.query_count) == (MADE, 300)
    assert "give sets of your own" in kept.worth
    assert open_retention(RetentionConfig(), str(tmp_path / "out"), trained) == (kept,)
    assert open_retention(RetentionConfig(made=False), str(tmp_path / "out"), trained) == ()
    assert open_retention(RetentionConfig(), str(tmp_path / "out"), None) == ()
    few = write_set(tmp_path / "few", long_rows(40), "train")
    with caplog.at_level(logging.INFO):
        assert open_retention(RetentionConfig(), str(tmp_path / "out"), few) == ()
    assert "none is made: fewer than 100 documents have a second sentence" in caplog.text


def test_documents_in_no_training_pair_ask_first(tmp_path: Path):
    rows = long_rows(420)
    trained = write_set(tmp_path / "trained", rows, "train")
    untaught = frozenset(name for name, _, _ in rows[:310])
    qrels = [
        {"query_id": name, "document_id": f"d-{name}", "score": 1.0}
        for name, _, _ in rows
        if name not in untaught
    ]
    pq.write_table(to_table(qrels, QRELS), tmp_path / "trained/qrels/part-0.parquet")
    (kept,) = open_retention(RetentionConfig(), str(tmp_path / "out"), trained)
    assert set(kept.dataset.query_ids().to_pylist()) <= {f"d-{name}" for name in untaught}
