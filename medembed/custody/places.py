"""Where the parts of a registered version lie, by its tags; what a model from elsewhere lacks is None."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medembed.artifact import read_manifest
from medembed.encoding.table import Table, find_newest, find_table
from medembed.errors import StorageError
from medembed.registry.models import Version

CHECKPOINT = "checkpoint"
_DATA = ("dataset_uri", "examples_uri", "table")
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
    dataset, examples, table = (_named(version.tags, name) for name in _DATA)
    number = version.tags.get("table_version", "")
    return Places(version.source, dataset, examples, table, int(number) if number.isdecimal() else None)


def data_places(tags: Mapping[str, str]) -> list[str]:
    """Data set, examples and table that a version's or a run's tags name."""
    return [uri for name in _DATA if (uri := _named(tags, name))]


def _named(tags: Mapping[str, str], name: str) -> str | None:
    return None if tags.get(name) in (None, "", NONE) else tags[name]


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
