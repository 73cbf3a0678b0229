"""What a table has had since examples were mined from it, told by its files: the same file has the
same bytes.

Neither keys nor version numbers would do. A text that was deleted and came back has its old key,
and a vector whose last bits may differ; a table that was removed and made again counts its versions
from 1.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed.encoding.lance_dataset import files_of, open_lance
from medembed.encoding.table import Shard, Table
from medembed.errors import StorageError


@dataclass(frozen=True)
class Delta:
    """Fragments with a row that was not there before, and those without one."""

    added: list[Shard]
    same: list[Shard]

    def still_there(self, row_ids: Collection[str]) -> frozenset[str]:
        """Return which of these rows are where they were; reads the ids fragment by fragment."""
        wanted = pa.array(sorted(row_ids), pa.string())
        present: set[str] = set()
        for shard in self.same:
            ids = _ids(open_lance(shard["uri"], shard["version"]).get_fragment(shard["fragment"]))
            present.update(ids.filter(pc.is_in(ids, value_set=wanted)).to_pylist())
        return frozenset(present)


NO_DELTA = Delta([], [])


def list_files(table: Table) -> dict[str, str]:
    """Return {data files of a fragment: its deletions}, by names that no two writes share."""
    return dict(map(files_of, open_lance(table.uri, table.version).get_fragments()))


def changes_since(table: Table, files: Mapping[str, str], version: int) -> Delta:
    """Return what is different from when the table, in that version, had these files.

    A fragment in which a deletion was taken back, by a rollback, counts as added; so does one of
    which that cannot be told any more, as the version is gone.
    """
    now = open_lance(table.uri, table.version)
    delta = Delta([], [])
    for shard in table.shards():
        names, deleted = files_of(fragment := now.get_fragment(shard["fragment"]))
        is_same = files.get(names) == deleted or (
            names in files and _only_lost(table, fragment, names, version)
        )
        (delta.same if is_same else delta.added).append(shard)
    return delta


def _only_lost(table: Table, fragment: Any, names: str, version: int) -> bool:
    """Return whether each row of the fragment was there in that version already."""
    try:
        before = open_lance(table.uri, version)
    except StorageError:
        return False
    for earlier in before.get_fragments():
        if files_of(earlier).data == names:
            return bool(pc.all(pc.is_in(_ids(fragment), value_set=_ids(earlier))).as_py())
    return False


def _ids(fragment: Any) -> pa.Array:
    return fragment.to_table(columns=["document_id"])["document_id"].combine_chunks()
