"""Measure a student without judgments: by what its teacher finds among texts that none learned.

Some texts of the corpus are held out. A few of them are asked for, and the rest is searched; the
ten that the teacher ranks first by its full width count as right.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.reading import Role
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_queries, encode_texts
from medembed.errors import DataError
from medembed.evaluation.sample import Sample, Vectors, encode_sample, score_sample
from medembed.schema import content_hash, document_of
from medembed.search.corpus import top_k

METRIC = "recall@10"
_RIGHT = 10  # documents that count as right
_SHARE = 5  # of so many texts one is held out
_MOST = 1200  # texts that are held out: a quarter asked on dev, a quarter on test
_FEWEST = 24
_LEARNED = (None, "train")


Row = tuple[str, str]  # id and text of a corpus row


class Samples(NamedTuple):
    """What checkpoints are measured on; without judged queries what the student is, at the end."""

    dev: Sample
    test: Sample | None = None


def hold_out(dataset: Dataset) -> tuple[Row, ...]:
    """Return the rows that are not learned, by a hash of ids; first those of dev and test, if
    documents are split.

    Raises DataError for a corpus with too few.
    """
    rows = dataset.corpus().select(["document_id", "text", "split"]).to_pylist()
    count = min(_MOST, len(rows) // _SHARE)
    if count < _FEWEST:
        raise DataError(
            "{uri}: found {count} texts, and no judged queries of dev and test, expected {fewest} "
            "texts or more, of which one in {share} is held out to measure on; add some.",
            uri=dataset.uri,
            count=len(rows),
            fewest=_FEWEST * _SHARE,
            share=_SHARE,
        )
    rows.sort(key=lambda row: (row["split"] in _LEARNED, content_hash(row["document_id"])))
    held = [(row["document_id"], row["text"]) for row in rows[:count]]
    # those who ask and those who answer are of all splits alike
    return tuple(sorted(held, key=lambda row: content_hash(row[0])))


def judge(held: Sequence[Row], table: Table, teacher: str, encoding: EncodingConfig) -> Samples:
    """Have the teacher judge these rows: a quarter asks on dev, a quarter on test, half answers.

    `table` has the teacher's vectors of them.
    """
    quarter = len(held) // 4
    asked = held[: 2 * quarter]
    searched = tuple(held[2 * quarter :])
    names = [name for name, _ in searched]
    queries = encode_queries([text for _, text in asked], teacher, encoding)
    best = top_k(queries, names, table.lookup(names), _RIGHT, by_document=True).ids
    qrels: dict[str, dict[str, float]] = {}
    for (name, _), right in zip(asked, best.tolist(), strict=True):
        qrels[name] = {document: 1.0 for document in right if document}
    samples = []
    for part in (asked[:quarter], asked[quarter:]):
        judged = {name: qrels[name] for name, _ in part}
        groups = tuple(document_of(name) for name, _ in part)
        samples.append(Sample(tuple(part), searched, judged, groups))
    return Samples(*samples)


def measure_agreement(
    test: Sample, model: str, dimensions: tuple[int, ...], encoding: EncodingConfig
) -> Mapping[int, float]:
    """Return {dimension: the share of the teacher's ten that the model finds among its ten}."""

    def encode(texts: list[str], role: Role) -> Vectors:
        return encode_texts({role: texts}, model, encoding)[role]

    scores = score_sample(test, *encode_sample(test, encode), dimensions, METRIC)
    return {dimension: float(values.mean()) for dimension, values in scores.items()}
