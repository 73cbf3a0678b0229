"""Measure what vectors cost and keep at each dimension, as each type of numbers: quality, bytes,
and the time of a search.

Rows are in memory, as a server holds them. Bits nominate candidates, which rank by the query in
float32: against their own bits, or against int8 codes that are kept beside them. Ranges of int8 are
those of the whole table.
"""

import logging
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.bits import count_bytes
from medembed.codes import Codes
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.rows import read_rows
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.evaluation.compare import compare
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values, principal_metrics
from medembed.evaluation.questions import Questions, find_measurable, find_questions
from medembed.evaluation.rank import score_rankings, search_depth, without_own
from medembed.language import tr
from medembed.search.funnel import CANDIDATES, Funnel
from medembed.search.in_memory import Coded, RowsInMemory
from medembed.search.ranking import Ranking

logger = logging.getLogger(__name__)

Numbers = Literal["float32", "int8", "binary", "binary+int8"]
Vectors = npt.NDArray[np.float32]
# queries [Q, D], documents to find, dimensions
Search = Callable[[Vectors, int, int], Ranking]
BITS: dict[Numbers, int] = {"float32": 32, "int8": 8, "binary": 1, "binary+int8": 9}
_MOST_ROWS = 100_000  # 0.15 GB of 384 dimensions; beyond them the table takes minutes
_MOST_QUERIES = 500
_TIMED = 30
_SHARES = (0.99, 0.95)  # of the best quality, for each of which the fewest bytes are named


@dataclass(frozen=True)
class Footprint:
    """What vectors of a dimension and type of numbers offer.

    `quality` is the objective's mean and `kept` its share of the best float32's; `low` and `high`
    are the paired 95% interval of the difference to that.
    """

    dimension: int
    numbers: Numbers
    quality: float
    kept: float
    low: float
    high: float
    milliseconds: float

    @property
    def size_bytes(self) -> int:
        """The bytes of a vector."""
        return count_bytes(self.dimension * BITS[self.numbers])


class Smallest(NamedTuple):
    """The vectors of the fewest bytes that keep a share of the best quality."""

    share: float
    footprint: Footprint


@dataclass(frozen=True)
class Footprints:
    """All that were measured, the widest first: on so many queries, over so many rows."""

    objective: str
    queries: int
    rows: int
    options: tuple[Footprint, ...]

    @property
    def smallest(self) -> tuple[Smallest, ...]:
        """Those that are recommended, the better first."""
        chosen = []
        for share in _SHARES:
            good = [option for option in self.options if option.kept >= share]
            best = min(good, key=lambda option: (option.size_bytes, -option.quality))
            chosen.append(Smallest(share, best))
        return tuple(chosen)


class _Asked(NamedTuple):
    """Queries with a positive: their ids, groups, vectors float32 [Q, D] and judgments."""

    ids: list[str]
    groups: tuple[str, ...]
    vectors: Vectors
    qrels: Mapping[str, Mapping[str, float]]


def measure_footprints(
    dataset: Dataset,
    table: Table,
    model: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
) -> Footprints | None:
    """Search a table of float32 in each way, for at most 500 queries, evenly chosen.

    None without queries that have a positive, or with more than 100,000 rows. Times are of this
    process and machine, and differ from run to run.
    """
    if table.rows > _MOST_ROWS:
        logger.info(
            tr(
                "{rows:,} rows: types of numbers are not compared beyond {most:,}",
                rows=table.rows,
                most=_MOST_ROWS,
            )
        )
        return None
    asked = _ask(find_questions(dataset, config), model, encoding)
    if asked is None:
        return None
    objective = principal_metrics([f"ndcg@{k}" for k in config.k])[0]
    depth = int(objective.partition("@")[2])
    values: dict[tuple[int, Numbers], Values] = {}
    seconds: dict[tuple[int, Numbers], float] = {}
    dimensions = config.dimensions or table.info.dimensions or (table.info.width,)
    ways = _hold(table, dimensions)
    for dimension in sorted(set(dimensions), reverse=True):
        for numbers, search in ways.items():
            ranking = search(asked.vectors, search_depth(depth, asked.ids), dimension)
            ranked = {dimension: without_own(ranking, asked.ids)}
            scored = score_rankings(ranked, asked.ids, asked.qrels, [depth])
            values[dimension, numbers] = scored[dimension][objective]
            seconds[dimension, numbers] = _time(search, asked.vectors, depth, dimension)
    options = _weigh(values, seconds, asked.groups, config)
    return Footprints(objective, len(asked.ids), table.rows, options)


def _ask(questions: Questions, model: str, encoding: EncodingConfig) -> _Asked | None:
    qrels = questions.qrels
    lines = find_measurable(list(qrels.values()))
    if not len(lines):
        return None
    chosen = np.linspace(0, len(lines) - 1, min(len(lines), _MOST_QUERIES)).astype(np.int64)
    lines = lines[chosen]
    names = questions.ids
    ids = [names[line] for line in lines]
    rows = questions.queries.take(pa.array(lines))
    vectors = encode_texts({"query": rows["text"].to_pylist()}, model, encoding)["query"]
    return _Asked(ids, questions.units(lines, ids).groups, vectors, qrels)


def _hold(table: Table, dimensions: tuple[int, ...]) -> dict[Numbers, Search]:
    """Return what searches the table's rows in memory as each type of numbers."""
    plain = _load(table, dimensions, None)
    codes = _load(table, dimensions, "int8")
    bits = _load(table, dimensions, "binary")
    return {
        "float32": plain.search,
        "int8": codes.search,
        "binary": partial(_by_bits, bits),
        "binary+int8": partial(_by_bits, codes),
    }


def _load(table: Table, dimensions: tuple[int, ...], codes: Codes | None) -> RowsInMemory:
    rows = read_rows(table, codes)
    coded = Coded(codes, rows.ranges) if codes and rows.ranges else None
    return RowsInMemory(rows.ids, rows.parts, table.info.width, dimensions, coded)


def _by_bits(rows: RowsInMemory, queries: Vectors, k: int, dimension: int) -> Ranking:
    funnel = Funnel(dimension, dimension, max(CANDIDATES, k), "binary")
    return rows.funnel(queries, k, funnel)


def _time(search: Search, queries: Vectors, k: int, dimension: int) -> float:
    """Return the median of the seconds of one query."""
    seconds = []
    search(queries[:1], k, dimension)
    for line in range(min(_TIMED, len(queries))):
        start = time.perf_counter()
        search(queries[line : line + 1], k, dimension)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _weigh(
    values: Mapping[tuple[int, Numbers], Values],
    seconds: Mapping[tuple[int, Numbers], float],
    groups: tuple[str, ...],
    config: EvaluationConfig,
) -> tuple[Footprint, ...]:
    plain = {key: row.mean() for key, row in values.items() if key[1] == "float32"}
    best = max(plain, key=lambda key: (plain[key], -key[0]))
    options = []
    for key, row in values.items():
        dimension, numbers = key
        difference = compare(
            values[best], row, groups, samples=config.bootstrap_samples, seed=config.seed
        )
        options.append(
            Footprint(
                dimension=dimension,
                numbers=numbers,
                quality=difference.after,
                kept=difference.after / difference.before if difference.before else 1.0,
                low=difference.low,
                high=difference.high,
                milliseconds=1000 * seconds[key],
            )
        )
    return tuple(options)
