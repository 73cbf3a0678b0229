"""Finished parts of long work, by name, in a folder on storage: a run after any death takes them up.

A part appears whole or not at all. Names say all that decides a part, so that one is never taken for another.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.errors import StorageError

Arrays = Mapping[str, npt.NDArray[Any]]
_ENDING = ".npz"


@dataclass(frozen=True)
class Records:
    """The parts in the folder `uri`, each a few arrays without pickles. Workers write them, a driver removes them."""

    uri: str

    def names(self) -> set[str]:
        """All parts that are there."""
        if not storage.exists(self.uri):
            return set()
        return {name.removesuffix(_ENDING) for name in storage.list_files(self.uri) if name.endswith(_ENDING)}

    def has(self, name: str) -> bool:
        return storage.exists(self._place(name))

    def write(self, name: str, arrays: Arrays) -> None:
        """Keeps a part; the same name twice means the same part."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        storage.write_bytes(self._place(name), buffer.getvalue())

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """A part's arrays. Raises StorageError if it is not there, or damaged."""
        try:
            with np.load(io.BytesIO(storage.read_bytes(self._place(name))), allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
            raise StorageError(
                f"{self._place(name)}: damaged, expected what an unfinished run has left; remove {self.uri} and run "
                "again."
            ) from None

    def once(self, name: str, make: Callable[[], Arrays]) -> dict[str, npt.NDArray[Any]]:
        """A part's arrays, made now if they are not there."""
        if self.has(name):
            return self.read(name)
        self.write(name, made := make())
        return dict(made)

    def clear(self) -> None:
        """Removes the folder."""
        if storage.exists(self.uri):
            storage.delete_folder(self.uri)

    def _place(self, name: str) -> str:
        return storage.join(self.uri, name + _ENDING)
