"""Gather the corpus rows that mining looks at: texts on this disk, ids and copies in memory."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.errors import DataError
from medembed.privacy import show_id
from medembed.schema import CHUNK_MARK, content_hash, document_of
from medembed.spelling import words_key

_STORED = pa.schema([("text", pa.string())])


@dataclass(frozen=True)
class CorpusRows:
    """Rows of a corpus by their ids; `line` is a row's place in what follows.

    `content` int64 [rows] numbers distinct texts, `words` int64 [rows] texts of distinct words and
    signs. `chunks` {document: its rows, by id} has the documents in chunks. `batches` are mapped
    from disk, not read.
    """

    line: Mapping[str, int]
    content: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    chunks: Mapping[str, Sequence[str]]
    batches: Sequence[Any]
    starts: Sequence[int]

    def lines(self, row_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the lines of these rows. Raises DataError for one that the corpus lacks."""
        try:
            return np.array([self.line[name] for name in row_ids], dtype=np.int64)
        except KeyError as error:
            raise DataError(
                "corpus: row id {row_id!r} is in the embedding table, but not in the data set; "
                "encode it again.",
                row_id=show_id(str(error.args[0])),
            ) from None

    def text(self, row_id: str) -> str:
        """Read a row's text from disk."""
        line = self.line[row_id]
        batch = bisect_right(self.starts, line) - 1
        return str(self.batches[batch].column(0)[line - self.starts[batch]].as_py())

    def rows_of(self, documents: Iterable[str]) -> list[str]:
        """Return the rows of these documents: their chunks, or themselves, known or not."""
        row_ids: list[str] = []
        for name in documents:
            row_ids += self.chunks.get(name, (name,))
        return row_ids

    def present(self, row_ids: Iterable[str]) -> list[str]:
        """Keep those of the rows that the corpus has."""
        return [name for name in row_ids if name in self.line]


def gather_rows(
    files: Iterable[str], row_ids: Collection[str], documents: Collection[str], scratch: Path
) -> CorpusRows:
    """Gather these rows and all rows of these documents from Parquet files, read one at a time.

    Their texts go to a file in `scratch`, which must stay as long as the result is used.
    """
    rows = pa.array(sorted(row_ids), pa.string())
    owners = pa.array(sorted(documents), pa.string())
    ids: list[str] = []
    content: list[pa.Array] = []
    words: list[str] = []
    path = str(scratch / "texts.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, _STORED) as writer:
        for file in files:
            table = storage.read_parquet(file, ["document_id", "text", "content_hash"])
            owner = pc.list_element(pc.split_pattern(table["document_id"], CHUNK_MARK), 0)
            wanted = pc.or_(
                pc.is_in(table["document_id"], value_set=rows), pc.is_in(owner, value_set=owners)
            )
            for batch in table.filter(wanted).to_batches():
                writer.write_batch(pa.record_batch([batch["text"]], schema=_STORED))
                ids += batch["document_id"].to_pylist()
                content.append(batch["content_hash"])
                words += [content_hash(words_key(text.as_py())) for text in batch["text"]]
    batches = _map(path)
    return CorpusRows(
        number_names(ids),
        _number(pa.chunked_array(content, pa.string())),
        _number(pa.chunked_array([pa.array(words, pa.string())])),
        _group_chunks(ids),
        batches,
        np.cumsum([0, *map(len, batches)])[:-1].tolist(),
    )


def number_names(names: Iterable[str]) -> dict[str, int]:
    """Return {name: its place}."""
    return {name: place for place, name in enumerate(names)}


def _map(path: str) -> list[Any]:
    """Map an Arrow file's batches; the system reads their pages when they are looked at."""
    return list(pa.ipc.open_file(pa.memory_map(path)).read_all().to_batches())


def _number(hashes: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Turn equal hashes into equal numbers."""
    return np.asarray(hashes.combine_chunks().dictionary_encode().indices, dtype=np.int64)


def _group_chunks(row_ids: Iterable[str]) -> dict[str, list[str]]:
    chunks: dict[str, list[str]] = defaultdict(list)
    for row_id in sorted(row_ids):
        document_id = document_of(row_id)
        if document_id != row_id:
            chunks[document_id].append(row_id)
    return dict(chunks)
