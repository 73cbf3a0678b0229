"""Where the parts of a registered version lie, by its tags; what a model from elsewhere lacks is None."""

from dataclasses import dataclass
from typing import Any

from medembed.artifact import read_manifest
from medembed.encoding.table import Table, find_newest, find_table
from medembed.errors import StorageError
from medembed.registry.models import Version

CHECKPOINT = "checkpoint"
NONE = "none"  # how a tag says that a model has no examples


@dataclass(frozen=True)
class Places:
    """URIs of a version's parts; None: not recorded, or none."""

    checkpoint: str
    dataset: str | None
    examples: str | None
    table: str | None
    table_version: int | None

    @property
    def data(self) -> list[str]:
        """Those that are known and hold rows."""
        return [uri for uri in (self.dataset, self.examples, self.table) if uri]

    @property
    def all(self) -> list[str]:
        """Those that are known."""
        return [self.checkpoint, *self.data]


def places_of(version: Version) -> Places:
    """Where the version's parts lie."""
    tags = version.tags
    named = {name: tags.get(name) for name in ("dataset_uri", "examples_uri", "table")}
    known = {name: None if uri in (None, "", NONE) else uri for name, uri in named.items()}
    number = tags.get("table_version", "")
    return Places(
        version.source, known["dataset_uri"], known["examples_uri"], known["table"],
        int(number) if number.isdecimal() else None,
    )  # fmt: skip


def known_manifest(uri: str | None, kind: str) -> dict[str, Any] | None:
    """The manifest of a finished output of this kind; None if it is not recorded, gone, or cannot be read here."""
    if uri is None:
        return None
    try:
        return read_manifest(uri, kind)
    except StorageError:
        return None


def known_table(uri: str | None, number: int | None = None) -> Table | None:
    """A table at a version, by default the newest; None if it is not recorded, gone, or cannot be read here."""
    if uri is None:
        return None
    try:
        return find_newest(uri) if number is None else find_table(uri, number)
    except StorageError:
        return None
