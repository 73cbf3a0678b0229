"""Make corpora that tempt a search to err, and sort all their rows by hand."""

import numpy as np

from medembed.bits import centre_of, measure_bits
from medembed.matryoshka import truncate
from medembed.schema import document_of
from medembed.search.float64_scores import unit_rows
from medembed.search.funnel import Funnel
from medembed.search.ranking import Ranking

Vectors = np.ndarray
Lines = list[list[tuple[str, str, float]]]  # of each query: (ranked id, row id, score), best first
SIZES = (40, 0, 33, 27)


class Reader:
    """A reader whose shards are numbers; rows are dealt to them in order."""

    def __init__(self, ids: list[str], vectors: Vectors, sizes: tuple[int, ...] = SIZES) -> None:
        self.ids, self.vectors, self.sizes = ids, vectors, sizes

    def __call__(self, shard: int) -> tuple[list[str], Vectors]:
        start = sum(self.sizes[:shard])
        rows = slice(start, start + self.sizes[shard])
        return self.ids[rows], self.vectors[rows]

    @property
    def shards(self) -> list[tuple[int, int]]:
        return list(enumerate(self.sizes))


def draw(rows: int, width: int = 16, seed: int = 0) -> Vectors:
    return truncate(
        np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32), width
    )


def draw_corpus(rows: int, width: int, seed: int, *, chunks: bool) -> tuple[list[str], Vectors]:
    """Draw rows that are repeated, opposite, zero, or apart by one unit in the last place.

    Some lie about the error bound from each other. Their ids are in no order.
    """
    drawn = np.random.default_rng(seed)
    distinct = drawn.normal(size=(max(1, rows // 4), width)).astype(np.float32)
    vectors = distinct[drawn.integers(0, len(distinct), size=rows)]
    nudged = np.flatnonzero(drawn.random(rows) < 0.4)
    place = drawn.integers(0, width, size=len(nudged))
    vectors[nudged, place] = np.nextafter(vectors[nudged, place], np.float32(np.inf))
    moved = np.flatnonzero(drawn.random(rows) < 0.4)
    vectors[moved] += 10.0 ** -drawn.integers(5, 8, size=(len(moved), 1)) * drawn.normal(
        size=(len(moved), width)
    )
    vectors[drawn.random(rows) < 0.1] *= -1
    vectors[drawn.random(rows) < 0.05] = 0
    numbers = drawn.permutation(rows).tolist()
    if not chunks:
        return [f"d{number}" for number in numbers], vectors
    # "!" stands before "#": the order of documents is not that of their rows.
    owners = drawn.integers(0, max(1, rows // 3), size=rows).tolist()
    ids = [
        f"d{number}" if number % 5 == 0 else f"d{'!' * (owner % 9)}{owner}#chunk-{number}"
        for number, owner in zip(numbers, owners, strict=True)
    ]
    return ids, vectors


def add_up(products: list[float]) -> float:
    """Return the sum in the promised order, by Python's floats."""
    lanes = products[:64]
    for place, product in enumerate(products[64:]):
        lanes[place % 64] += product
    while len(lanes) > 1:
        half = (len(lanes) + 1) // 2
        rest = lanes[half:]
        lanes = [left + right for left, right in zip(lanes, rest, strict=False)] + lanes[
            len(rest) : half
        ]
    return lanes[0]


def by_hand(
    queries: Vectors,
    ids: list[str],
    vectors: Vectors,
    k: int,
    *,
    by_document: bool,
    dimensions: int | None = None,
) -> Lines:
    """Return every query's k best by Python's own numbers."""
    dimensions = dimensions or queries.shape[1]
    rows = unit_rows(vectors, dimensions)[0].tolist()
    lines: Lines = []
    for query in unit_rows(queries, dimensions)[0].tolist():
        best: dict[str, tuple[float, str]] = {}
        for name, row in zip(ids, rows, strict=True):
            owner = document_of(name) if by_document else name
            products = [left * right for left, right in zip(query, row, strict=True)]
            entry = (-add_up(products), name)
            best[owner] = min(entry, best.get(owner, entry))
        ranked = sorted((score, owner, name) for owner, (score, name) in best.items())[:k]
        lines.append([(owner, name, -score) for score, owner, name in ranked])
    return lines


def funnel_by_hand(
    queries: Vectors, ids: list[str], vectors: Vectors, k: int, funnel: Funnel
) -> Lines:
    """Return every query's k best among all rows of the documents that its first pass names."""
    first = funnel.first_dimensions
    nominated = by_hand(
        queries, ids, vectors, funnel.candidates, by_document=True, dimensions=first
    )
    lines: Lines = []
    for query, candidates in zip(queries, nominated, strict=True):
        owners = {owner for owner, _, _ in candidates}
        rows = [row for row, name in enumerate(ids) if document_of(name) in owners]
        names = [ids[row] for row in rows]
        dimensions = funnel.dimensions
        lines += by_hand(
            query[None], names, vectors[rows], k, by_document=True, dimensions=dimensions
        )
    return lines


def codes_by_hand(
    queries: Vectors,
    ids: list[str],
    vectors: Vectors,
    k: int,
    funnel: Funnel,
    among: list[str] | None = None,
) -> Lines:
    """Return every query's k best among all rows of the documents whose bits are nearest, of all
    or of some ids; a bit says whether a value is above the mean of all rows, and ties go to smaller
    ids.
    """
    first = funnel.first_dimensions
    mean = centre_of(measure_bits([vectors]))[:first]
    chosen = [row for row, name in enumerate(ids) if among is None or name in among]
    lines: Lines = []
    for query in queries:
        distances: dict[str, int] = {}
        for row in chosen:
            owner = document_of(ids[row])
            differing = sum((vectors[row][:first] > mean) != (query[:first] > mean))
            distances[owner] = min(int(differing), distances.get(owner, first))
        order = sorted((distance, owner) for owner, distance in distances.items())
        owners = {owner for _, owner in order[: funnel.candidates]}
        rows = [row for row in chosen if document_of(ids[row]) in owners]
        names = [ids[row] for row in rows]
        dimensions = funnel.dimensions
        lines += by_hand(
            query[None], names, vectors[rows], k, by_document=True, dimensions=dimensions
        )
    return lines


def listed(ranking: Ranking) -> Lines:
    """Return a ranking's lists without their empty places."""
    lines: Lines = []
    for line in zip(ranking.ids, ranking.row_ids, ranking.scores, strict=True):
        entries = zip(*(values.tolist() for values in line), strict=True)
        lines.append([entry for entry in entries if entry[0]])
    return lines
