"""Classify labelled texts by a vote of the nearest ones (Cover and Hart 1967)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.dataset import Dataset
from medembed.encoding.table import Shard, Table, read_shard
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import Measured, Units
from medembed.schema import UNDETERMINED, document_of
from medembed.search.ranking import Ranking
from medembed.search.shards import rank_shards

_TEXTS_PER_PASS = 4096


@dataclass(frozen=True)
class Labelled:
    """Texts whose class is asked for, and the ids of those that vote: strings."""

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    labels: Mapping[str, str]  # of the documents of all labelled texts
    voters: pa.Array


class ReadVoters:
    """Reads a shard's rows whose ids are among the voters'."""

    def __init__(self, voters: pa.Array) -> None:
        self.voters = voters

    def __call__(self, shard: Shard) -> tuple[list[str], npt.NDArray[np.float32]]:
        ids, vectors = read_shard(shard)
        names = pa.array(ids, pa.string())
        votes = pc.is_in(names, value_set=self.voters)
        return names.filter(votes).to_pylist(), vectors[votes.to_numpy(zero_copy_only=False)]


def find_labelled(dataset: Dataset, split: str | None) -> Labelled | None:
    """Return the labelled texts of a split; those of train vote, or without any all but itself."""
    rows = dataset.labels()
    asked = rows if split is None else _of_split(rows, split)
    if not asked.num_rows:
        return None
    asked = asked.sort_by("document_id")
    train = _of_split(rows, "train")
    voters = train if train.num_rows and split in ("dev", "test") else rows
    documents = (document_of(name) for name in rows["document_id"].to_pylist())
    labels = dict(zip(documents, rows["label"].to_pylist(), strict=True))
    ids = tuple(asked["document_id"].to_pylist())
    languages = tuple(language or UNDETERMINED for language in asked["language"].to_pylist())
    return Labelled(ids, languages, labels, voters["document_id"].combine_chunks())


def _of_split(rows: pa.Table, split: str) -> pa.Table:
    return rows.filter(pc.fill_null(pc.equal(rows["split"], split), False))


def classify(
    table: Table, asked: Labelled, dimensions: Sequence[int], neighbours: int, workers: int
) -> Measured:
    """Measure `knn_accuracy` of each text: 1 if the nearest documents vote for its class, else 0.

    A document is as near as its nearest chunk. Raises ModelError for a dimension above the table's
    width.
    """
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    parts: dict[int, list[Values]] = {dimension: [] for dimension in dimensions}
    for start in range(0, len(asked.ids), _TEXTS_PER_PASS):
        ids = asked.ids[start : start + _TEXTS_PER_PASS]
        rankings = rank_shards(
            shards,
            ReadVoters(asked.voters),
            table.lookup(ids),
            neighbours + 1,
            dimensions,
            by_document=True,
            workers=workers,
        )
        for dimension, ranking in rankings.items():
            parts[dimension].append(vote(ranking, ids, asked.labels, neighbours))
    values = {
        dimension: {"knn_accuracy": np.concatenate(rows)} for dimension, rows in parts.items()
    }
    groups = tuple(document_of(name) for name in asked.ids)
    return Measured(Units(asked.ids, groups, asked.languages, ((),) * len(groups)), values, {}, {})


def vote(
    ranking: Ranking, ids: Sequence[str], labels: Mapping[str, str], neighbours: int
) -> Values:
    """Return 1 where the class that most of the nearest have is the text's own, else 0 [n].

    Of equal votes the nearer wins.

    `ranking` holds documents, one more than `neighbours`: a text's own document may be among them,
    and has no vote, so that no chunk is classified by the next one of the same document. `labels`
    are the documents'.
    """
    right = np.zeros(len(ids))
    owners = map(document_of, ids)
    for line, (own, names) in enumerate(zip(owners, ranking.ids.tolist(), strict=True)):
        votes = Counter([labels[name] for name in names if name and name != own][:neighbours])
        # keeps the order of first votes
        right[line] = bool(votes) and votes.most_common(1)[0][0] == labels[own]
    return right
