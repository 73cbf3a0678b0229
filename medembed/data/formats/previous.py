"""A data set, read again as the source of the one that grows from it."""

from collections.abc import Iterator
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset, open_dataset
from medembed.data.formats.format import Format, Part
from medembed.data.reading import ReadingConfig
from medembed.data.rows import Document, Qrel, Query, Record
from medembed.schema import document_of

_NAME = "data set"
_TEXTS = ("corpus/part-", "queries/part-")
_DIGITS = 5


def cut_dataset(dataset: Dataset) -> tuple[Part, ...]:
    """Return the texts, in the parts of the source that it was made from, then all judgments."""
    numbers: set[int] = set()
    for name in dataset.manifest.files:
        for prefix in _TEXTS:
            if name.startswith(prefix):
                numbers.add(int(name.removeprefix(prefix)[:_DIGITS]))
    texts = [Part(dataset.uri, _NAME, "rows", number, number + 1) for number in sorted(numbers)]
    return (*texts, Part(dataset.uri, _NAME, "qrels"))


def _read(part: Part, source: ReadingConfig) -> Iterator[Record]:
    """Yield the texts of a part with their ids, chunks joined; or all judgments.

    A query's group, whatever key once made it, holds its queries together under its name.
    """
    dataset = open_dataset(part.uri)
    if part.kind == "qrels":
        yield from _judgments(dataset)
        return
    for document in _documents(dataset, part.start):
        yield Record(documents=(document,))
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
    """Yield whole documents; rows of one document follow each other."""
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
        similarity = row["similarity"]
        qrel = Qrel(row["query_id"], row["document_id"], row["score"], similarity=similarity)
        yield Record(qrels=(qrel,))
    asked = set(dataset.query_ids().to_pylist())
    for row in _rows(dataset, "held_out/"):
        if row["query_id"] in asked:
            yield Record(qrels=(Qrel(row["query_id"], row["document_id"], row["score"]),))


PREVIOUS = Format(name=_NAME, read_records=_read)
