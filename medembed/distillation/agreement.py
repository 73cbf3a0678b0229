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


class Row(NamedTuple):
    """A corpus row that is held out."""

    id: str
    text: str


class Samples(NamedTuple):
    """What checkpoints are measured on; without judged queries what the student is, at the end."""

    dev: Sample
    test: Sample | None = None


def hold_out(dataset: Dataset) -> tuple[Row, ...]:
    """Return the rows whose texts are not learned, by a hash of ids; first those of dev and test,
    if documents are split.

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
    held = [Row(row["document_id"], row["text"]) for row in rows[:count]]
    # those who ask and those who answer are of all splits alike
    return tuple(sorted(held, key=lambda row: content_hash(row.id)))


def judge(held: Sequence[Row], table: Table, teacher: str, encoding: EncodingConfig) -> Samples:
    """Have the teacher judge these rows: a quarter asks on dev, a quarter on test, half answers.

    `table` has the teacher's vectors of them.
    """
    quarter = len(held) // 4
    # Numbers in the place of ids: a chunk is ranked alone, whatever document it is of.
    numbered = tuple((str(number), row.text) for number, row in enumerate(held))
    asked = numbered[: 2 * quarter]
    searched = numbered[2 * quarter :]
    queries = encode_queries([text for _, text in asked], teacher, encoding)
    vectors = table.lookup([row.id for row in held[2 * quarter :]])
    best = top_k(queries, [name for name, _ in searched], vectors, _RIGHT).ids
    samples = []
    for start in (0, quarter):
        stop = start + quarter
        qrels: dict[str, dict[str, float]] = {}
        for (name, _), right in zip(asked[start:stop], best[start:stop].tolist(), strict=True):
            qrels[name] = dict.fromkeys(right, 1.0)
        groups = tuple(document_of(row.id) for row in held[start:stop])
        samples.append(Sample(asked[start:stop], searched, qrels, groups))
    return Samples(*samples)


def measure_agreement(
    test: Sample, model: str, dimensions: tuple[int, ...], encoding: EncodingConfig
) -> Mapping[int, float]:
    """Return {dimension: the share of the teacher's ten that the model finds among its ten}."""

    def encode(texts: list[str], role: Role) -> Vectors:
        return encode_texts({role: texts}, model, encoding)[role]

    scores = score_sample(test, *encode_sample(test, encode), dimensions, METRIC)
    return {dimension: float(values.mean()) for dimension, values in scores.items()}
