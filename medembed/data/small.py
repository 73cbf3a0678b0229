"""Data sets of a few tables that fit in memory, made of another one's rows to measure on."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset
from medembed.lineage import DatasetManifest
from medembed.schema import document_of


class Tables(NamedTuple):
    """Columns `schema.CORPUS`, `schema.QUERIES` and `schema.QRELS`."""

    corpus: pa.Table
    queries: pa.Table
    qrels: pa.Table


def write_small(
    output: str, key: str, tables: Tables, *, form: str, source: str, licence: str | None
) -> Dataset:
    """Write a data set whose fingerprint is `key`, and whose queries all are in the test split."""
    assert pc.all(pc.equal(tables.queries["split"], "test")).as_py()
    documents = {document_of(name) for name in tables.corpus["document_id"].to_pylist()}
    with NewOutput(output, key) as target:
        for folder, table in tables._asdict().items():
            target.write_parquet(f"{folder}/part-00000.parquet", table)
        counts = {
            "documents": len(documents),
            "queries": tables.queries.num_rows,
            "judgments": tables.qrels.num_rows,
        }
        manifest = DatasetManifest(
            fingerprint=key,
            source=source,
            format=form,
            licence=licence,
            counts=counts,
            rows={target.files[0]: tables.corpus.num_rows},
            splits={"test": tables.queries.num_rows},
        )
        return Dataset(output, target.commit(manifest))
