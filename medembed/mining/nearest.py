"""Find the documents nearest to each query: in the whole corpus, or, after a change, only where
that may matter.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import Delta
from medembed.encoding.table import Shard, Table, read_shard
from medembed.mining.rules import Floats
from medembed.records import Records
from medembed.schema import document_of
from medembed.search.float64_scores import Vectors
from medembed.search.ranking import Ranking
from medembed.search.shards import search_shards

logger = logging.getLogger(__name__)

# documents beyond what a query needs, so that some may be deleted before it must be searched again
_RESERVE = 8
_EXTRA, _STEP = 16, 4  # places for known positives and reserve: 16, 64, 256, ...
_QUERIES_AT_ONCE = 65_536


@dataclass(frozen=True)
class Nearest:
    """A query's nearest documents, best first: ids, the rows by which they were found, and scores
    float64, [n] each.

    `is_whole`: the corpus has no other document.
    """

    documents: Sequence[str]
    rows: Sequence[str]
    scores: Floats
    is_whole: bool


@dataclass(frozen=True)
class Known:
    """What an earlier run found near a query, less what is gone; `last` (score, document) is where
    its sight ended.
    """

    nearest: Nearest
    last: tuple[float, str] | None


@dataclass(frozen=True)
class Scope:
    """Where and how to look. `records` keep what is found for a rerun; `scratch` is this node's."""

    table: Table
    dimensions: int
    encoding: EncodingConfig
    records: Records
    scratch: Path


def find_nearest(
    queries: Vectors,
    needs: Sequence[int],
    window: int,
    scope: Scope,
    known: Mapping[int, Known],
    delta: Delta,
) -> list[Nearest]:
    """Find at least `needs` documents for each query [Q, D], as many as there are in a smaller
    corpus.

    A need is the `window` and what a query's known positives take. `known` has lines of queries
    whose lists of an earlier run hold for all but the fragments that `delta` added. Lists are as
    long as places of a few sizes ask for: a query with very many positives makes its own list long,
    not all.
    """
    depths = [min(window + places_of(need - window), scope.table.rows) for need in needs]
    near = {line: one for line, one in known.items() if _reaches(one, needs[line])}
    found: dict[int, Nearest] = {}
    if near:
        new = sum(shard["rows"] for shard in delta.added)
        logger.info(
            "%d of %d queries have lists that hold but for %d new rows", len(near), len(needs), new
        )
        for line, more in _search(queries, sorted(near), depths, delta.added, scope):
            found[line] = join(near[line], more, depths[line])
    rest = [line for line in range(len(needs)) if line not in near]
    found |= dict(_search(queries, rest, depths, scope.table.shards(), scope))
    return [found[line] for line in range(len(needs))]


def _reaches(known: Known, need: int) -> bool:
    """Return whether a list has so many documents, or all that there are."""
    return known.nearest.is_whole or len(known.nearest.rows) >= need


def places_of(known: int) -> int:
    """Return how many documents beyond the window a query with so many known positives is given."""
    places = _EXTRA
    while places < known + _RESERVE:
        places *= _STEP
    return places


def join(known: Known, more: Nearest, depth: int) -> Nearest:
    """Return the best of what was known and of what is new, as far down as nothing else can stand
    between.

    They are `depth` at most.
    """
    best: dict[str, tuple[float, str, str]] = {}
    for entry in sorted([*_entries(known.nearest), *_entries(more)]):
        best.setdefault(entry[1], entry)
    entries = list(best.values())
    if not known.nearest.is_whole and known.last is not None:
        last = -known.last[0], known.last[1]
        entries = [entry for entry in entries if entry[:2] <= last]
    is_whole = known.nearest.is_whole and more.is_whole and len(entries) <= depth
    entries = entries[:depth]
    return Nearest(
        [document for _, document, _ in entries],
        [row for _, _, row in entries],
        np.array([-score for score, _, _ in entries]),
        is_whole,
    )


def _entries(nearest: Nearest) -> Iterator[tuple[float, str, str]]:
    """Give (score turned round, document, row) of each, in the order in which the best come
    first.
    """
    for document, row, score in zip(nearest.documents, nearest.rows, nearest.scores, strict=True):
        yield -float(score), document, row


def still_known(nearest: Nearest, there: frozenset[str]) -> Known | None:
    """Return what a list still says of the rows that are still there, None if nothing.

    Another chunk of a document whose best one is gone may be near, and the list does not know it.
    """
    last = None
    if nearest.rows and not nearest.is_whole:
        last = (float(nearest.scores[-1]), nearest.documents[-1])
    gone = [place for place, row in enumerate(nearest.rows) if row not in there]
    if not gone:
        return Known(nearest, last)
    if any(document_of(nearest.rows[place]) != nearest.rows[place] for place in gone):
        return None
    left = sorted(set(range(len(nearest.rows))) - set(gone))
    documents = [nearest.documents[place] for place in left]
    rows = [nearest.rows[place] for place in left]
    return Known(Nearest(documents, rows, nearest.scores[left], nearest.is_whole), last)


def _search(
    queries: Vectors,
    lines: Sequence[int],
    depths: Sequence[int],
    shards: Sequence[Shard],
    scope: Scope,
) -> Iterator[tuple[int, Nearest]]:
    """Give each line with its nearest documents in these shards, as many as its depth."""
    of_depth: dict[int, list[int]] = defaultdict(list)
    for line in lines:
        of_depth[depths[line]].append(line)
    sized = [(shard, shard["rows"]) for shard in shards]
    total = sum(rows for _, rows in sized)
    for depth, group in sorted(of_depth.items()):
        is_all = len(group) == len(queries)
        asked = queries if is_all else _pick(queries, group, scope.scratch / f"{depth}.npy")
        answers = search_shards(
            sized,
            read_shard,
            asked,
            depth,
            [scope.dimensions],
            by_document=True,
            records=scope.records,
            workers=scope.encoding.workers,
            gpus=scope.encoding.gpus_per_worker,
        )
        for answer in answers:
            lists = _unfold(answer.rankings[scope.dimensions], total)
            yield from zip(group[answer.start : answer.stop], lists, strict=True)


def _pick(queries: Vectors, lines: Sequence[int], path: Path) -> Vectors:
    """Write these lines to a file, as they may be too many for memory."""
    picked = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(lines), queries.shape[1])
    )
    for start in range(0, len(lines), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        picked[part] = queries[lines[part]]
    return picked


def _unfold(ranking: Ranking, rows: int) -> Iterator[Nearest]:
    """Give the list of each query, which so many rows were searched for."""
    names = ranking.names.tolist()  # strings that all queries share
    owners = names if ranking.owners is None else ranking.owners.tolist()
    depth = ranking.places.shape[1]
    for line, scores in zip(ranking.places, ranking.scores, strict=True):
        places = line[line >= 0].tolist()
        documents = [owners[place] for place in places]
        row_ids = [names[place] for place in places]
        is_whole = len(places) < depth or depth >= rows
        yield Nearest(documents, row_ids, scores[: len(places)], is_whole)
