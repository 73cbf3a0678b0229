"""The data sets on which a model must not lose what it could: opened, and made sure to be from
elsewhere.

Retention means little on what a model was trained on. So queries that are training queries are left
out and counted, and documents that the training corpus has as well are counted. Queries that the
data set has held back make sets, too. Where there is none, one is made of the corpus.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.data.collection import open_collection
from medembed.data.dataset import Dataset
from medembed.data.first_sentence import FEWEST, Text, make_first_sentences
from medembed.encoding.model_files import read_tokenizer
from medembed.errors import DataError, StorageError
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.held_back import make_held_back
from medembed.evaluation.questions import find_measurable
from medembed.evaluation.readable import explain_unread
from medembed.evaluation.sample import Sample, draw_sample
from medembed.privacy import without_passwords
from medembed.schema import content_hash, document_of
from medembed.spelling import words_key

logger = logging.getLogger(__name__)

MADE = "first sentences"
WORTH = (
    "made of documents of the corpus, whose first sentences ask for the rest: it shows when plain "
    "matching of texts is unlearned, not what is lost on other topics or in other languages; give "
    "sets of your own with retention=[...]"
)
_FEWEST_QUERIES = 10
FOLDER = "retention"  # in the output of a job


@dataclass(frozen=True)
class RetentionSet:
    """A data set from elsewhere with the split that measures, all queries for None, less those that
    are `left_out`.
    """

    name: str
    dataset: Dataset
    split: str | None
    left_out: frozenset[str] = frozenset()
    worth: str = ""  # what must be known of one that was made
    unread: str = ""  # a warning, if the model cannot read its texts

    def draw(self, config: RetentionConfig) -> Sample:
        """The sample by which checkpoints are compared."""
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
    """The sets of a job whose output is `output` and that trains on `trained`, in order; those from
    BEIR in a copy.

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
    return tuple(
        opened if tokenizer is None else [_check_read(kept, config, tokenizer) for kept in opened]
    )


def place_of(output: str, name: str) -> str:
    """Where what belongs to retention lies in a job's output."""
    return storage.join(output, FOLDER, name)


def _open(
    name: str, place: str, output: str, trained: Dataset | None, training_queries: frozenset[str]
) -> RetentionSet:
    try:
        dataset = open_collection(storage.absolute(place), place_of(output, "data/{key}"))
    except (DataError, StorageError) as error:
        raise type(error)(f"retention set {name!r}: {error}") from None
    where = f"retention set {name!r}, {without_passwords(place)}"
    if trained is not None and dataset.fingerprint == trained.fingerprint:
        raise DataError(f"{where}: is the data set that is trained on; give one from elsewhere.")
    qrels = dataset.qrels()
    rows = dataset.queries().to_pylist()
    split = "test" if any(row["split"] == "test" for row in rows) else None
    rows = [row for row in rows if split in (None, row["split"])]
    measurable = [
        rows[line] for line in find_measurable([qrels.get(row["query_id"], {}) for row in rows])
    ]
    if not measurable:
        which = f"{split} query" if split else "query"
        raise DataError(
            f"{where}: no {which} with a relevant document; a set needs queries, documents and "
            "judgments."
        )
    left_out = frozenset(
        row["query_id"] for row in measurable if words_key(row["text"]) in training_queries
    )
    left = len(measurable) - len(left_out)
    if left < _FEWEST_QUERIES:
        raise DataError(
            f"{where}: {left} queries with a relevant document that are no training queries "
            f"({len(left_out)} are), expected {_FEWEST_QUERIES} or more; give a set from "
            "elsewhere, or a larger one."
        )
    shared = _count_shared(dataset, trained) if trained is not None else 0
    of_split = f" of the {split} split" if split else ""
    taken = f"{len(left_out)} left out, as they are training queries"
    beside = f"{shared} of {dataset.manifest.document_count} documents stand in the training corpus"
    logger.info("%s: %d queries%s; %s; %s", where, left, of_split, taken, beside)
    return RetentionSet(name, dataset, split, left_out)


def _training_queries(trained: Dataset) -> frozenset[str]:
    """Their words, so that case and punctuation do not hide one."""
    return frozenset(map(words_key, trained.queries("train")["text"].to_pylist()))


def _count_shared(dataset: Dataset, trained: Dataset) -> int:
    """How many of the documents, or of their chunks, stand in the training corpus."""
    shared = pc.is_in(dataset.keys()["content_hash"], value_set=_distinct(trained))
    return int(pc.sum(shared).as_py() or 0)


def _distinct(dataset: Dataset) -> pa.Array:
    return pc.unique(dataset.keys()["content_hash"])


def _make(trained: Dataset, output: str) -> Iterator[RetentionSet]:
    """The set of the corpus' own documents, if they are enough."""
    dataset = make_first_sentences(
        _texts(trained),
        place_of(output, "data/{key}"),
        trained.fingerprint,
        source=trained.manifest.source,
        licence=trained.manifest.licence,
    )
    if dataset is None:
        logger.info(
            "no retention set is given, and none is made: fewer than %d documents have a second "
            "sentence; what a model loses elsewhere is not measured",
            FEWEST,
        )
        return
    logger.info(
        "no retention set is given; one of %d queries is %s", dataset.manifest.query_count, WORTH
    )
    yield RetentionSet(MADE, dataset, "test", worth=WORTH)


def _hold_back(trained: Dataset, output: str) -> Iterator[RetentionSet]:
    """The sets of queries that are in no training pair, since the data set has held them back."""
    for name, dataset, worth in make_held_back(trained, place_of(output, "data/{key}")):
        logger.info("retention set %r: %d queries, %s", name, dataset.manifest.query_count, worth)
        yield RetentionSet(name, dataset, "test", worth=worth)


def _check_read(kept: RetentionSet, config: RetentionConfig, tokenizer: str) -> RetentionSet:
    """The set with a warning, which is logged too, if a model with this tokenizer.json cannot read
    it.
    """
    sample = kept.draw(config)
    queries = [text for _, text in sample.queries]
    documents = [text for _, text in sample.documents]
    unread = explain_unread(f"retention set {kept.name!r}", queries, documents, tokenizer)
    if unread:
        logger.warning("%s", unread)
    return replace(kept, unread=unread)


def _texts(trained: Dataset) -> Iterator[Text]:
    """The corpus in the order of a hash, of a document in chunks the first; those in a training
    pair come last.
    """
    queries = frozenset(trained.queries("train")["query_id"].to_pylist())
    pairs = (grades for name, grades in trained.qrels().items() if name in queries)
    taught = {document_id for grades in pairs for document_id in grades}
    corpus = trained.corpus()
    names = [document_of(name) for name in corpus["document_id"].to_pylist()]
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    for name in sorted(first, key=lambda name: (name in taught, content_hash(name))):
        row = first[name]
        yield Text(name, corpus["text"][row].as_py(), corpus["language"][row].as_py())
