"""Keep each query's vector and nearest documents with the examples, for the next run to go on from.

That run searches again only what a change of the corpus may have touched. Vectors are kept because
one that is computed again by another backend may differ in its last bits, and so in its scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import NewOutput
from medembed.encoding.delta import Delta, changes_since
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.facts import Searched
from medembed.mining.examples import Examples
from medembed.mining.nearest import EarlierList, Nearest, trim_list
from medembed.mining.texts import number_names
from medembed.schema import content_hash, document_of
from medembed.search.float64_scores import Vectors

_FOLDER = "nearest/"
_QUERIES_PER_FILE = 8192


class QuerySearch(NamedTuple):
    """The queries' vectors float32 [Q, width], and the documents nearest to each."""

    vectors: Vectors
    nearest: Sequence[Nearest]


@dataclass(frozen=True)
class PreviousSearch:
    """An earlier run's search; `rows` are mapped from `scratch`, `line` {query id: its row}.

    `unchanged` are the corpus rows in its lists that are where they were.
    """

    rows: pa.Table
    line: Mapping[str, int]
    delta: Delta
    unchanged: frozenset[str]

    def find_vectors(self, queries: Mapping[str, str]) -> dict[int, npt.NDArray[np.float32]]:
        """Return {line of a query in `queries` {id: text}: its vector}, where it has this text."""
        vectors = {}
        for line, row in self._match(queries):
            vectors[line] = np.asarray(self.rows["embedding"][row].values, dtype=np.float32)
        return vectors

    def find_lists(self, queries: Mapping[str, str]) -> dict[int, EarlierList]:
        """Return {line of a query in `queries` {id: text}: what its list still says}."""
        lists = {}
        for line, row in self._match(queries):
            trimmed = trim_list(self._read_list(row), self.unchanged)
            if trimmed is not None:
                lists[line] = trimmed
        return lists

    def _match(self, queries: Mapping[str, str]) -> Iterator[tuple[int, int]]:
        """Give (line in `queries`, row here) of each query that has the same text in both."""
        for line, (query_id, text) in enumerate(queries.items()):
            row = self.line.get(query_id)
            if row is not None and self.rows["content_hash"][row].as_py() == content_hash(text):
                yield line, row

    def _read_list(self, row: int) -> Nearest:
        row_ids = self.rows["rows"][row].as_py()
        scores = np.asarray(self.rows["scores"][row].values, dtype=np.float64)
        is_whole = self.rows["is_whole"][row].as_py()
        return Nearest(list(map(document_of, row_ids)), row_ids, scores, is_whole)


def describe_search(table: Table, dimensions: int) -> Searched:
    """Return what decides scores in this table at these dimensions."""
    ranges = table.codec().ranges
    return Searched(
        encoder=table.info.encoder,
        storage=table.info.storage,
        width=table.info.width,
        ranges=ranges.fingerprint if ranges else None,
        dimensions=dimensions,
    )


def write_search(queries: Mapping[str, str], search: QuerySearch, target: NewOutput) -> None:
    """Write the search of the queries {id: text} as Arrow files, in this order."""
    names = list(queries)
    hashes = list(map(content_hash, queries.values()))
    width = search.vectors.shape[1]
    for number, start in enumerate(range(0, len(names), _QUERIES_PER_FILE)):
        part = slice(start, start + _QUERIES_PER_FILE)
        embeddings = pa.array(np.ascontiguousarray(search.vectors[part]).ravel())
        lists: dict[str, list[Any]] = {"rows": [], "scores": [], "is_whole": []}
        for near in search.nearest[part]:
            lists["rows"].append(near.rows)
            lists["scores"].append(near.scores)
            lists["is_whole"].append(near.is_whole)
        rows = pa.table(
            {
                "query_id": pa.array(names[part], pa.string()),
                "content_hash": pa.array(hashes[part], pa.string()),
                "embedding": pa.FixedSizeListArray.from_arrays(embeddings, width),
                "rows": pa.array(lists["rows"], pa.list_(pa.string())),
                "scores": pa.array(lists["scores"], pa.list_(pa.float64())),
                "is_whole": pa.array(lists["is_whole"], pa.bool_()),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        target.write_bytes(f"{_FOLDER}part-{number:05d}.arrow", sink.getvalue().to_pybytes())


def open_previous(
    previous: Examples, table: Table, dimensions: int, scratch: Path
) -> PreviousSearch:
    """Open the search of earlier examples, and find what has changed in the table since.

    Raises DataError if they come from another table, or from other vectors.
    """
    manifest = previous.manifest
    searched = manifest.searched
    mined_from = manifest.origin.table
    if searched is None or mined_from is None or mined_from.version is None:
        raise DataError(
            "mining.previous {uri}: lacks its search, from which this run goes on; leave it out.",
            uri=previous.uri,
        )
    before = asdict(searched) | {"table": mined_from.uri}
    asked = asdict(describe_search(table, dimensions)) | {"table": table.uri}
    for name, value in asked.items():
        if before[name] != value:
            raise DataError(
                "mining.previous {uri}: mined with {name} {before}, but this run has "
                "{value}; leave mining.previous out, and all queries are searched anew.",
                uri=previous.uri,
                name=name,
                before=before[name],
                value=value,
            )
    parts: list[pa.Table] = []
    for name in manifest.files:
        if name.startswith(_FOLDER):
            path = scratch / f"previous-{len(parts)}.arrow"
            parts.append(_map(storage.join(previous.uri, name), path))
    rows = pa.concat_tables(parts)
    line = number_names(rows["query_id"].to_pylist())
    delta = changes_since(table, manifest.table_files, mined_from.version)
    listed = pc.unique(pc.list_flatten(rows["rows"])).to_pylist()
    return PreviousSearch(rows, line, delta, delta.still_there(listed))


def _map(uri: str, path: Path) -> pa.Table:
    """Copy an Arrow file here; the system reads its pages when they are looked at."""
    path.write_bytes(storage.read_bytes(uri))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
