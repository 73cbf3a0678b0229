"""What the versions of a table differ in, by their files: what counts as unchanged has the same bytes.

Keys would not do: a text that was deleted and came back has its old key, and a vector whose last bits may differ.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed.encoding.table import Shard, Table, open_lance


@dataclass(frozen=True)
class Delta:
    """`added`: fragments that an earlier version of the table did not have. `removed`: ids of rows that are no longer
    there, or no longer the same; one whose text changed is in both."""

    added: list[Shard]
    removed: frozenset[str]


NO_DELTA = Delta([], frozenset())


def changes_since(table: Table, version: int) -> Delta:
    """What changed from an earlier version of the table to this one. Raises StorageError if that version is gone."""
    before = {_files(fragment): fragment for fragment in open_lance(table.uri, version).get_fragments()}
    now = {_files(fragment): fragment for fragment in open_lance(table.uri, table.version).get_fragments()}
    places = {fragment.fragment_id for files, fragment in now.items() if files not in before}
    removed: list[str] = []
    for files, fragment in before.items():
        if files not in now:
            removed += _ids(fragment).to_pylist()
        elif _deletions(fragment) != _deletions(now[files]):
            ids = _ids(fragment)
            removed += ids.filter(pc.invert(pc.is_in(ids, value_set=_ids(now[files])))).to_pylist()
    return Delta([shard for shard in table.shards() if shard["fragment"] in places], frozenset(removed))


def _files(fragment: Any) -> tuple[str, ...]:
    """Names of a fragment's data files, which nobody ever writes to again."""
    return tuple(file.path for file in fragment.metadata.files)


def _deletions(fragment: Any) -> str:
    return repr(fragment.metadata.to_json()["deletion_file"])


def _ids(fragment: Any) -> pa.Array:
    return fragment.to_table(columns=["document_id"])["document_id"].combine_chunks()
