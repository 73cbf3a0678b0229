"""An embedding table as Parquet, for people with a vector store of their own."""

from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.encoding.table import Table, read_shard, shard_items
from medembed.errors import StorageError
from medembed.lineage import ExportManifest, Origin
from medembed.matryoshka import check_dimensions, truncate
from medembed.progress import track_rows
from medembed.schema import fingerprint
from medembed.spread import spread


class ExportShard:
    """Turns {number, shard, rows} into {number, rows, name} of a Parquet file."""

    def __init__(self, output: str, dimensions: int) -> None:
        self.output = output
        self.dimensions = dimensions

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        ids, vectors = read_shard(item["shard"])
        short = truncate(vectors, self.dimensions)
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(short.ravel(), pa.float32()), self.dimensions
        )
        name = f"vectors/part-{item['number']:05d}.parquet"
        rows = pa.table({"document_id": pa.array(ids, pa.string()), "embedding": column})
        storage.write_parquet(storage.join(self.output, name), rows)
        return {"number": item["number"], "rows": item["rows"], "name": name}


def export(table: Table, output: str, dimensions: int | None, workers: int) -> str:
    """Write the table's vectors, truncated and normalised, to a folder, and return it.

    Found again if it is there. Raises ModelError for dimensions that the table lacks, StorageError
    for an empty table.
    """
    if not table.rows:
        raise StorageError(
            "{uri}: the embedding table is empty; there is nothing to export.", uri=table.uri
        )
    dimensions = dimensions or table.info.width
    check_dimensions([dimensions], table.info.width)
    key = fingerprint([table.info.encoder, table.info.dataset, table.version, dimensions])
    output = place(output, key)
    if find_output(output, ExportManifest, key) is not None:
        return output
    arguments = {"output": output, "dimensions": dimensions}
    with NewOutput(output, key) as target:
        results = spread(shard_items(table), ExportShard, arguments, workers=workers)
        for row in track_rows(results, table.rows, "export", "documents"):
            target.files.append(row["name"])
        target.files.sort()
        target.commit(
            ExportManifest(
                origin=Origin(table=table.as_source), dimensions=dimensions, rows=table.rows
            )
        )
    return output
