"""The canonical data set on storage: corpus, queries and qrels as Parquet beside a manifest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.schema import CORPUS, QRELS, QUERIES, fingerprint

KIND = "data set"
ROWS_PER_FILE = 1024  # one file is one unit of work for an encoding worker: about 10 s on one core


@dataclass(frozen=True)
class Dataset:
    """A finished data set: where it lies and what its manifest says."""

    uri: str
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    def corpus_files(self) -> list[tuple[str, int]]:
        """(URI, number of rows) of the corpus files, in corpus order."""
        names = [name for name in self.manifest["files"] if name.startswith("corpus/")]
        rest = self.manifest["counts"]["documents"] % ROWS_PER_FILE or ROWS_PER_FILE
        counts = [ROWS_PER_FILE] * (len(names) - 1) + [rest]
        return [(storage.join(self.uri, name), count) for name, count in zip(names, counts, strict=True)]

    def corpus(self) -> pa.Table:
        """All documents, columns `schema.CORPUS`."""
        return self._read("corpus/", CORPUS)

    def queries(self, split: str | None = None, tag: str | None = None) -> pa.Table:
        """Queries of a split (all of them for None), columns `schema.QUERIES`; with a tag, only those that bear it."""
        table = self._read("queries/", QUERIES)
        keep = [
            split in (None, row["split"]) and (tag is None or tag in row["tags"])
            for row in table.select(["split", "tags"]).to_pylist()
        ]
        return table.filter(pa.array(keep, pa.bool_()))

    def qrels(self) -> dict[str, dict[str, float]]:
        """query_id -> {document_id: score}."""
        judged: dict[str, dict[str, float]] = {}
        for row in self._read("qrels/", QRELS).to_pylist():
            judged.setdefault(row["query_id"], {})[row["document_id"]] = row["score"]
        return judged

    def _read(self, folder: str, schema: pa.Schema) -> pa.Table:
        names = [name for name in self.manifest["files"] if name.startswith(folder)]
        tables = [storage.read_parquet(storage.join(self.uri, name)) for name in names]
        return pa.concat_tables(tables) if tables else schema.empty_table()


def open_dataset(uri: str) -> Dataset:
    """The data set at `uri`. Raises StorageError if there is no finished one."""
    return Dataset(uri, read_manifest(uri, KIND))


def describe(dataset: Dataset) -> str:
    """One line for people: what was kept, and what was dropped by which rule."""
    kept, splits, dropped = (format_counts(dataset.manifest[name]) for name in ("counts", "splits", "dropped"))
    return f"data set {dataset.fingerprint}: kept {kept} (queries: {splits}); dropped {dropped or 'nothing'}"


def format_counts(counts: dict[str, int]) -> str:
    """{"documents": 1200} -> "1,200 documents", joined by commas."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def write_dataset(output: NewOutput, tables: dict[str, pa.Table], entries: dict[str, Any]) -> Dataset:
    """Writes and commits {"corpus": ..., "queries": ..., "qrels": ...}; `entries` go into the manifest."""
    for name, table in tables.items():
        for number, part in enumerate(_parts(table)):
            output.write_parquet(f"{name}/part-{number:05d}.parquet", part)
    identity = {name: _table_fingerprint(table) for name, table in tables.items()}
    return Dataset(output.uri, output.commit({"fingerprint": fingerprint(identity), **entries}))


def to_table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of this schema."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    yield from (table.slice(start, ROWS_PER_FILE) for start in range(0, table.num_rows, ROWS_PER_FILE))


def _table_fingerprint(table: pa.Table) -> str:
    """Of the rows as a set: the order in which they lie does not count."""
    return fingerprint(sorted(fingerprint(row) for row in table.to_pylist()))
