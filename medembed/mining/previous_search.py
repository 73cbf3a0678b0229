"""What examples remember of the search that made them: each query's vector and its nearest
documents.

The next run takes both, and searches again only what a change of the corpus may have touched.
Vectors are kept because one that is computed again by another backend may differ in its last bits;
then its scores would, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import NewOutput
from medembed.encoding.delta import Delta, changes_since
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.lineage import Searched
from medembed.mining.examples import Examples
from medembed.mining.nearest import Known, Nearest, still_known
from medembed.schema import content_hash, document_of
from medembed.search.float64_scores import Vectors

_FOLDER = "nearest/"
_QUERIES_PER_FILE = 8192


@dataclass(frozen=True)
class Memory:
    """What an earlier run remembers; its files are mapped from `scratch`, not read. `line` {query
    id: its line}.
    """

    rows: pa.Table
    line: Mapping[str, int]
    delta: Delta
    there: frozenset[str]  # rows in its lists that are where they were

    def vectors(
        self, query_ids: Sequence[str], texts: Sequence[str]
    ) -> dict[int, npt.NDArray[np.float32]]:
        """{place in these lists: vector} of the queries that it remembers with this text."""
        return {
            place: np.asarray(self.rows["embedding"][line].values, dtype=np.float32)
            for place, line in self._lines(query_ids, texts)
        }

    def known(self, query_ids: Sequence[str], texts: Sequence[str]) -> dict[int, Known]:
        """{place in these lists: what is still known} of the queries whose lists still say
        something.
        """
        found = {
            place: still_known(self._nearest(line), self.there)
            for place, line in self._lines(query_ids, texts)
        }
        return {place: known for place, known in found.items() if known is not None}

    def _lines(self, query_ids: Sequence[str], texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        for place, (name, text) in enumerate(zip(query_ids, texts, strict=True)):
            line = self.line.get(name)
            if line is not None and self.rows["content_hash"][line].as_py() == content_hash(text):
                yield place, line

    def _nearest(self, line: int) -> Nearest:
        rows = self.rows["rows"][line].as_py()
        scores = np.asarray(self.rows["scores"][line].values, dtype=np.float64)
        return Nearest(
            [document_of(row) for row in rows], rows, scores, self.rows["is_whole"][line].as_py()
        )


def what_was_searched(table: Table, dimensions: int) -> Searched:
    """What decides scores in this table at these dimensions."""
    ranges = table.codec().ranges
    return Searched(
        encoder=table.info.encoder,
        storage=table.info.storage,
        width=table.info.width,
        ranges=ranges.fingerprint if ranges else None,
        dimensions=dimensions,
    )


def remember(
    queries: Mapping[str, str], vectors: Vectors, nearest: Sequence[Nearest], target: NewOutput
) -> None:
    """Writes Arrow files of the queries {id: text} with their vectors [Q, D] and lists, in this
    order.
    """
    names, texts = list(queries), list(queries.values())
    for number, start in enumerate(range(0, len(names), _QUERIES_PER_FILE)):
        part = slice(start, start + _QUERIES_PER_FILE)
        embeddings = pa.array(np.ascontiguousarray(vectors[part]).ravel())
        found = nearest[part]
        rows = pa.table(
            {
                "query_id": pa.array(names[part], pa.string()),
                "content_hash": pa.array([content_hash(text) for text in texts[part]], pa.string()),
                "embedding": pa.FixedSizeListArray.from_arrays(embeddings, vectors.shape[1]),
                "rows": pa.array([one.rows for one in found], pa.list_(pa.string())),
                "scores": pa.array([one.scores for one in found], pa.list_(pa.float64())),
                "is_whole": pa.array([one.is_whole for one in found], pa.bool_()),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        target.write_bytes(f"{_FOLDER}part-{number:05d}.arrow", sink.getvalue().to_pybytes())


def recall(previous: Examples, table: Table, dimensions: int, scratch: Path) -> Memory:
    """What earlier examples remember, and what has changed in the table since.

    Raises DataError if they come from another table, or from other vectors.
    """
    manifest = previous.manifest
    searched, mined_from = manifest.searched, manifest.origin.table
    if searched is None or mined_from is None or mined_from.version is None:
        raise DataError(f"mining.previous {previous.uri}: remembers no search; leave it out.")
    before = asdict(searched) | {"table": mined_from.uri}
    asked = asdict(what_was_searched(table, dimensions)) | {"table": table.uri}
    for name, value in asked.items():
        if before[name] != value:
            raise DataError(
                f"mining.previous {previous.uri}: mined with {name} {before[name]}, but this run "
                f"has {value}; leave mining.previous out, and all queries are searched anew."
            )
    files = [name for name in manifest.files if name.startswith(_FOLDER)]
    parts = [
        _map(storage.join(previous.uri, name), scratch / f"previous-{number}.arrow")
        for number, name in enumerate(files)
    ]
    rows = pa.concat_tables(parts)
    line = {name: number for number, name in enumerate(rows["query_id"].to_pylist())}
    delta = changes_since(table, manifest.table_files, mined_from.version)
    listed = pc.unique(pc.list_flatten(rows["rows"])).to_pylist()
    return Memory(rows, line, delta, delta.still_there(listed))


def _map(uri: str, path: Path) -> pa.Table:
    """A local copy of an Arrow file; the system reads its pages when they are looked at."""
    path.write_bytes(storage.read_bytes(uri))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
