"""The documents nearest to each query: searched in the whole corpus, or, after a change, only where that may matter."""

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
from medembed.search.exact import nearest_rows
from medembed.search.float64_scores import Vectors
from medembed.search.neighbours import Neighbours

logger = logging.getLogger(__name__)

_RESERVE = 8  # documents beyond what a query needs, so that some may be deleted before it must be searched again
_EXTRA, _STEP = 16, 4  # places for known positives and reserve: 16, 64, 256, ...
_QUERIES_AT_ONCE = 65_536


@dataclass(frozen=True)
class Nearest:
    """A query's nearest documents, best first: ids, the rows by which they were found, and scores float64, [n] each.

    `is_whole`: the corpus has no other document.
    """

    documents: Sequence[str]
    rows: Sequence[str]
    scores: Floats
    is_whole: bool


@dataclass(frozen=True)
class Known:
    """What an earlier run found near a query, less what is gone; `last` (score, document) is where its sight ended."""

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
    queries: Vectors, needs: Sequence[int], window: int, scope: Scope, known: Mapping[int, Known], delta: Delta
) -> list[Nearest]:
    """At least `needs` documents for each query [Q, D], as many as there are in a smaller corpus.

    A need is the `window` and what a query's known positives take. `known` has lines of queries whose lists of an
    earlier run hold for all but the fragments that `delta` added. Lists are as long as places of a few sizes ask for:
    a query with very many positives makes its own list long, not all.
    """
    depths = [min(window + places_of(need - window), scope.table.rows) for need in needs]
    near = {line: one for line, one in known.items() if one.nearest.is_whole or len(one.nearest.rows) >= needs[line]}
    found: dict[int, Nearest] = {}
    if near:
        logger.info(
            "%d of %d queries have lists that hold but for %d new rows",
            len(near), len(needs), sum(shard["rows"] for shard in delta.added),
        )  # fmt: skip
        for line, more in _search(queries, sorted(near), depths, delta.added, scope):
            found[line] = join(near[line], more, depths[line])
    rest = [line for line in range(len(needs)) if line not in near]
    found |= dict(_search(queries, rest, depths, scope.table.shards(), scope))
    return [found[line] for line in range(len(needs))]


def places_of(known: int) -> int:
    """How many documents beyond the window a query with so many known positives is given."""
    places = _EXTRA
    while places < known + _RESERVE:
        places *= _STEP
    return places


def join(known: Known, more: Nearest, depth: int) -> Nearest:
    """The best of what was known and of what is new, as far down as nothing else can stand between; `depth` at most."""
    pairs = [
        (-float(score), document, row)
        for found in (known.nearest, more)
        for document, row, score in zip(found.documents, found.rows, found.scores, strict=True)
    ]
    best: dict[str, tuple[float, str, str]] = {}
    for entry in sorted(pairs):
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


def still_known(nearest: Nearest, there: frozenset[str]) -> Known | None:
    """What a list still says of the rows that are still there, None if nothing: another chunk of a document whose best
    one is gone may be near, and the list does not know it."""
    last = None if nearest.is_whole or not nearest.rows else (float(nearest.scores[-1]), nearest.documents[-1])
    gone = [place for place, row in enumerate(nearest.rows) if row not in there]
    if not gone:
        return Known(nearest, last)
    if any(document_of(nearest.rows[place]) != nearest.rows[place] for place in gone):
        return None
    left = sorted(set(range(len(nearest.rows))) - set(gone))
    documents, rows = ([found[place] for place in left] for found in (nearest.documents, nearest.rows))
    return Known(Nearest(documents, rows, nearest.scores[left], nearest.is_whole), last)


def _search(
    queries: Vectors, lines: Sequence[int], depths: Sequence[int], shards: Sequence[Shard], scope: Scope
) -> Iterator[tuple[int, Nearest]]:
    """(line, its nearest documents in these shards), as many as its depth."""
    of_depth: dict[int, list[int]] = defaultdict(list)
    for line in lines:
        of_depth[depths[line]].append(line)
    sized = [(shard, shard["rows"]) for shard in shards]
    total = sum(rows for _, rows in sized)
    for depth, group in sorted(of_depth.items()):
        asked = queries if len(group) == len(queries) else _pick(queries, group, scope.scratch / f"{depth}.npy")
        blocks = nearest_rows(
            sized, read_shard, asked, depth, scope.dimensions, scope.records, by_document=True,
            workers=scope.encoding.workers, gpus=scope.encoding.gpus_per_worker,
        )  # fmt: skip
        yield from zip(group, (answer for block in blocks for answer in _unfold(block, total)), strict=True)


def _pick(queries: Vectors, lines: Sequence[int], path: Path) -> Vectors:
    """These lines in a file, as they may be too many for memory."""
    picked = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(lines), queries.shape[1]))
    for start in range(0, len(lines), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        picked[part] = queries[lines[part]]
    return picked


def _unfold(block: Neighbours, rows: int) -> Iterator[Nearest]:
    """The list of each query of a block, which so many rows were searched for."""
    names = block.names.tolist()  # strings that all queries share
    owners = names if block.owners is None else block.owners.tolist()
    depth = block.places.shape[1]
    for places, scores in zip(block.places, block.scores, strict=True):
        found = places[places >= 0].tolist()
        documents, row_ids = [owners[place] for place in found], [names[place] for place in found]
        yield Nearest(documents, row_ids, scores[: len(found)], len(found) < depth or depth >= rows)
