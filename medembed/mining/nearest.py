"""Find the documents nearest to each query: in all of the corpus, or only where it has changed."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import Delta
from medembed.encoding.table import Shard, Table, read_shard, with_rows
from medembed.language import tr
from medembed.mining.rules import Floats
from medembed.records import Records
from medembed.schema import document_of
from medembed.search.float64_scores import Vectors
from medembed.search.ranking import Ranking
from medembed.search.shards import search_shards

logger = logging.getLogger(__name__)

# documents beyond what a query needs, so that some may be deleted before it must be searched again
_RESERVE = 8
_EXTRA = 16  # places for known positives and reserve: 16, 64, 256, ...
_STEP = 4
_QUERIES_AT_ONCE = 65_536


@dataclass(frozen=True)
class Nearest:
    """A query's nearest documents, best first: ids, the rows that were found, scores float64; [n].

    `is_whole`: the corpus has no other document.
    """

    documents: Sequence[str]
    rows: Sequence[str]
    scores: Floats
    is_whole: bool


@dataclass(frozen=True)
class EarlierList:
    """What an earlier run found near a query, less what is gone.

    `last` (score, document) is the last entry that it had: what stands behind is not known.
    """

    nearest: Nearest
    last: tuple[float, str] | None


@dataclass(frozen=True)
class Scope:
    """Where and how to search; `records` keep the results for a rerun, `scratch` is this node's."""

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
    earlier: Mapping[int, EarlierList],
    delta: Delta,
) -> list[Nearest]:
    """Find at least `needs` documents for each query [Q, D], all where the corpus has fewer.

    A need is the `window` and what a query's known positives take. `earlier` {line: list} has lists
    that hold for all but the fragments that `delta` added. Lists are as long as places of a few
    sizes ask for: a query with very many positives makes its own list long, not all.
    """
    depths = [min(window + places_of(need - window), scope.table.rows) for need in needs]
    usable = {}
    for line, known in earlier.items():
        if known.nearest.is_whole or len(known.nearest.rows) >= needs[line]:
            usable[line] = known
    nearest: dict[int, Nearest] = {}
    if usable:
        new = sum(shard["rows"] for shard in delta.added)
        logger.info(
            tr(
                "{kept} of {count} queries keep their earlier lists; {new} new rows are searched "
                "for them",
                kept=len(usable),
                count=len(needs),
                new=new,
            )
        )
        for line, added in _search(queries, sorted(usable), depths, delta.added, scope):
            nearest[line] = join(usable[line], added, depths[line])
    missing = sorted(set(range(len(needs))) - usable.keys())
    nearest |= dict(_search(queries, missing, depths, scope.table.shards(), scope))
    return [nearest[line] for line in range(len(needs))]


def places_of(known: int) -> int:
    """Return how many documents beyond the window a query with `known` positives is given."""
    places = _EXTRA
    while places < known + _RESERVE:
        places *= _STEP
    return places


class _Entry(NamedTuple):
    """A document in a list. Sorted, the best come first."""

    negative_score: float
    document: str
    row: str


def join(known: EarlierList, more: Nearest, depth: int) -> Nearest:
    """Return the best of an earlier list and of new documents, `depth` at most.

    It ends where a document that neither has seen may stand.
    """
    last = None
    if not known.nearest.is_whole and known.last is not None:
        last = (-known.last[0], known.last[1])
    best: dict[str, _Entry] = {}
    for entry in sorted([*_entries(known.nearest), *_entries(more)]):
        if last is None or entry[:2] <= last:
            best.setdefault(entry.document, entry)
    is_whole = known.nearest.is_whole and more.is_whole and len(best) <= depth
    entries = list(best.values())[:depth]
    rows = [entry.row for entry in entries]
    scores = -np.array([entry.negative_score for entry in entries])
    return Nearest(list(best)[:depth], rows, scores, is_whole)


def _entries(nearest: Nearest) -> Iterator[_Entry]:
    for document, row, score in zip(nearest.documents, nearest.rows, nearest.scores, strict=True):
        yield _Entry(-float(score), document, row)


def trim_list(nearest: Nearest, unchanged: frozenset[str]) -> EarlierList | None:
    """Return what a list still says when only these rows are left; None if nothing.

    Another chunk of a document whose best one is gone may be near, and the list does not know it.
    """
    last = None
    if nearest.rows and not nearest.is_whole:
        last = (float(nearest.scores[-1]), nearest.documents[-1])
    left = []
    documents = []
    rows = []
    for rank, row in enumerate(nearest.rows):
        if row in unchanged:
            left.append(rank)
            documents.append(nearest.documents[rank])
            rows.append(row)
        elif document_of(row) != row:
            return None
    return EarlierList(Nearest(documents, rows, nearest.scores[left], nearest.is_whole), last)


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
    sized = with_rows(shards)
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
    """Copy these lines to a file, as they may be too many for memory."""
    picked = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(lines), queries.shape[1])
    )
    for start in range(0, len(lines), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        picked[part] = queries[lines[part]]
    return picked


def _unfold(ranking: Ranking, rows: int) -> Iterator[Nearest]:
    """Give the list of each query; `rows` were searched."""
    names = ranking.names.tolist()  # strings that all queries share
    owners = names if ranking.owners is None else ranking.owners.tolist()
    depth = ranking.places.shape[1]
    for line, scores in zip(ranking.places, ranking.scores, strict=True):
        places = line[line >= 0].tolist()
        documents = [owners[place] for place in places]
        row_ids = [names[place] for place in places]
        is_whole = len(places) < depth or depth >= rows
        yield Nearest(documents, row_ids, scores[: len(places)], is_whole)
