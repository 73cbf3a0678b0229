"""Read what a loss learns from: examples, judged pairs or texts as the trainer's columns."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.errors import DataError
from medembed.evaluation.questions import name_pair
from medembed.language import tr
from medembed.schema import document_of
from medembed.training.loss_config import TRAITS, LossName, Rows
from medembed.training.rows.batch_columns import Columns, to_columns, to_triplets
from medembed.training.rows.order import count_paired

ExampleRows = Sequence[dict[str, Any]]


class _Pair(NamedTuple):
    query: str
    document: str
    score: float


class TaughtText(NamedTuple):
    """A text that a teacher gives a vector to: a corpus row by its id, or a query."""

    id: str
    text: str
    role: Role


def count_rows(
    loss: LossName, dataset: Dataset, examples: ExampleRows, left_out: Collection[str] = ()
) -> int:
    """Return how many rows a loss reads in a pass. Raises DataError if it and the data do not fit.

    examples: rows as `schema.EXAMPLES` has them. `left_out`: texts as in `taught_texts`.
    """
    rows = TRAITS[loss].rows
    match rows:
        case Rows.EXAMPLES | Rows.TRIPLETS:
            return _count_examples(loss, examples)
        case Rows.JUDGMENTS | Rows.SIMILARITIES:
            return _count_pairs(loss, _judged_pairs(loss, dataset), dataset.uri)
        case Rows.CLASSED_TEXTS:
            return _count_classed(loss, _classed_texts(dataset), dataset.uri)
        case Rows.TAUGHT_TEXTS:
            return _count_taught(loss, taught_texts(dataset, left_out), dataset.uri)


def read_columns(loss: LossName, dataset: Dataset, examples: ExampleRows) -> Columns:
    """Return {column: values} for the trainer, `label` last; it puts the prompts before the texts.

    Judged pairs are those of the training queries, with the similarity that a pair came with, else
    its score. Of a document in chunks the first stands for it. Texts with a class are those of the
    training split. What needs a teacher is read by `read_lesson`. `count_rows` says whether the
    data fits the loss.
    """
    rows = TRAITS[loss].rows
    match rows:
        case Rows.EXAMPLES:
            return to_columns(examples)
        case Rows.TRIPLETS:
            return to_triplets(examples)
        case Rows.JUDGMENTS | Rows.SIMILARITIES:
            return _pair_columns(_judged_pairs(loss, dataset))
        case Rows.CLASSED_TEXTS:
            return _class_columns(_classed_texts(dataset))
        case Rows.TAUGHT_TEXTS:
            raise AssertionError("read_lesson reads them")


def read_languages(dataset: Dataset, examples: ExampleRows) -> list[str]:
    """Return the languages of each example, "fr -> en" for a French query with an English answer.

    One example has one positive, so it is of one pair.
    """
    queries = dataset.queries().select(["query_id", "language"]).to_pydict()
    of_query = dict(zip(queries["query_id"], queries["language"], strict=True))
    positives = [document_of(row["positive_id"]) for row in examples]
    of_document = dataset.languages_of(positives)
    languages = []
    for row, positive in zip(examples, positives, strict=True):
        languages.append(name_pair(of_query.get(row["query_id"]), [of_document[positive]]))
    return languages


def _pair_columns(pairs: Sequence[_Pair]) -> Columns:
    return {
        "query": [pair.query for pair in pairs],
        "document": [pair.document for pair in pairs],
        "label": [pair.score for pair in pairs],
    }


def _class_columns(rows: Sequence[dict[str, Any]]) -> Columns:
    classes = sorted({row["label"] for row in rows})
    numbers = dict(zip(classes, range(len(classes)), strict=True))
    return {
        "text": [row["text"] for row in rows],
        "label": [numbers[row["label"]] for row in rows],
    }


def taught_texts(dataset: Dataset, left_out: Collection[str] = ()) -> list[TaughtText]:
    """Return what a teacher gives vectors to: texts of the training split, training queries.

    Those whose words are in `left_out` are none of them, under whatever id: a text may be both a
    document and a query.
    """
    texts: list[TaughtText] = []
    for row in _training_texts(dataset):
        texts.append(TaughtText(row["document_id"], row["text"], "document"))
    for row in dataset.queries("train").select(["query_id", "text"]).to_pylist():
        texts.append(TaughtText(row["query_id"], row["text"], "query"))
    return [text for text in texts if text.text not in left_out]


def _count_examples(loss: LossName, examples: ExampleRows) -> int:
    if not examples:
        raise DataError("examples: none found, but loss {loss} reads them; mine some.", loss=loss)
    if TRAITS[loss].rows is Rows.EXAMPLES:
        return len(examples)
    negatives = sum(len(row["negatives"]) for row in examples)
    if negatives == 0:
        raise DataError(
            "examples: none has a negative, but loss {loss} compares with negatives; mine some.",
            loss=loss,
        )
    return negatives


def _count_pairs(loss: LossName, pairs: Sequence[_Pair], data: str) -> int:
    scores = [pair.score for pair in pairs]
    if not scores:
        raise DataError(
            "{data}: no training query has a judgment, but loss {loss} reads judged pairs.",
            data=data,
            loss=loss,
        )
    if min(scores) == max(scores):
        expected = (
            tr("pairs judged not relevant (score 0) beside positives")
            if TRAITS[loss].rows is Rows.JUDGMENTS
            else tr("different scores")
        )
        raise DataError(
            "{data}: all {count} judged training pairs have score {score:g}, but loss "
            "{loss} needs {expected}; add some, or choose loss.name=multiple_negatives.",
            data=data,
            count=len(scores),
            score=scores[0],
            loss=loss,
            expected=expected,
        )
    if min(scores) < -1 or max(scores) > 1:
        raise DataError(
            "{data}: scores from {lowest:g} to {highest:g}, but loss {loss} compares them "
            "with cosines; bring them to 0 to 1 (source.score_range).",
            data=data,
            lowest=min(scores),
            highest=max(scores),
            loss=loss,
        )
    return len(scores)


def _count_classed(loss: LossName, rows: Sequence[dict[str, Any]], data: str) -> int:
    if not rows:
        raise DataError(
            "{data}: no training text has a class, but loss {loss} tells classes apart.",
            data=data,
            loss=loss,
        )
    labels = [row["label"] for row in rows]
    counts = Counter(labels)
    shared = [label for label, count in counts.items() if count > 1]
    if len(shared) < 2:
        raise DataError(
            "{data}: found {classes} classes of training texts, {shared} of them with two "
            "texts or more, but loss {loss} needs at least two such classes.",
            data=data,
            classes=len(counts),
            shared=len(shared),
            loss=loss,
        )
    return count_paired(labels)


def _count_taught(loss: LossName, texts: Sequence[TaughtText], data: str) -> int:
    if not texts:
        raise DataError(
            "{data}: no training text, but loss {loss} reads them.", data=data, loss=loss
        )
    return len(texts)


def _judged_pairs(loss: LossName, dataset: Dataset) -> list[_Pair]:
    """Return the judged pairs of the training queries, sorted by ids."""
    queries = {row["query_id"]: row["text"] for row in dataset.queries("train").to_pylist()}
    judged = dataset.judgments(pa.array(list(queries), pa.string())).to_pylist()
    texts = _first_chunks(dataset, {row["document_id"] for row in judged})
    is_binary = TRAITS[loss].rows is Rows.JUDGMENTS
    pairs = []
    for row in judged:
        if row["document_id"] not in texts:
            continue
        if is_binary:
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
    rows = dataset.corpus().select(["document_id", "text", "label", "split"]).to_pylist()
    return [row for row in rows if row["split"] in (None, "train")]


def _classed_texts(dataset: Dataset) -> list[dict[str, Any]]:
    return [row for row in _training_texts(dataset) if row["label"] is not None]
