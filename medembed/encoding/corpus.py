"""What encoding reads of a corpus: keys of all rows, texts of a sample."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.encoding.changes import Keys

# (URI of a Parquet file with columns schema.CORPUS, its number of rows)
CorpusFile = tuple[str, int]


def read_keys(corpus: Sequence[CorpusFile]) -> Iterator[Keys]:
    """Yield ids and content hashes of each file's rows; texts are not read."""
    for uri, _ in corpus:
        rows = storage.read_parquet(uri, ["document_id", "content_hash"])
        yield Keys(rows["document_id"].combine_chunks(), rows["content_hash"].combine_chunks())


class TextSample(NamedTuple):
    """Some rows of a corpus: their ids and texts."""

    ids: list[str]
    texts: list[str]


def sample_texts(corpus: Sequence[CorpusFile], rows: int, files: int) -> TextSample:
    """Return so many rows or a few more, from evenly spaced `files`."""
    chosen = evenly(len(corpus), files)
    ids: list[str] = []
    texts: list[str] = []
    for number in chosen:
        rows_of_file = storage.read_parquet(corpus[number][0], ["document_id", "text"])
        rows_of_file = rows_of_file.take(
            pa.array(evenly(rows_of_file.num_rows, -(-rows // len(chosen))))
        )
        ids += rows_of_file["document_id"].to_pylist()
        texts += rows_of_file["text"].to_pylist()
    return TextSample(ids, texts)


def evenly(total: int, most: int) -> list[int]:
    """Return at most so many places, evenly spaced over [0, total)."""
    places = np.linspace(0, max(total - 1, 0), min(most, total)).astype(np.int64)
    return list(np.unique(places).tolist())
