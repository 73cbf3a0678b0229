"""A small fixed sample of dev queries and documents, by which checkpoints are chosen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.errors import DataError
from medembed.evaluation.metrics import parse_metric
from medembed.evaluation.questions import find_measurable
from medembed.evaluation.rank import score_rankings
from medembed.matryoshka import truncate
from medembed.schema import content_hash, document_of
from medembed.search.topk import top_k
from medembed.training.config import TrainingConfig

Vectors = npt.NDArray[np.float32]
Encode = Callable[[list[str], Role], Vectors]


@dataclass(frozen=True)
class DevSample:
    """Queries as (id, text), documents as (row id, text), a row per chunk, and the judgments between them."""

    queries: tuple[tuple[str, str], ...]
    documents: tuple[tuple[str, str], ...]
    qrels: dict[str, dict[str, float]]


def draw_dev_sample(dataset: Dataset, config: TrainingConfig, split: str = "dev") -> DevSample:
    """The sample that a hash of ids decides, so every run and worker draws the same one; or one of another split.

    All rows of judged documents are in it, past `dev_documents` if need be. Raises DataError if no such dev
    query has a positive, or if `select_by` names no metric.
    """
    _depth(config)
    qrels = dataset.qrels()
    asked = dataset.queries(split, config.dev_tag).to_pylist()
    queries = [asked[line] for line in find_measurable([qrels.get(row["query_id"], {}) for row in asked])]
    if not queries:
        raise DataError(
            f"{dataset.uri}: no {split} query with tag {config.dev_tag} has a positive; checkpoints cannot be compared."
        )
    chosen = sorted(queries, key=lambda row: content_hash(row["query_id"]))[: config.dev_queries]
    judged = {row["query_id"]: qrels[row["query_id"]] for row in chosen}
    named = {document_id for grades in judged.values() for document_id in grades}
    corpus = dataset.corpus().select(["document_id", "text"]).to_pylist()
    answers = {row["document_id"] for row in corpus if document_of(row["document_id"]) in named}
    corpus.sort(key=lambda row: (row["document_id"] not in answers, content_hash(row["document_id"])))
    size = max(config.dev_documents, len(answers))
    documents = tuple((row["document_id"], row["text"]) for row in corpus[:size])
    return DevSample(tuple((row["query_id"], row["text"]) for row in chosen), documents, judged)


def measure_dev_sample(sample: DevSample, encode: Encode, config: TrainingConfig) -> dict[int, float]:
    """{dimension: mean of `select_by`} of the encoder on the sample."""
    queries = encode([text for _, text in sample.queries], "query")
    return score_dev_sample(sample, queries, encode([text for _, text in sample.documents], "document"), config)


def score_dev_sample(
    sample: DevSample, queries: Vectors, documents: Vectors, config: TrainingConfig
) -> dict[int, float]:
    """The same of embeddings: float32 [queries, D] and [documents, D], unit rows, in the order of the sample."""
    ids, depth = np.array([name for name, _ in sample.documents]), _depth(config)
    rankings = {
        dimension: top_k(truncate(queries, dimension), ids, truncate(documents, dimension), depth, by_document=True)
        for dimension in config.dimensions
    }
    measured = score_rankings(rankings, [name for name, _ in sample.queries], sample.qrels, (depth,))
    return {dimension: float(values[config.select_by].mean()) for dimension, values in measured.items()}


def _depth(config: TrainingConfig) -> int:
    """How many documents `select_by` looks at. Raises DataError if it names no metric."""
    try:
        return parse_metric(config.select_by)[1]
    except ValueError as error:
        raise DataError(f"training.select_by: found {config.select_by!r}, {error}.") from None
