"""Open the data sets on which a model must not lose what it could, and check their origin.

Retention means little on what a model was trained on. So queries that are training queries are left
out and counted, and documents that the training corpus has as well are counted. Queries that the
data set has held back make sets, too. Where there is none, one is made of the corpus.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from medembed import storage
from medembed.data.collection import open_collection
from medembed.data.dataset import Dataset
from medembed.data.first_sentence import FEWEST, Text, make_first_sentences
from medembed.encoding.model_files import read_tokenizer
from medembed.errors import DataError, StorageError
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.questions import find_measurable
from medembed.evaluation.retention.held_back import make_held_back
from medembed.evaluation.retention.names import MADE, set_label
from medembed.evaluation.retention.readable import explain_unread
from medembed.evaluation.sample import Sample, draw_sample
from medembed.language import to_translate, tr
from medembed.privacy import without_passwords
from medembed.schema import content_hash, document_of
from medembed.spelling import words_key

logger = logging.getLogger(__name__)

_WORTH = to_translate(
    "made of documents of the corpus, whose first sentences ask for the rest: it shows when plain "
    "matching of texts is unlearned, not what is lost on other topics or in other languages; give "
    "sets of your own with retention=[...]"
)
_FEWEST_QUERIES = 10
FOLDER = "retention"  # in the output of a job


@dataclass(frozen=True)
class RetentionSet:
    """A data set from elsewhere, with the split that measures (None: all) but for `left_out`."""

    name: str
    dataset: Dataset
    split: str | None
    left_out: frozenset[str] = frozenset()
    worth: str = ""  # what must be known of one that was made
    unread: str = ""  # a warning, if the model cannot read its texts

    def draw(self, config: RetentionConfig) -> Sample:
        """Draw the sample by which checkpoints are compared."""
        return draw_sample(
            self.dataset,
            self.split,
            None,
            queries=config.queries,
            documents=config.documents,
            left_out=self.left_out,
        )


def open_retention(
    config: RetentionConfig, output: str, trained: Dataset | None, model: str | None = None
) -> tuple[RetentionSet, ...]:
    """Open the sets of a job that trains on `trained`; those from BEIR as a copy in its `output`.

    After them the queries that `trained` has held back. Without any, and unless `config.made` is
    off, one is made of the corpus that is trained on. Warns of a set that the `model` cannot read.
    Raises DataError or StorageError for a set that is not there, has no judgments, or is not from
    elsewhere.
    """
    asked = _training_queries(trained) if trained is not None and config.sets else frozenset[str]()
    opened = [_open(name, place, output, trained, asked) for name, place in config.sets.items()]
    if trained is not None:
        opened += _hold_back(trained, output)
    if not opened and config.made and trained is not None:
        opened = list(_make(trained, output))
    tokenizer = read_tokenizer(model) if model is not None else None
    if tokenizer is not None:
        opened = [_check_read(retention_set, config, tokenizer) for retention_set in opened]
    return tuple(opened)


def place_of(output: str, name: str) -> str:
    """Return where what belongs to retention lies in a job's output."""
    return storage.join(output, FOLDER, name)


def _open(
    name: str, place: str, output: str, trained: Dataset | None, training_queries: frozenset[str]
) -> RetentionSet:
    dataset = _read(name, place, output)
    where = tr("retention set {name!r}, {place}", name=name, place=without_passwords(place))
    if trained is not None and dataset.fingerprint == trained.fingerprint:
        raise DataError(
            "{where}: is the data set that is trained on; give one from elsewhere.", where=where
        )
    qrels = dataset.qrels()
    rows = dataset.queries("test").to_pylist()
    split = "test" if rows else None
    of_split = tr(" of the {split} split", split=split) if split else ""
    rows = rows or dataset.queries().to_pylist()
    judged = [qrels.get(row["query_id"], {}) for row in rows]
    measurable = [rows[line] for line in find_measurable(judged)]
    if not measurable:
        raise DataError(
            "{where}: no query{of_split} with a relevant document; a set needs queries, documents "
            "and judgments.",
            where=where,
            of_split=of_split,
        )
    left_out = frozenset(
        row["query_id"] for row in measurable if words_key(row["text"]) in training_queries
    )
    left = len(measurable) - len(left_out)
    if left < _FEWEST_QUERIES:
        raise DataError(
            "{where}: {left} queries with a relevant document that are no training queries "
            "({left_out} are), expected {fewest} or more; give a set from elsewhere, or "
            "a larger one.",
            where=where,
            left=left,
            left_out=len(left_out),
            fewest=_FEWEST_QUERIES,
        )
    logger.info(
        tr(
            "{where}: {left} queries{of_split}; {left_out} left out, because they are training "
            "queries; {shared} of {documents} documents are also in the training corpus",
            where=where,
            left=left,
            of_split=of_split,
            left_out=len(left_out),
            shared=_count_shared(dataset, trained) if trained is not None else 0,
            documents=dataset.manifest.document_count,
        )
    )
    return RetentionSet(name, dataset, split, left_out)


