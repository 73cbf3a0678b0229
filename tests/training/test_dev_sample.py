from pathlib import Path

import numpy as np
import pytest

from medembed.errors import DataError
from medembed.evaluation.sample import Sample, score_sample
from medembed.lineage import CheckpointManifest
from medembed.schema import document_of
from medembed.training.config import TrainingConfig
from medembed.training.record.checkpoint import DEV_VALUES, Checkpoint
from medembed.training.record.dev_sample import (
    draw_dev_sample,
    read_dev_values,
    write_dev_values,
)
from tests.chunked import CHUNKS, write_chunked

CONFIG = TrainingConfig(dimensions=(2, 1), select_dimension=2, dev_documents=1, select_by="mrr@10")


def test_the_sample_holds_all_chunks_of_judged_documents_and_no_query_without_a_positive(
    tmp_path: Path,
):
    dataset = write_chunked(tmp_path / "d")
    sample = draw_dev_sample(dataset, CONFIG)
    assert [name for name, _ in sample.queries] == ["q-eye"]
    assert dict(sample.documents) == {
        f"eye#chunk-{number}": text for number, text in enumerate(CHUNKS["eye"])
    }
    larger = draw_dev_sample(dataset, CONFIG.model_copy(update={"dev_documents": 5}))
    assert larger.documents[:2] == sample.documents
    assert {document_of(name) for name, _ in larger.documents[2:]}.isdisjoint({"eye"})
    assert len(larger.documents) == 5


def test_dev_queries_without_any_positive_cannot_choose_a_checkpoint(tmp_path: Path):
    dataset = write_chunked(tmp_path / "d")
    with pytest.raises(DataError, match="split=dev and tag=refused no query has a positive"):
        draw_dev_sample(dataset, CONFIG.model_copy(update={"dev_tag": "refused"}))


def test_a_sample_is_measured_by_documents():
    """The other document's two chunks stand before the positive's best chunk: rank 2, by rows it
    would be 3.
    """
    vectors = {
        "query": [1.0, 0.0],
        "best other": [1.0, 0.0],
        "next other": [0.8, 0.6],
        "best": [0.6, 0.8],
        "worst": [-1.0, 0.0],
    }
    documents = (
        ("d#chunk-0", "worst"),
        ("o#chunk-0", "next other"),
        ("d#chunk-1", "best"),
        ("o#chunk-1", "best other"),
    )
    sample = Sample((("q", "query"),), documents, {"q": {"d": 1.0}}, ("q",))
    rows = np.array([vectors[text] for _, text in documents], dtype=np.float32)
    queries = np.array([vectors["query"]], dtype=np.float32)
    measured = score_sample(sample, queries, rows, (2, 1), "mrr@10")
    # at one dimension both documents score 1: the smaller id is first
    assert {dimension: values.tolist() for dimension, values in measured.items()} == {
        2: [0.5],
        1: [1.0],
    }


def test_what_each_dev_query_was_worth_comes_back_as_its_mean_over_the_dimensions_asked_for(
    tmp_path: Path,
):
    write_dev_values(tmp_path, {32: np.array([1.0, 0.5]), 8: np.array([0.0, 0.25])})
    checkpoint = Checkpoint(str(tmp_path), CheckpointManifest(files=(DEV_VALUES,)))
    assert read_dev_values(checkpoint, (32, 8)).tolist() == [0.5, 0.375]
    assert read_dev_values(checkpoint, (8,)).tolist() == [0.0, 0.25]
    assert read_dev_values(checkpoint, (32, 16)) is None
