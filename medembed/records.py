"""Keep finished parts of long work, by name, in a folder on storage: a run after any death takes
them up.

A part is a few arrays, or JSON. It appears whole or not at all. Names say all that decides a part,
so that one is never taken for another.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.errors import StorageError

Arrays = Mapping[str, npt.NDArray[Any]]
_ARRAYS = ".npz"
_JSON = ".json"


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
    """The parts in the folder `uri`. Workers write them, a driver removes them."""

    uri: str

    @classmethod
    def of_output(cls, output: str, key: str) -> "Records":
        """Return the parts of the run that makes this output, in a folder beside it."""
        return cls(f"{output.rstrip('/')}.run-{key}")

    def names(self) -> set[str]:
        """Return the names of all parts that are there."""
        if not storage.exists(self.uri):
            return set()
        paths = map(PurePosixPath, storage.list_files(self.uri))
        return {str(path.with_suffix("")) for path in paths if path.suffix in (_ARRAYS, _JSON)}

    def has(self, name: str) -> bool:
        """Return whether arrays are kept under this name."""
        return storage.exists(self._place(name, _ARRAYS))

    def write(self, name: str, arrays: Arrays) -> None:
        """Keep arrays; the same name twice means the same part."""
        storage.write_bytes(self._place(name, _ARRAYS), pack(arrays))

    def write_json(self, name: str, value: Any) -> None:
        """Keep what JSON can hold; a later value replaces an earlier one."""
        storage.write_bytes(self._place(name, _JSON), json.dumps(value, indent=2).encode())

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return a part's arrays. Raises StorageError if it is not there, or damaged."""
        return self._read(name, _ARRAYS, unpack)

    def read_json(self, name: str) -> Any:
        """Return a part's JSON, None if it is not there. Raises StorageError if it is damaged."""
        if not storage.exists(self._place(name, _JSON)):
            return None
        return self._read(name, _JSON, json.loads)

    def once(self, name: str, make: Callable[[], Arrays]) -> dict[str, npt.NDArray[Any]]:
        """Return a part's arrays, made now if they are not there."""
        if self.has(name):
            return self.read(name)
        made = make()
        self.write(name, made)
        return dict(made)

    def clear(self) -> None:
        """Remove the folder."""
        storage.delete_folder(self.uri)

    def _place(self, name: str, ending: str) -> str:
        return storage.join(self.uri, name + ending)

    def _read(self, name: str, ending: str, parse: Callable[[bytes], Any]) -> Any:
        place = self._place(name, ending)
        try:
            return parse(storage.read_bytes(place))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
            raise StorageError(
                "{place}: damaged, expected what an unfinished run has left; remove {uri} and "
                "run again.",
                place=place,
                uri=self.uri,
            ) from None
