"""A data set and its embedding table written by hand, with known vectors and no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.artifact import NewOutput
from medembed.bits import measure_bits
from medembed.codes import calibrate
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.encoding.codec import Codec, Storage
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.table import Table, TableInfo
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, content_hash

Vectors = npt.NDArray[np.float32]


def write_corpus(root: Path, rows: Sequence[Mapping[str, Any]], rows_per_file: int) -> Dataset:
    """Write a data set with these corpus rows; the text of a row without one is its id."""
    sizes = {}
    with NewOutput(str(root), "by hand") as output:
        for start in range(0, len(rows), rows_per_file):
            documents = []
            for given in rows[start : start + rows_per_file]:
                row = {"text": given["document_id"], "language": "en"} | given
                documents.append(row | {"content_hash": content_hash(row["text"])})
            name = f"corpus/part-{start:05d}.parquet"
            output.write_parquet(name, to_table(documents, CORPUS))
            sizes[name] = len(documents)
        output.commit(DatasetManifest(fingerprint="by hand", rows=sizes))
    return open_dataset(str(root))


def write_table(
    uri: Path,
    dataset: Dataset,
    vectors: Vectors,
    prompt: str = "",
    max_length: int = 48,
    encoder: str = "by hand",
    storage: Storage = "float32",
) -> Table:
    """Write the embedding table of the data set with these rows, float32 [N, D], in its order."""
    corpus = dataset.corpus()
    ranges = calibrate(vectors) if storage == "int8" else None
    ranges = measure_bits([vectors]) if storage == "binary" else ranges
    codec = Codec(vectors.shape[1], storage, ranges)
    fragments = []
    start = 0
    for _, rows in dataset.corpus_files():
        column = codec.write(vectors[start : start + rows])
        fragments.append(write_fragment(str(uri), corpus.slice(start, rows), column))
        start += rows
    width = vectors.shape[1]
    info = TableInfo(encoder, dataset.fingerprint, width, (), prompt, max_length, storage)
    return commit_table(str(uri), fragments, info, ranges=ranges)


def encode_dataset(
    dataset: Dataset, model: Path | str, place: Path | str, workers: int = 1
) -> Table:
    """Encode the data set's corpus into the table at `place`."""
    config = EncodingConfig(workers=workers)
    files = dataset.corpus_files()
    return encode_corpus(files, dataset.fingerprint, str(model), str(place), config)


def rows_at(table: Table, places: Sequence[int]) -> list[tuple[int, list[str]]]:
    """Return the ids at these places of the table by fragment, as `commit_table` deletes them."""
    rows = []
    start = 0
    for fragment, keys in enumerate(table.keys()):
        ids = keys.ids.to_pylist()
        chosen = [ids[row - start] for row in places if start <= row < start + len(ids)]
        if chosen:
            rows.append((fragment, chosen))
        start += len(ids)
    return rows
