"""Keep finished parts of long work, by name, in a folder on storage: a run after any death takes
them up.

A part appears whole or not at all. Names say all that decides a part, so that one is never taken
for another. A part is a few arrays, or JSON that people may read.
"""

import io
import json
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


def pack(arrays: Arrays) -> bytes:
    """Return one NumPy archive without pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack(packed: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `pack`."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@dataclass(frozen=True)
class Records:
    """The parts in the folder `uri`, without pickles. Workers write them, a driver removes them."""

    uri: str

    @classmethod
    def of_output(cls, output: str, key: str) -> "Records":
        """Return the parts of the run that makes the output with this key, in a folder beside
        it.
        """
        return cls(f"{output.rstrip('/')}.run-{key}")

    def names(self) -> set[str]:
        """Return all parts that are there."""
        if not storage.exists(self.uri):
            return set()
        return {
            name.removesuffix(_ENDING)
            for name in storage.list_files(self.uri)
            if name.endswith(_ENDING)
        }

    def has(self, name: str) -> bool:
        return storage.exists(self._place(name))

    def write(self, name: str, arrays: Arrays) -> None:
        """Keep a part; the same name twice means the same part."""
        storage.write_bytes(self._place(name), pack(arrays))

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return a part's arrays. Raises StorageError if it is not there, or damaged."""
        try:
            return unpack(storage.read_bytes(self._place(name)))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
            raise self._damaged(self._place(name)) from None

    def once(self, name: str, make: Callable[[], Arrays]) -> dict[str, npt.NDArray[Any]]:
        """Return a part's arrays, made now if they are not there."""
        if self.has(name):
            return self.read(name)
        made = make()
        self.write(name, made)
        return dict(made)

    def write_json(self, name: str, content: Any) -> None:
        """Keep a part as JSON; what is written later under the same name takes its place."""
        storage.write_bytes(self._place(name, ".json"), json.dumps(content, indent=2).encode())

    def read_json(self, name: str) -> Any:
        """Return what `write_json` kept, None if nothing. Raises StorageError if it is damaged."""
        place = self._place(name, ".json")
        if not storage.exists(place):
            return None
        try:
            return json.loads(storage.read_bytes(place))
        except ValueError:
            raise self._damaged(place) from None

    def clear(self) -> None:
        """Remove the folder."""
        if storage.exists(self.uri):
            storage.delete_folder(self.uri)

    def _place(self, name: str, ending: str = _ENDING) -> str:
        return storage.join(self.uri, name + ending)

    def _damaged(self, place: str) -> StorageError:
        return StorageError(
            f"{place}: damaged, expected what an unfinished run has left; remove {self.uri} and "
            "run again."
        )
