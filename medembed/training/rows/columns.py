"""Read what a loss learns from: examples, judged pairs or texts as the trainer's columns."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.errors import DataError
from medembed.schema import document_of
from medembed.training.loss_config import ON_EXAMPLES, ON_JUDGED_PAIRS, LossName
from medembed.training.rows.batch_columns import Columns, to_columns, to_triplets
from medembed.training.rows.order import count_paired

Rows = Sequence[dict[str, Any]]


class _Pair(NamedTuple):
    query: str
    document: str
    score: float


def count_rows(loss: LossName, dataset: Dataset, examples: Rows) -> int:
    """Return how many rows a loss reads in a pass. Raises DataError if it and the data do not fit.

    examples: rows as `schema.EXAMPLES` has them.
    """
    if loss in ON_EXAMPLES:
        return _count_examples(loss, examples)
    if loss in ON_JUDGED_PAIRS:
        return _count_pairs(loss, _judged_pairs(loss, dataset), dataset.uri)
    if loss == "batch_hard":
        return _count_classed([row["label"] for row in _classed_texts(dataset)], dataset.uri)
    texts = texts_by_role(dataset)
    if not texts:
        raise DataError(f"{dataset.uri}: no training text, but loss mse reads them.")
    return len(texts)


def read_columns(loss: LossName, dataset: Dataset, examples: Rows) -> Columns:
    """Return {column: values} for the trainer, `label` last; it puts the prompts before the texts.

    multiple_negatives and triplet read the examples. contrastive and cosine_similarity read the
    judged pairs of the training queries: the similarity that a pair came with, else its score; 0 or
    1 for contrastive. Of a document in chunks the first stands for it. batch_hard reads the texts
    of the training split that have a class. What mse reads needs a teacher: `teacher_vectors`.
    `count_rows` says whether they fit.
    """
    if loss == "triplet":
        return to_triplets(examples)
    if loss in ON_EXAMPLES:
        return to_columns(examples)
    if loss in ON_JUDGED_PAIRS:
        pairs = _judged_pairs(loss, dataset)
        return {
            "query": [pair.query for pair in pairs],
            "document": [pair.document for pair in pairs],
            "label": [pair.score for pair in pairs],
        }
    rows = _classed_texts(dataset)
    classes = sorted({row["label"] for row in rows})
    numbers = dict(zip(classes, range(len(classes)), strict=True))
    return {
        "text": [row["text"] for row in rows],
        "label": [numbers[row["label"]] for row in rows],
    }


def texts_by_role(dataset: Dataset) -> list[tuple[str, Role]]:
    """Return what loss mse reads: the texts of the training split, and the training queries."""
    texts: list[tuple[str, Role]] = []
    for row in _training_texts(dataset):
        texts.append((row["text"], "document"))
    for text in dataset.queries("train")["text"].to_pylist():
        texts.append((text, "query"))
    return texts


def _count_examples(loss: LossName, examples: Rows) -> int:
    if not examples:
        raise DataError(f"examples: none found, but loss {loss} reads them; mine some.")
    if loss != "triplet":
        return len(examples)
    negatives = sum(len(row["negatives"]) for row in examples)
    if negatives == 0:
        raise DataError(
            f"examples: none has a negative, but loss {loss} compares with negatives; mine some."
        )
    return negatives


def _count_pairs(loss: LossName, pairs: Sequence[_Pair], data: str) -> int:
    scores = [pair.score for pair in pairs]
    if not scores:
        raise DataError(
            f"{data}: no training query has a judgment, but loss {loss} reads judged pairs."
        )
    if min(scores) == max(scores):
        expected = (
            "pairs judged not relevant (score 0) beside positives"
            if loss == "contrastive"
            else "different scores"
        )
        raise DataError(
            f"{data}: all {len(scores)} judged training pairs have score {scores[0]:g}, but loss "
            f"{loss} needs {expected}; add some, or choose loss.name=multiple_negatives."
        )
    if min(scores) < -1 or max(scores) > 1:
        raise DataError(
            f"{data}: scores from {min(scores):g} to {max(scores):g}, but loss {loss} compares "
            "them with cosines; bring them to 0 to 1 (source.score_range)."
        )
    return len(scores)


def _count_classed(labels: Sequence[str], data: str) -> int:
    if not labels:
        raise DataError(
            f"{data}: no training text has a class, but loss batch_hard tells classes apart."
        )
    counts = Counter(labels)
    shared = [label for label, count in counts.items() if count > 1]
    if len(shared) < 2:
        raise DataError(
            f"{data}: found {len(counts)} classes of training texts, {len(shared)} of them with "
            "two texts or more, but loss batch_hard needs at least two such classes."
        )
    return count_paired(labels)


def _judged_pairs(loss: LossName, dataset: Dataset) -> list[_Pair]:
    """Return the judged pairs of the training queries, sorted by ids."""
    queries = {row["query_id"]: row["text"] for row in dataset.queries("train").to_pylist()}
    judged = dataset.judgments(pa.array(list(queries), pa.string())).to_pylist()
    texts = _first_chunks(dataset, {row["document_id"] for row in judged})
    pairs = []
    for row in judged:
        if row["document_id"] not in texts:
            continue
        if loss == "contrastive":
            score = float(row["score"] > 0)
        else:
            score = float(row["score"] if row["similarity"] is None else row["similarity"])
        pairs.append(_Pair(queries[row["query_id"]], texts[row["document_id"]], score))
    return pairs


def _first_chunks(dataset: Dataset, documents: set[str]) -> dict[str, str]:
    """Return {document: its text, or that of its first chunk}."""
    rows = dataset.corpus().select(["document_id", "text"]).to_pylist()
    # chunk-9 before chunk-10
    rows.sort(key=lambda row: (len(row["document_id"]), row["document_id"]))
    first: dict[str, str] = {}
    for row in rows:
        document = document_of(row["document_id"])
        if document in documents:
            first.setdefault(document, row["text"])
    return first


def _training_texts(dataset: Dataset) -> list[dict[str, Any]]:
    """Return corpus rows of the training split; all of them where documents have no split."""
    rows = dataset.corpus().select(["text", "label", "split"]).to_pylist()
    return [row for row in rows if row["split"] in (None, "train")]


def _classed_texts(dataset: Dataset) -> list[dict[str, Any]]:
    return [row for row in _training_texts(dataset) if row["label"] is not None]
