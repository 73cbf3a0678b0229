"""Reads a data set again as the source of the next one, and finds the newer texts."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.data.dataset import Dataset, open_dataset
from medembed.data.duplicates import Flags, Ints, encode
from medembed.data.parts import Part
from medembed.data.rows import Document, Qrel, Query, Record
from medembed.schema import document_of

DATASET = "data set"  # the format of these parts
_TEXTS = ("corpus/part-", "queries/part-")
_DIGITS = 5


def parts_of(dataset: Dataset) -> tuple[Part, ...]:
    """Its parts: the texts as they were cut when it was made, then all judgments."""
    numbers: set[int] = set()
    for name in dataset.manifest.files:
        for prefix in _TEXTS:
            if name.startswith(prefix):
                numbers.add(int(name.removeprefix(prefix)[:_DIGITS]))
    texts = [Part(dataset.uri, DATASET, "rows", number, number + 1) for number in sorted(numbers)]
    return (*texts, Part(dataset.uri, DATASET, "qrels"))


def read_again(part: Part) -> Iterator[Record]:
    """The texts of a part with their ids, chunks joined; or all judgments.

    A query's group, whatever key once made it, holds its queries together under its name.
    """
    dataset = open_dataset(part.uri)
    if part.kind == "qrels":
        yield from _judgments(dataset)
        return
    yield from (Record(documents=(one,)) for one in _documents(dataset, part.start))
    for row in _rows(dataset, f"queries/part-{part.start:0{_DIGITS}d}-"):
        query = Query(
            row["text"], row["query_id"], row["language"], tuple(row["tags"]), group=row["group_id"]
        )
        yield Record(queries=(query,))


def _rows(dataset: Dataset, prefix: str) -> Iterator[dict[str, Any]]:
    for name in sorted(dataset.manifest.files):
        if name.startswith(prefix):
            yield from storage.read_parquet(storage.join(dataset.uri, name)).to_pylist()


def _documents(dataset: Dataset, number: int) -> Iterator[Document]:
    """Whole documents: rows of one document follow each other."""
    overlap = dataset.manifest.chunk_overlap
    waiting: Document | None = None
    for row in _rows(dataset, f"corpus/part-{number:0{_DIGITS}d}-"):
        name = document_of(row["document_id"])
        text = row["text"]
        if waiting is not None and waiting.document_id == name:
            text = " ".join([waiting.text, *text.split(" ")[overlap:]])
        elif waiting is not None:
            yield waiting
        waiting = Document(text, name, row["language"], row["label"])
    if waiting is not None:
        yield waiting


def _judgments(dataset: Dataset) -> Iterator[Record]:
    for row in _rows(dataset, "qrels/"):
        yield Record(
            qrels=(
                Qrel(
                    row["query_id"], row["document_id"], row["score"], similarity=row["similarity"]
                ),
            )
        )
    asked = set(dataset.query_ids().to_pylist())
    for row in _rows(dataset, "held_out/"):
        if row["query_id"] in asked:
            yield Record(qrels=(Qrel(row["query_id"], row["document_id"], row["score"]),))


def find_standing(rows: pa.Table, generation: Ints) -> Flags:
    """[R] whether no later generation gives the id of a staged row another text.

    Rows of one generation that contradict each other all stand: that is an error, for others to
    find.
    """
    number, _ = encode(rows["id"])
    content, _ = encode(rows["content"])
    # the first row of the last generation comes last
    order = np.lexsort((-np.arange(len(number)), generation))
    newest = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    newest[number[order]] = order
    latest = newest[number]
    return np.asarray((generation == generation[latest]) | (content == content[latest]))


def with_rows_left_out(lines: pa.Table, stands: Flags) -> pa.Table:
    """Lines of the rows that stand [n] as lines of all rows [R]; the others are not kept."""
    place = np.cumsum(stands) - 1
    wide = lines.take(pa.array(np.maximum(place, 0), mask=~stands))
    kept = pa.array(np.asarray(wide["keep"].fill_null(False)))
    return wide.set_column(wide.column_names.index("keep"), "keep", kept)


def generations(old: Sequence[Part], new: Sequence[Part]) -> Ints:
    """The generation of each part: 0 for old ones, then a number for each file, in order."""
    files = {
        uri: number for number, uri in enumerate(dict.fromkeys(part.uri for part in new), start=1)
    }
    return np.array([0] * len(old) + [files[part.uri] for part in new], dtype=np.int64)
