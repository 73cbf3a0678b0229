"""What a loss reads: examples, judged pairs or texts -> the trainer's columns, checked before
training.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.errors import DataError
from medembed.schema import document_of
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import ON_EXAMPLES, ON_SCORED_PAIRS
from medembed.training.rows.batch_columns import Columns, to_columns, to_scored_columns, to_triplets
from medembed.training.rows.grouping import count_paired

Rows = Sequence[dict[str, Any]]

_BINARY = ("contrastive", "online_contrastive")
_ON_EXAMPLES: dict[str, Callable[[Rows], Columns]] = {
    "triplet": to_triplets,
    "margin_mse": to_scored_columns,
}


def check_fits(config: TrainingConfig, dataset: Dataset, examples: Rows) -> int:
    """How many rows the loss `config.loss` reads in a pass. Raises DataError if it and the data do
    not fit.

    examples: rows as `schema.EXAMPLES` has them.
    """
    name = config.loss.name
    if name in ON_EXAMPLES:
        return _check_examples(name, examples)
    if name in ON_SCORED_PAIRS:
        return _check_scores(
            name, [score for _, _, score in _scored_pairs(name, dataset)], dataset.uri
        )
    if name == "batch_hard":
        return _check_classes([label for _, label in _classed_texts(dataset)], dataset.uri)
    return _check_any(
        len(texts_by_role(dataset)), f"{dataset.uri}: no training text, but loss mse reads them."
    )


def make_material(config: TrainingConfig, dataset: Dataset, examples: Rows) -> Columns:
    """{column: values} for the trainer, `label` last; it puts the prompts in front of the texts.

    Ranking losses, triplet and margin_mse read the examples. Contrastive losses, cosine_similarity,
    cosent and angle read the judged pairs of the training queries: the similarity that a pair came
    with, else its score; 0 or 1 for the contrastive ones. Of a document in chunks the first stands
    for it. batch_hard reads the texts of the training split that have a class. `check_fits` says
    whether they fit. What mse reads needs a teacher: `teaching`.
    """
    name = config.loss.name
    if name in ON_EXAMPLES:
        return _ON_EXAMPLES.get(name, to_columns)(examples)
    if name in ON_SCORED_PAIRS:
        pairs = _scored_pairs(name, dataset)
        return {
            "query": [query for query, _, _ in pairs],
            "document": [document for _, document, _ in pairs],
            "label": [score for _, _, score in pairs],
        }
    texts = _classed_texts(dataset)
    numbers = {label: number for number, label in enumerate(sorted({label for _, label in texts}))}
    return {"text": [text for text, _ in texts], "label": [numbers[label] for _, label in texts]}


def texts_by_role(dataset: Dataset) -> list[tuple[str, Role]]:
    """What loss mse reads: the texts of the training split, and the training queries."""
    documents: list[tuple[str, Role]] = [
        (row["text"], "document") for row in _training_texts(dataset)
    ]
    queries: list[tuple[str, Role]] = [
        (text, "query") for text in dataset.queries("train")["text"].to_pylist()
    ]
    return documents + queries


def _check_any(count: int, fault: str) -> int:
    if count == 0:
        raise DataError(fault)
    return count


def _check_examples(name: str, examples: Rows) -> int:
    if name not in _ON_EXAMPLES:
        return _check_any(
            len(examples), f"examples: none found, but loss {name} reads them; mine some."
        )
    judged = [row for row in examples if row["negatives"]]
    _check_any(
        len(judged),
        f"examples: none has a negative, but loss {name} compares with negatives; mine some.",
    )
    if name == "triplet":
        return sum(len(row["negatives"]) for row in judged)
    lacking = [row["query_id"] for row in judged if not _has_second_scores(row)]
    if lacking:
        raise DataError(
            f"examples: {len(lacking)} of {len(judged)} have no scores of a second opinion, such "
            f"as that of query {lacking[0]}, but loss {name} learns them; mine with "
            "mining.second_opinion=<model>."
        )
    return len(judged)


def _has_second_scores(row: dict[str, Any]) -> bool:
    found = [row["positive_second_score"], *(row["negative_second_scores"] or [None])]
    return len(found) == 1 + len(row["negatives"]) and all(
        score is not None and np.isfinite(score) for score in found
    )


def _check_scores(name: str, scores: Sequence[float], place: str) -> int:
    _check_any(
        len(scores),
        f"{place}: no training query has a judgment, but loss {name} reads judged pairs.",
    )
    if min(scores) == max(scores):
        wanted = (
            "pairs judged not relevant (score 0) beside positives"
            if name in _BINARY
            else "different scores"
        )
        raise DataError(
            f"{place}: all {len(scores)} judged training pairs have score {scores[0]:g}, but loss "
            f"{name} needs {wanted}; add some, or choose loss.name=multiple_negatives."
        )
    if name == "cosine_similarity" and not (min(scores) >= -1 and max(scores) <= 1):
        raise DataError(
            f"{place}: scores from {min(scores):g} to {max(scores):g}, but loss {name} compares "
            "them with cosines; bring them to 0 to 1 (source.score_range), or choose "
            "loss.name=cosent, which reads their order alone."
        )
    return len(scores)


def _check_classes(labels: Sequence[str], place: str) -> int:
    counts = Counter(labels)
    _check_any(
        len(counts),
        f"{place}: no training text has a class, but loss batch_hard tells classes apart.",
    )
    several = sorted(label for label, count in counts.items() if count > 1)
    if len(several) < 2:
        raise DataError(
            f"{place}: found {len(counts)} classes of training texts, {len(several)} of them with "
            "two texts or more, but loss batch_hard needs at least two such classes."
        )
    return count_paired(labels)


def _scored_pairs(name: str, dataset: Dataset) -> list[tuple[str, str, float]]:
    """(query, document, score) of the judged pairs of the training queries, sorted by ids."""
    queries = {row["query_id"]: row["text"] for row in dataset.queries("train").to_pylist()}
    judged = dataset.judgments(pa.array(list(queries), pa.string())).to_pylist()
    texts = _first_rows(dataset, {row["document_id"] for row in judged})
    found = []
    for row in judged:
        score = row["score"] if row["similarity"] is None else row["similarity"]
        label = float(row["score"] > 0) if name in _BINARY else float(score)
        if row["document_id"] in texts:
            found.append((queries[row["query_id"]], texts[row["document_id"]], label))
    return found


def _first_rows(dataset: Dataset, documents: set[str]) -> dict[str, str]:
    """{document: its text, or that of its first chunk}."""
    first: dict[str, tuple[tuple[int, str], str]] = {}
    for row in dataset.corpus().select(["document_id", "text"]).to_pylist():
        name = document_of(row["document_id"])
        place = (len(row["document_id"]), row["document_id"])  # chunk-9 before chunk-10
        if name in documents and (name not in first or place < first[name][0]):
            first[name] = (place, row["text"])
    return {name: text for name, (_, text) in first.items()}


def _training_texts(dataset: Dataset) -> list[dict[str, Any]]:
    """Corpus rows of the training split; all of them where documents have no split."""
    rows = dataset.corpus().select(["text", "label", "split"]).to_pylist()
    return [row for row in rows if row["split"] in (None, "train")]


def _classed_texts(dataset: Dataset) -> list[tuple[str, str]]:
    return [
        (row["text"], row["label"]) for row in _training_texts(dataset) if row["label"] is not None
    ]
