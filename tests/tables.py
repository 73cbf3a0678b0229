"""A data set and its embedding table written by hand: texts whose vectors are known, without a
model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.table import Table, TableInfo
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, content_hash

Vectors = npt.NDArray[np.float32]


def write_corpus(root: Path, rows: Sequence[Mapping[str, Any]], rows_per_file: int) -> Dataset:
    """A data set with these corpus rows, in files of `rows_per_file`; a row without a text has its
    id for one.
    """
    sizes = {}
    with NewOutput(str(root), "by hand") as output:
        for start in range(0, len(rows), rows_per_file):
            part = [
                {"text": row["document_id"], "language": "en"} | row
                for row in rows[start : start + rows_per_file]
            ]
            for row in part:
                row["content_hash"] = content_hash(row["text"])
            name = f"corpus/part-{start:05d}.parquet"
            output.write_parquet(name, to_table(part, CORPUS))
            sizes[name] = len(part)
        output.commit(DatasetManifest(fingerprint="by hand", rows=sizes))
    return open_dataset(str(root))


def write_table(
    uri: Path,
    dataset: Dataset,
    vectors: Vectors,
    prompt: str = "",
    max_length: int = 48,
    encoder: str = "by hand",
) -> Table:
    """The embedding table of the data set with these rows, float32 [N, D], in corpus order."""
    corpus, fragments, start = dataset.corpus(), [], 0
    for _, rows in dataset.corpus_files():
        column = Codec(vectors.shape[1]).write(vectors[start : start + rows])
        fragments.append(write_fragment(str(uri), corpus.slice(start, rows), column))
        start += rows
    info = TableInfo(encoder, dataset.fingerprint, vectors.shape[1], (), prompt, max_length)
    return commit_table(str(uri), fragments, info)


def rows_at(table: Table, places: Sequence[int]) -> list[tuple[int, list[str]]]:
    """Rows at these places in table order, as `commit_table` takes those to be deleted."""
    found, start = [], 0
    for fragment, keys in enumerate(table.keys()):
        ids = keys.ids.to_pylist()
        here = [ids[place - start] for place in places if start <= place < start + len(ids)]
        found += [(fragment, here)] if here else []
        start += len(ids)
    return found
