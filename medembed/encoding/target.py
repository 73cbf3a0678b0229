"""The table that a run writes to: what lies there already, and how its vectors are kept."""

from dataclasses import dataclass
from pathlib import Path

from medembed import storage
from medembed.codes import Ranges
from medembed.encoding.codec import Codec, Storage
from medembed.encoding.model_files import model_width, read_card
from medembed.encoding.staging import FOLDER
from medembed.encoding.table import Table, check_encoder
from medembed.errors import StorageError
from medembed.matryoshka import check_trained

_OWN_FOLDERS = ("data/", "_versions/", "_transactions/", "_deletions/", f"{FOLDER}/")


@dataclass(frozen=True, eq=False)
class Target:
    """A table to write to: version 0 for a new one, dimensions None for all of the encoder's."""

    uri: str
    version: int
    storage: Storage
    dimensions: int | None
    ranges: Ranges | None = None

    @classmethod
    def of(cls, table: Table) -> "Target":
        """Return a table that is there, which keeps vectors as it did."""
        return cls(
            table.uri, table.version, table.info.storage, table.info.width, table.codec().ranges
        )

    def codec(self, width: int) -> Codec:
        """Return what writes the vectors of an encoder of this width."""
        return Codec(self.dimensions or width, self.storage, self.ranges)


def check_new(output: str, folder: Path, dimensions: int | None) -> None:
    """Raise an error if no new table of these dimensions can be made of a model at `output`.

    That is a StorageError if something else lies there, a ModelError for untrained dimensions.
    """
    if storage.exists(output):
        for name in storage.list_files(output):
            if not _is_own(name):
                raise StorageError(
                    "{output}: expected nothing or an embedding table, found {name!r}; choose "
                    "another place.",
                    output=output,
                    name=name,
                )
    if dimensions is not None:
        width = model_width(folder) or dimensions
        check_trained([dimensions], read_card(folder).dimensions, width)


def check_same(
    table: Table, encoder: str, storage_type: Storage | None, dimensions: int | None
) -> None:
    """Raise StorageError if a table is another encoder's, or keeps vectors otherwise than asked."""
    check_encoder(table, encoder)
    info = table.info
    if storage_type in (None, info.storage) and dimensions in (None, info.width):
        return
    raise StorageError(
        "{uri}: keeps {width} dimensions as {storage}, but {dimensions} as "
        "{storage_type} were asked for; choose another output, or leave storage and "
        "dimensions out.",
        uri=table.uri,
        width=info.width,
        storage=info.storage,
        dimensions=dimensions or info.width,
        storage_type=storage_type or info.storage,
    )


def _is_own(name: str) -> bool:
    """Return whether a file is one that an unfinished table leaves; a data set has `data/` too."""
    if not name.startswith("data/"):
        return name.startswith(_OWN_FOLDERS)
    return name.startswith("data/.tmp") or name.endswith(".lance")
