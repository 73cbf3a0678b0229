"""Remove outputs so that no half of one passes for whole after a death, and the next run finishes.

The manifest is replaced first by one that says that the output is half removed, and names what is
to go; it goes last.
"""

from medembed import storage
from medembed.artifact import MANIFEST, write_manifest
from medembed.custody.kinds import LeavingManifest, read_any

_BESIDE = "summary.json"  # what a job writes beside an output
_VERSIONS = "_versions"  # of a table: without them no reader opens it


def remove(uri: str) -> None:
    """Remove a finished output or a table, or finish such a removal.

    Of an output go the files that its manifest names; what others put there stays.
    """
    leaving = read_any(uri)
    if not isinstance(leaving, LeavingManifest):
        if leaving is not None:
            names = [_BESIDE, *leaving.names]
        elif storage.exists(storage.join(uri, _VERSIONS)):
            files = storage.list_files(uri)
            names = sorted(files, key=lambda name: not name.startswith(f"{_VERSIONS}/"))
        else:
            return
        leaving = LeavingManifest(files=tuple(names))
        write_manifest(uri, leaving)
    for name in leaving.files:
        storage.delete_file(storage.join(uri, name))
    storage.delete_file(storage.join(uri, MANIFEST))
    storage.delete_empty_folder(uri)
