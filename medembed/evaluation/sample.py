"""Draw a small fixed sample of a data set, by which models are compared again and again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.errors import DataError
from medembed.evaluation.metrics import Values, parse_metric
from medembed.evaluation.questions import find_measurable
from medembed.evaluation.rank import score_rankings, search_depth, without_own
from medembed.schema import content_hash, document_of
from medembed.search.corpus import top_k

Vectors = npt.NDArray[np.float32]
Encode = Callable[[list[str], Role], Vectors]


@dataclass(frozen=True)
class Sample:
    """Queries as (id, text) with their groups, documents as (row id, text), and the judgments."""

    queries: tuple[tuple[str, str], ...]
    documents: tuple[tuple[str, str], ...]
    qrels: dict[str, dict[str, float]]
    groups: tuple[str, ...]


def draw_sample(
    dataset: Dataset,
    split: str | None,
    tag: str | None,
    *,
    queries: int,
    documents: int,
    left_out: Collection[str] = (),
) -> Sample:
    """Draw the sample that a hash of ids decides, so every run and worker draws the same one.

    All rows of judged documents are in it, past `documents` if need be; queries `left_out` are not.
    Raises DataError if no such query has a positive.
    """
    qrels = dataset.qrels()
    queries_left = [
        row for row in dataset.queries(split, tag).to_pylist() if row["query_id"] not in left_out
    ]
    judged = [qrels.get(row["query_id"], {}) for row in queries_left]
    measurable = [queries_left[line] for line in find_measurable(judged)]
    if not measurable:
        raise DataError(
            "{uri}: with split={split} and tag={tag} no query has a positive; models cannot be "
            "compared on a sample.",
            uri=dataset.uri,
            split=split,
            tag=tag,
        )
    chosen = sorted(measurable, key=lambda row: content_hash(row["query_id"]))[:queries]
    judgments = {row["query_id"]: qrels[row["query_id"]] for row in chosen}
    named = set[str]().union(*judgments.values())
    corpus = dataset.corpus().select(["document_id", "text"]).to_pylist()
    answers = {row["document_id"] for row in corpus if document_of(row["document_id"]) in named}
    corpus.sort(
        key=lambda row: (row["document_id"] not in answers, content_hash(row["document_id"]))
    )
    size = max(documents, len(answers))
    return Sample(
        tuple((row["query_id"], row["text"]) for row in chosen),
        tuple((row["document_id"], row["text"]) for row in corpus[:size]),
        judgments,
        tuple(row["group_id"] for row in chosen),
    )


def encode_sample(sample: Sample, encode: Encode) -> tuple[Vectors, Vectors]:
    """Encode its queries and its documents: float32 [queries, D] and [documents, D]."""
    queries = encode([text for _, text in sample.queries], "query")
    return queries, encode([text for _, text in sample.documents], "document")


def score_sample(
    sample: Sample, queries: Vectors, documents: Vectors, dimensions: Sequence[int], metric: str
) -> dict[int, Values]:
    """Return {dimension: the metric of each query, float64 [queries]}.

    The embeddings are float32 [queries, D] and [documents, D], unit rows, in the order of the
    sample.
    """
    ids = [name for name, _ in sample.documents]
    asked = [name for name, _ in sample.queries]
    depth = parse_metric(metric)[1]
    searched = search_depth(depth, asked)
    rankings = {}
    for dimension in dimensions:
        best = top_k(queries, ids, documents, searched, dimension, by_document=True)
        rankings[dimension] = without_own(best, asked)
    measured = score_rankings(rankings, asked, sample.qrels, (depth,))
    return {dimension: values[metric] for dimension, values in measured.items()}
