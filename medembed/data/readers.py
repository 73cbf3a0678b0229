"""Source formats by name: each reader turns a source into rows."""

from collections.abc import Callable

from medembed.data.config import SourceConfig
from medembed.data.ontology import read_ontology
from medembed.data.pairs import read_pairs
from medembed.data.rows import Rows

READERS: dict[str, Callable[[SourceConfig], Rows]] = {"pairs": read_pairs, "ontology": read_ontology}


def read_rows(source: SourceConfig) -> Rows:
    """The rows of a source, as they stand in it. Raises DataError or StorageError."""
    return READERS[source.format](source)