def _read(name: str, place: str, output: str) -> Dataset:
    try:
        return open_collection(storage.absolute(place), place_of(output, "data/{key}"))
    except (DataError, StorageError) as error:
        raise type(error)(tr("retention set {name!r}: {error}", name=name, error=error)) from None


def _training_queries(trained: Dataset) -> frozenset[str]:
    """Return their words, so that case and punctuation do not hide one."""
    return frozenset(map(words_key, trained.queries("train")["text"].to_pylist()))


def _count_shared(dataset: Dataset, trained: Dataset) -> int:
    """Count the documents, or chunks, that stand in the training corpus."""
    known = pc.unique(trained.keys()["content_hash"])
    shared = pc.is_in(dataset.keys()["content_hash"], value_set=known)
    return int(pc.sum(shared).as_py() or 0)


def _make(trained: Dataset, output: str) -> Iterator[RetentionSet]:
    """Make the set of the corpus' own documents, if they are enough."""
    dataset = make_first_sentences(
        _texts(trained),
        place_of(output, "data/{key}"),
        trained.fingerprint,
        source=trained.manifest.source,
        licence=trained.manifest.licence,
    )
    if dataset is None:
        logger.info(
            tr(
                "no retention set is given, and none is made: fewer than {fewest} documents have a "
                "second sentence; what a model loses elsewhere is not measured",
                fewest=FEWEST,
            )
        )
        return
    worth = tr(_WORTH)
    count = dataset.manifest.query_count
    logger.info(
        tr("no retention set is given; one of {count} queries is {worth}", count=count, worth=worth)
    )
    yield RetentionSet(MADE, dataset, "test", worth=worth)


def _hold_back(trained: Dataset, output: str) -> Iterator[RetentionSet]:
    """Give the sets of queries that the data set has held back from training."""
    for name, dataset, worth in make_held_back(trained, place_of(output, "data/{key}")):
        logger.info(
            tr(
                "retention set {name!r}: {count} queries, {worth}",
                name=set_label(name),
                count=dataset.manifest.query_count,
                worth=worth,
            )
        )
        yield RetentionSet(name, dataset, "test", worth=worth)


def _check_read(
    retention_set: RetentionSet, config: RetentionConfig, tokenizer: str
) -> RetentionSet:
    """Give the set a warning, which is logged too, if this tokenizer.json cannot read it."""
    sample = retention_set.draw(config)
    queries = [text for _, text in sample.queries]
    documents = [text for _, text in sample.documents]
    where = tr("retention set {name!r}", name=set_label(retention_set.name))
    unread = explain_unread(where, queries, documents, tokenizer)
    if unread:
        logger.warning("%s", unread)
    return replace(retention_set, unread=unread)


def _texts(trained: Dataset) -> Iterator[Text]:
    """Give documents (their first chunks) in the order of a hash, those of training pairs last."""
    qrels = trained.qrels()
    taught: set[str] = set()
    for query_id in trained.queries("train")["query_id"].to_pylist():
        taught.update(qrels.get(query_id, ()))
    corpus = trained.corpus()
    names = [document_of(name) for name in corpus["document_id"].to_pylist()]
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    for name in sorted(first, key=lambda name: (name in taught, content_hash(name))):
        row = first[name]
        yield Text(name, corpus["text"][row].as_py(), corpus["language"][row].as_py())
