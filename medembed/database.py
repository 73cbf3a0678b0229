"""Join and sort any number of keys in a fixed share of memory, by a DuckDB on local disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from medembed.errors import StorageError, first_line

Database = duckdb.DuckDBPyConnection

SETTINGS: dict[str, str | int | float | bool | list[str]] = {
    "memory_limit": "256MB",  # of what is joined; the rest lies on disk
    "threads": 1,
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,  # nothing is ever fetched
    "autoload_known_extensions": False,
}
_ROWS_PER_READ = 1 << 16


@contextmanager
def open_database() -> Iterator[Database]:
    """Open an empty database, gone with the block.

    Raises StorageError if local disk or memory do not suffice.
    """
    with tempfile.TemporaryDirectory(prefix="medembed-keys-") as folder:
        try:
            with duckdb.connect(
                f"{folder}/keys.db", config={**SETTINGS, "temp_directory": folder}
            ) as database:
                yield database
        except duckdb.Error as error:
            reason = first_line(error)
            raise StorageError(
                "comparing keys in {folder}: {reason}; free space there, or set TMPDIR.",
                folder=tempfile.gettempdir(),
                reason=reason,
            ) from None


def insert(database: Database, name: str, rows: pa.Table) -> None:
    """Add rows, whose columns are the table's in its order."""
    database.register("incoming", rows)
    database.execute(f"INSERT INTO {name} SELECT * FROM incoming")
    database.unregister("incoming")


def read_one(database: Database, query: str) -> tuple[Any, ...]:
    """Return the single row that a query gives."""
    row = database.execute(query).fetchone()
    assert row is not None
    return row


def read_batches(database: Database, query: str) -> Iterator[pa.RecordBatch]:
    """Yield what a query gives, some rows at a time; other queries may run meanwhile."""
    reader = database.cursor().sql(query).to_arrow_reader(_ROWS_PER_READ)
    while True:
        try:
            yield reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:  # DuckDB's own, by way of Arrow
            raise duckdb.IOException(str(error)) from None
