"""Labelled texts: does a vote of the nearest ones name a text's class? (Cover and Hart 1967)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.table import Shard, Table, read_shard
from medembed.evaluation.metrics import Values
from medembed.evaluation.questions import UNKNOWN
from medembed.evaluation.result import Measured, Units
from medembed.schema import document_of
from medembed.search.sharded import search_shards
from medembed.search.topk import Ranking

_TEXTS_PER_PASS = 4096


@dataclass(frozen=True)
class Labelled:
    """Texts whose class is asked for, and the split whose texts vote: None for all others."""

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    labels: Mapping[str, str]  # of the documents of all labelled texts
    voters: str | None


class ReadVoters:
    """Reads a shard's rows that have a class and are in the voters' split."""

    def __init__(self, voters: str | None) -> None:
        self.voters = voters

    def __call__(self, item: Mapping[str, Any]) -> tuple[list[str], npt.NDArray[np.float32]]:
        ids, vectors = read_shard(item["shard"])
        rows = storage.read_parquet(item["file"], ["label", "split"])  # a fragment holds one file's rows, in order
        keep = rows["label"].is_valid()
        if self.voters is not None:
            keep = pc.and_(keep, pc.equal(rows["split"], self.voters))
        kept = keep.to_numpy(zero_copy_only=False).astype(np.bool_)
        return [name for name, is_kept in zip(ids, kept.tolist(), strict=True) if is_kept], vectors[kept]


def find_labelled(dataset: Dataset, split: str | None) -> Labelled | None:
    """The labelled texts of a split; those of train vote, or where there are none all but the text itself."""
    rows = dataset.labels()
    asked = rows if split is None else rows.filter(pc.fill_null(pc.equal(rows["split"], split), False))
    if not asked.num_rows:
        return None
    asked = asked.sort_by("document_id")
    has_train = pc.any(pc.equal(rows["split"], "train")).as_py() and split in ("dev", "test")
    documents = (document_of(name) for name in rows["document_id"].to_pylist())
    labels = dict(zip(documents, rows["label"].to_pylist(), strict=True))
    ids = tuple(asked["document_id"].to_pylist())
    languages = tuple(language or UNKNOWN for language in asked["language"].to_pylist())
    return Labelled(ids, languages, labels, "train" if has_train else None)


def classify(
    dataset: Dataset, table: Table, asked: Labelled, dimensions: Sequence[int], neighbours: int, workers: int
) -> Measured:
    """`knn_accuracy` of each text: 1 if the `neighbours` nearest documents that vote name its class, else 0.

    A document is as near as its nearest chunk. Raises ModelError for a dimension above the table's width.
    """
    shards = _shards(dataset, table)
    parts: dict[int, list[Values]] = {dimension: [] for dimension in dimensions}
    for start in range(0, len(asked.ids), _TEXTS_PER_PASS):
        ids = asked.ids[start : start + _TEXTS_PER_PASS]
        found = search_shards(
            shards, ReadVoters(asked.voters), table.lookup(ids), neighbours + 1, dimensions, by_document=True,
            workers=workers,
        )  # fmt: skip
        for dimension, ranking in found.items():
            parts[dimension].append(vote(ranking, ids, asked.labels, neighbours))
    values = {dimension: {"knn_accuracy": np.concatenate(rows)} for dimension, rows in parts.items()}
    groups = tuple(document_of(name) for name in asked.ids)
    return Measured(Units(asked.ids, groups, asked.languages, ((),) * len(groups)), values, {}, {})


def vote(ranking: Ranking, ids: Sequence[str], labels: Mapping[str, str], neighbours: int) -> Values:
    """1 where the class that most of the nearest have is the text's own, else 0 [n]; of equal votes the nearer wins.

    `ranking` holds documents, one more than `neighbours`: a text's own document may be among them, and has no vote, so
    that no chunk is classified by the next one of the same document. `labels` are the documents'.
    """
    right = np.zeros(len(ids))
    for line, (own, names) in enumerate(zip(map(document_of, ids), ranking.ids.tolist(), strict=True)):
        votes = Counter([labels[name] for name in names if name and name != own][:neighbours])
        right[line] = bool(votes) and votes.most_common(1)[0][0] == labels[own]  # keeps the order of first votes
    return right


def _shards(dataset: Dataset, table: Table) -> list[tuple[dict[str, Shard | str], int]]:
    files = dataset.corpus_files()
    return [({"shard": shard, "file": uri}, rows) for shard, (uri, rows) in zip(table.shards(), files, strict=True)]
