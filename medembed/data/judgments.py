"""Judgments by id -> distinct judgments between the texts that stay. Pure."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.data.duplicates import ABSENT, Ints, Texts
from medembed.language import to_translate


@dataclass(frozen=True)
class Staged:
    """Key columns of all staged rows in order, without texts."""

    documents: pa.Table
    queries: pa.Table
    judgments: pa.Table


@dataclass(frozen=True)
class Judged:
    """Distinct judgments between texts [J]; similarity is NaN where there is none.

    `absent` are the staged rows that name a document which is not there.
    """

    query: Ints
    document: Ints
    score: npt.NDArray[np.float64]
    similarity: npt.NDArray[np.float64]
    absent: Ints

    @property
    def links(self) -> npt.NDArray[np.bool_]:
        """Return judgments that tie their texts into one group: positives and scored pairs."""
        return np.asarray((self.score > 0) | ~np.isnan(self.similarity))


def join_judgments(
    rows: pa.Table, queries: Texts, documents: Texts, dropped: Counter[str]
) -> Judged:
    """Return judgments by text; of several between the same two, the highest score stays."""
    query = queries.find(rows["query_id"])
    document = documents.find(rows["document_id"])
    absent = np.flatnonzero(document == ABSENT)
    are_there = (query != ABSENT) & (document != ABSENT)
    dropped[to_translate("judgment of an absent row")] += int((~are_there).sum())
    query = query[are_there]
    document = document[are_there]
    score = rows["score"].to_numpy().astype(np.float64)[are_there]
    similarity = rows["similarity"].to_numpy().astype(np.float64)[are_there]
    pair = query * max(len(documents.ids), 1) + document
    distinct, first, number = np.unique(pair, return_index=True, return_inverse=True)
    best = np.full(len(distinct), -np.inf)
    worst = np.full(len(distinct), np.inf)
    similar = np.full(len(distinct), np.nan)
    np.maximum.at(best, number, score)
    np.minimum.at(worst, number, score)
    np.fmax.at(similar, number, similarity)
    contradicted = (best > 0) & (worst == 0)
    dropped[to_translate("judgment repeated")] += len(pair) - len(distinct)
    dropped[to_translate("judgment contradicted by a higher one")] += int(contradicted.sum())
    return Judged(query[first], document[first], best, similar, absent)
