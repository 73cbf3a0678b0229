"""Documents in chunks, mined and measured with a real encoder, against a look at every row."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import evaluate
from medembed.matryoshka import truncate
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from tests.chunked import (
    CHUNKS,
    HELD,
    NOTICE,
    QUERIES_BY_ID,
    ROWS_PER_FILE,
    WHOLE,
    rank_documents,
    write_chunked,
)
from tests.inline_spread import alone

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]
ENCODING = EncodingConfig(workers=2)


@dataclass(frozen=True)
class Chunked:
    """The data set with its table, and what a look at every row needs."""

    dataset: Dataset
    table: Table
    model: str
    encoder: Encoder
    rows: dict[str, np.ndarray]
    texts: dict[str, str]

    def ranked(self, query_id: str, dimension: int) -> list[tuple[str, float, str]]:
        query = truncate(self.encoder.encode([QUERIES_BY_ID[query_id][0]], "query"), dimension)[0]
        return rank_documents(
            query, {name: truncate(row[None], dimension)[0] for name, row in self.rows.items()}
        )


@pytest.fixture(scope="module")
def chunked(
    encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: None
) -> Chunked:
    root = tmp_path_factory.mktemp("chunked")
    dataset = write_chunked(root / "data")
    model = str(encoder_folder)
    with alone(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("medembed.encoding.changes.items_of", lambda rows, most: ROWS_PER_FILE)
        files = dataset.corpus_files()
        table = encode_corpus(files, dataset.fingerprint, model, str(root / "t.lance"), ENCODING)
    assert len(table.shards()) > 2
    encoder = Encoder.load(model, ENCODING)
    texts = dict(
        zip(*dataset.corpus().select(["document_id", "text"]).to_pydict().values(), strict=True)
    )
    return Chunked(
        dataset,
        table,
        model,
        encoder,
        dict(zip(texts, encoder.encode(list(texts.values())), strict=True)),
        texts,
    )


@pytest.mark.parametrize(("margin", "window"), [(0.0, 23), (0.02, 4), (0.0, 2)])
def test_examples_hold_the_best_chunk_of_each_document(
    chunked: Chunked, tmp_path: Path, margin: float, window: int
):
    config = MiningConfig(negatives=5, window=window, margin=margin, margin_from=0.0)
    examples = mine(
        chunked.dataset, chunked.table, chunked.model, str(tmp_path), config, ENCODING
    ).read()
    expected = {}
    for query_id, (_, split, grades) in QUERIES_BY_ID.items():
        known = {
            name
            for judged in (grades, HELD.get(query_id, {}))
            for name, score in judged.items()
            if score > 0
        }
        answers = {text for row, text in chunked.texts.items() if row.split("#chunk-")[0] in known}
        for positive in [name for name, score in grades.items() if score > 0 and split == "train"]:
            ranked = chunked.ranked(query_id, chunked.table.info.width)
            limit, row_id = next(
                (score, row_id) for name, score, row_id in ranked if name == positive
            )
            others = [row for row in ranked if row[0] not in known]
            refused = [
                (row, rank if rank < window else None)
                for rank, (name, _, row) in enumerate(others)
                if grades.get(name, 1) <= 0 and chunked.texts[row] not in answers
            ]
            mined = [
                (row, rank)
                for rank, (name, score, row) in enumerate(others[:window])
                if name not in grades
                and score <= limit - margin * abs(limit)
                and chunked.texts[row] not in answers
            ]
            expected[query_id, row_id] = (refused + mined)[:5]
    found = {
        (row["query_id"], row["positive_id"]): list(
            zip(row["negative_ids"], row["negative_ranks"], strict=True)
        )
        for row in examples
    }
    assert found == expected
    for row in examples:
        assert row["positive"] == chunked.texts[row["positive_id"]]
        assert row["negatives"] == [chunked.texts[name] for name in row["negative_ids"]]


def test_no_negative_repeats_the_positives_own_text(chunked: Chunked, tmp_path: Path):
    config = MiningConfig(negatives=20, window=23, margin=0.0)
    examples = mine(
        chunked.dataset, chunked.table, chunked.model, str(tmp_path), config, ENCODING
    ).read()
    (row,) = [row for row in examples if row["query_id"] == "q-notice"]
    assert row["positive"] == NOTICE
    assert NOTICE not in row["negatives"]


def test_queries_without_a_positive_give_no_example_and_are_counted(
    chunked: Chunked, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, logger="medembed"):
        examples = mine(
            chunked.dataset,
            chunked.table,
            chunked.model,
            str(tmp_path),
            MiningConfig(window=23),
            ENCODING,
        )
    assert examples.manifest.example_count == 5
    assert "2 training queries without a positive are not mined" in caplog.messages


@pytest.mark.parametrize("dimension", [32, 8])
def test_metrics_are_those_of_documents_ranked_by_their_best_chunk(
    chunked: Chunked, tmp_path: Path, caplog: pytest.LogCaptureFixture, dimension: int
):
    config = EvaluationConfig(dimensions=(dimension,))
    with caplog.at_level(logging.INFO, logger="medembed"):
        result = evaluate(
            chunked.dataset, chunked.table, chunked.model, str(tmp_path), config, ENCODING
        )
    assert result.queries.units.ids == ("q-lung", "q-nose", "q-skin")
    assert "2 queries without a positive are not measured" in caplog.messages
    for number, query_id in enumerate(result.queries.units.ids):
        grades = QUERIES_BY_ID[query_id][2]
        names = [name for name, _, _ in chunked.ranked(query_id, dimension)]
        assert sorted(names) == sorted([*CHUNKS, *WHOLE])
        ideal = sum(
            grade / math.log2(rank + 2)
            for rank, grade in enumerate(sorted(grades.values(), reverse=True))
        )
        gain = sum(
            grades.get(name, 0) / math.log2(rank + 2) for rank, name in enumerate(names[:10])
        )
        first = min(names.index(name) for name in grades)
        values = {name: column[number] for name, column in result.queries.values[dimension].items()}
        assert values["ndcg@10"] == pytest.approx(gain / ideal)
        assert values["mrr@10"] == pytest.approx(1 / (first + 1) if first < 10 else 0)
        assert values["recall@100"] == 1


def test_a_split_without_any_positive_is_refused(chunked: Chunked, tmp_path: Path):
    config = EvaluationConfig(split="dev", tag="refused")
    assert chunked.dataset.queries(config.split, config.tag).num_rows == 1
    with pytest.raises(DataError, match="split=dev and tag=refused no query has a positive"):
        evaluate(chunked.dataset, chunked.table, chunked.model, str(tmp_path), config, ENCODING)
