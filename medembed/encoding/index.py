"""Lance's vector index over an embedding table: built, looked at, asked for the nearest rows.

The default kind is IVF_RQ: rows in partitions by k-means, in each the codes of RaBitQ (Gao and Long
2024, arXiv:2405.12497), of which the best are compared again by their whole vectors. Of the kinds
offered it builds fast and answers fastest: IVF_SQ and IVF_FLAT answer slower, IVF_HNSW_SQ builds
many times slower.

An index belongs to versions of the table. A later version keeps it, without rows deleted since;
rows added since are compared exactly by each search until the index is built anew. A table that is
written whole loses it.
"""

import logging
import shlex
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.encoding.codec import TYPES
from medembed.encoding.commit import tag_version
from medembed.encoding.corpus import evenly
from medembed.encoding.lance_dataset import is_conflict, open_lance, reason_of
from medembed.encoding.table import Table, find_table
from medembed.errors import ConfigError, StorageError
from medembed.language import tr

logger = logging.getLogger(__name__)

IndexKind = Literal["IVF_RQ", "IVF_SQ", "IVF_FLAT", "IVF_HNSW_SQ"]
# of each query: row ids and cosines, best first
Hits: TypeAlias = list[tuple[list[str], npt.NDArray[np.float32]]]
REFINE = 5  # rows compared again by their whole vectors, for each row wanted
_NAME = "vector"
_QUERIES_AT_ONCE = 256
_RQ_BLOCK = 8


@dataclass(frozen=True)
class VectorIndex:
    """A version's index: its kind, the live rows that it covers, its bytes on storage."""

    kind: str
    rows: int
    size_bytes: int


def find_index(table: Table) -> VectorIndex | None:
    """Return the vector index of this version, None if it has none."""
    for index in open_lance(table.uri, table.version).describe_indices():
        if index.name == _NAME:
            return VectorIndex(index.index_type, index.num_rows_indexed, index.total_size_bytes)
    return None


def drop_index(table: Table) -> bool:
    """Take the vector index away, in a new version; whether there was one."""
    if find_index(table) is None:
        return False
    open_lance(table.uri, table.version).drop_index(_NAME)
    return True


def check_index(table: Table) -> VectorIndex:
    """Return the vector index of this version. Raises StorageError if it has none."""
    index = find_index(table)
    if index is None:
        raise StorageError(
            "{uri} version {version}: no vector index; search without use_index, or "
            "build one by: medembed table index {table}",
            uri=table.uri,
            version=table.version,
            table=shlex.quote(f"table={table.uri}"),
        )
    return index


def build_index(table: Table, kind: IndexKind = "IVF_RQ", partitions: int | None = None) -> Table:
    """Build the index anew over all rows, by cosine at full width; returns the version that has it.

    `partitions` None leaves their number to Lance, by rows. K-means starts at random rows and takes
    no seed: two builds differ a little. The tag of data set and encoder moves to the new version,
    whose rows are the same. Raises ConfigError for what the table cannot have, StorageError if
    another run has changed the table meanwhile.
    """
    dataset = open_lance(table.uri, table.version)
    _check(table, dataset.schema.field("embedding").type.value_type, kind, partitions)
    try:
        dataset.create_index(
            "embedding",
            kind,
            name=_NAME,
            metric="cosine",
            replace=True,
            num_partitions=partitions,
            progress_callback=_log_stage,
        )
    except OSError as error:
        reason = reason_of(error)
        if is_conflict(error):
            reason = tr(
                "another run has changed the table since version {version}; run again.",
                version=table.version,
            )
        raise StorageError(
            "{uri}: cannot build the index: {reason}", uri=table.uri, reason=reason
        ) from None
    indexed = find_table(table.uri, dataset.version)
    assert indexed is not None
    tag_version(indexed)
    return indexed


class OpenIndex:
    """Finds the nearest rows of one version of a table by its index.

    A class, so that the index is read once. Rows that it does not cover are compared exactly,
    deleted ones never found.
    """

    def __init__(self, table: Table, probes: int | None = None, refine: int = REFINE) -> None:
        """`probes` partitions are searched, None: as many as Lance finds fit; `refine` times the
        rows wanted are compared by their whole vectors. Raises StorageError if there is no index.
        """
        check_index(table)
        self.dataset = open_lance(table.uri, table.version)
        self.options: dict[str, Any] = {"refine_factor": refine}
        # effort 0 begins at this number; Lance goes on if fewer rows than wanted are there
        if probes is not None:
            self.options |= {"minimum_nprobes": probes, "search_effort": 0.0}

    def __call__(self, queries: npt.NDArray[np.float32], rows: int) -> Hits:
        """Return the nearest rows of each query [Q, width], or all if there are fewer."""
        return _nearest(self.dataset, queries, rows, self.options)


def measure_recall(table: Table, k: int = 10, sample: int = 100) -> float:
    """Return the share of the k nearest rows that the index finds, for rows of the table.

    Exact are Lance's own cosines without the index. Raises StorageError if there is no index.
    """
    places = evenly(table.rows, sample)
    dataset = open_lance(table.uri, table.version)
    queries = table.lookup(dataset.take(places, columns=["document_id"])["document_id"].to_pylist())
    exact = _nearest(dataset, queries, k, {"use_index": False})
    nearest = OpenIndex(table)(queries, k)
    shares = []
    for (names, _), (best, _) in zip(nearest, exact, strict=True):
        shares.append(len({*names} & {*best}) / len(best))
    return float(np.mean(shares))


def _nearest(
    dataset: Any, queries: npt.NDArray[np.float32], rows: int, options: dict[str, Any]
) -> Hits:
    hits: Hits = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        asked = queries[start : start + _QUERIES_AT_ONCE]
        nearest = {"column": "embedding", "q": asked, "k": rows, "metric": "cosine"} | options
        table = dataset.to_table(columns=["document_id", "_distance"], nearest=nearest)
        lines = table["query_index"].to_numpy()
        scores = 1 - table["_distance"].to_numpy()
        order = np.lexsort((-scores, lines))
        ids = table["document_id"].combine_chunks().take(pa.array(order)).to_pylist()
        scores = scores[order]
        bounds = np.searchsorted(lines[order], np.arange(len(asked) + 1))
        for first, end in pairwise(bounds):
            hits.append((ids[first:end], scores[first:end]))
    return hits


def _check(table: Table, values: pa.DataType, kind: IndexKind, partitions: int | None) -> None:
    if not table.rows:
        raise ConfigError(
            "{uri}: the embedding table is empty; encode a corpus into it before an index.",
            uri=table.uri,
        )
    if not pa.types.is_floating(values):
        raise ConfigError(
            "{uri}: an index needs float32 or float16 vectors, found {type}; encode "
            "into such a table.",
            uri=table.uri,
            type="binary" if values == TYPES["binary"] else values,
        )
    if kind == "IVF_RQ" and table.info.width % _RQ_BLOCK:
        raise ConfigError(
            "kind: IVF_RQ needs a width divisible by {block}, found {width}; choose kind=IVF_SQ.",
            block=_RQ_BLOCK,
            width=table.info.width,
        )
    if partitions is not None and partitions > table.rows:
        raise ConfigError(
            "partitions: found {partitions:,}, expected at most the table's {rows:,} rows.",
            partitions=partitions,
            rows=table.rows,
        )


def _log_stage(event: Any) -> None:
    if event.event == "start":
        logger.info(tr("vector index: {stage}", stage=event.stage.replace("_", " ")))
