"""The embedding table: a Lance data set whose metadata says which encoder made it, from which data.

A reader sees one version, whole. A change of the corpus adds fragments and marks rows of others as deleted, in one
commit that fails if another run has committed meanwhile.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import schema, storage
from medembed.encoding.changes import Keys, Places
from medembed.errors import StorageError

_METADATA_KEY = b"medembed"
_IDS_PER_QUERY = 2000


@dataclass(frozen=True)
class TableInfo:
    """What an embedding table was made from."""

    encoder: str
    dataset: str
    width: int
    dimensions: tuple[int, ...]
    prompt: str
    max_length: int


class Shard(TypedDict):
    """One fragment of one version of a table: the unit that a worker reads."""

    uri: str
    version: int
    fragment: int
    rows: int


@dataclass(frozen=True)
class Table:
    """One version of an embedding table."""

    uri: str
    version: int
    rows: int
    info: TableInfo

    def shards(self) -> list[Shard]:
        """The table's fragments, in table order."""
        fragments = open_lance(self.uri, self.version).get_fragments()
        return [
            Shard(uri=self.uri, version=self.version, fragment=f.fragment_id, rows=f.count_rows()) for f in fragments
        ]

    def head(self, rows: int) -> npt.NDArray[np.float32]:
        """The first embeddings, float32 [at most rows, width], in table order."""
        parts: list[npt.NDArray[np.float32]] = [np.empty((0, self.info.width), np.float32)]
        for shard in self.shards():
            missing = rows - sum(map(len, parts))
            if missing <= 0:
                break
            parts.append(read_shard(shard)[1][:missing])
        return np.concatenate(parts)

    def lookup(self, document_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings of these documents, float32 [n, width], in this order. Raises StorageError if one is absent."""
        wanted = sorted(set(document_ids))
        found: dict[str, npt.NDArray[np.float32]] = {}
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            rows = open_lance(self.uri, self.version).to_table(
                columns=["document_id", "embedding"], filter=_among(wanted[start : start + _IDS_PER_QUERY])
            )
            found.update(zip(rows["document_id"].to_pylist(), _vectors(rows), strict=True))
        missing = set(wanted) - found.keys()
        if missing:
            raise StorageError(f"{self.uri}: {len(missing)} documents are not in the table, e.g. id {min(missing)!r}.")
        return np.stack([found[key] for key in document_ids])

    def keys(self) -> Keys:
        """Ids and content hashes of all rows, in table order."""
        rows = open_lance(self.uri, self.version).to_table(columns=["document_id", "content_hash"]).combine_chunks()
        return Keys(*(pa.concat_arrays(rows[name].chunks or [pa.array([], pa.string())]) for name in rows.column_names))


def find_table(uri: str, version: int | None = None) -> Table | None:
    """A version, by default the newest; None if there is no table. Raises StorageError for a foreign Lance data set."""
    if not storage.exists(storage.join(uri, "_versions")):
        return None
    dataset = open_lance(uri, version)
    metadata = (dataset.schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None:
        raise StorageError(f"{uri}: a Lance data set that MedEmbed did not write; choose another place.")
    entries = json.loads(metadata)
    info = TableInfo(**(entries | {"dimensions": tuple(entries["dimensions"])}))
    return Table(uri, dataset.version, dataset.count_rows(), info)


def check_encoder(table: Table, encoder: str) -> None:
    """Raises StorageError if the table's vectors come from another encoder: they cannot be compared."""
    if table.info.encoder != encoder:
        raise StorageError(
            f"{table.uri}: made by encoder {table.info.encoder}, but this one is {encoder}; vectors of different "
            "encoders are never compared: encode the corpus with this model."
        )


def read_shard(shard: Shard) -> tuple[list[str], npt.NDArray[np.float32]]:
    """(document ids, embeddings float32 [n, width]) of one fragment."""
    fragment = open_lance(shard["uri"], shard["version"]).get_fragment(shard["fragment"])
    rows = fragment.to_table(columns=["document_id", "embedding"])
    return rows["document_id"].to_pylist(), _vectors(rows)


def find_vectors(uri: str, version: int, hashes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Embeddings of texts by their content hashes, float32 [n, width], in this order; the table has them all."""
    quoted = ", ".join(f"'{name}'" for name in sorted(set(hashes)))
    rows = open_lance(uri, version).to_table(
        columns=["content_hash", "embedding"], filter=f"content_hash IN ({quoted})"
    )
    found = dict(zip(rows["content_hash"].to_pylist(), _vectors(rows), strict=True))
    return np.stack([found[name] for name in hashes])


def write_fragment(uri: str, corpus: pa.Table, embeddings: npt.NDArray[np.float32]) -> str:
    """Writes one uncommitted fragment, which no reader sees; returns its description for `commit_table`."""
    from lance.fragment import write_fragments

    width = embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel(), pa.float32()), width)
    columns = [corpus["document_id"].combine_chunks(), corpus["content_hash"].combine_chunks(), vectors]
    rows = pa.Table.from_arrays(columns, schema=schema.embeddings(width))
    try:
        fragments = write_fragments(rows, uri, mode="append", storage_options=storage.lance_options(uri))
    except OSError as error:  # a full disk, a bucket that is gone
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"{uri}: cannot write vectors: {reason} The table is unchanged.") from None
    return json.dumps([fragment.to_json() for fragment in fragments])


def commit_table(
    uri: str,
    fragments: Sequence[str],
    info: TableInfo,
    *,
    base: Table | None = None,
    dead: Places | None = None,
) -> Table:
    """Makes a new version, in one step: what `base` has without its rows `dead`, then fragments in this order.

    With `dead` None nothing of the base stays. Raises StorageError, and changes nothing, if another run has committed
    since `base`.
    """
    import lance

    metadata = {_METADATA_KEY: json.dumps(asdict(info)).encode()}
    columns = schema.embeddings(info.width).with_metadata(metadata)
    new = [lance.FragmentMetadata.from_json(_as_json(one)) for text in fragments for one in json.loads(text)]
    if base is None or dead is None:
        operation = lance.LanceOperation.Overwrite(columns, new)
    else:
        operation = lance.LanceOperation.Merge([*_without(base, dead), *new], columns)
    newest = find_table(uri)
    seen, there = base and base.version, newest and newest.version
    try:
        if seen != there:  # Lance lets an overwrite go over versions that it has not seen
            raise OSError("conflict")
        dataset = lance.LanceDataset.commit(
            uri, operation, read_version=seen, max_retries=0, storage_options=storage.lance_options(uri)
        )
    except OSError as error:
        if "conflict" not in str(error).lower():
            raise
        raise StorageError(
            f"{uri}: another run has changed the table since version {seen or 0}; this one changed nothing: run again."
        ) from None
    return Table(uri, dataset.version, dataset.count_rows(), info)


def tag_version(table: Table) -> None:
    """Names the version by its data set and encoder, so that people find it again."""
    dataset = open_lance(table.uri)
    name = re.sub(r"[^\w.-]", "-", f"{table.info.dataset}.{table.info.encoder}")
    (dataset.tags.update if name in dataset.tags.list() else dataset.tags.create)(name, table.version)


def _without(base: Table, dead: Places) -> list[Any]:
    """Descriptions of the base's fragments without its rows at these places; each keeps at least one row."""
    ids = base.keys().ids
    kept, start = [], 0
    for fragment in open_lance(base.uri, base.version).get_fragments():
        end = start + fragment.count_rows()
        here = dead[(dead >= start) & (dead < end)]
        assert len(here) < end - start
        kept.append(fragment.delete(_among(ids.take(pa.array(here)).to_pylist())) if len(here) else fragment.metadata)
        start = end
    return kept


def _among(document_ids: Sequence[str]) -> str:
    """The filter of rows with these ids, in Lance's SQL."""
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in document_ids)
    return f"document_id IN ({quoted})"


def _vectors(rows: pa.Table) -> npt.NDArray[np.float32]:
    """float32 [rows, width] of a column of vectors."""
    column = rows["embedding"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(rows.num_rows, column.type.list_size)


def _as_json(fragment: Any) -> str:
    return fragment if isinstance(fragment, str) else json.dumps(fragment)


def open_lance(uri: str, version: int | None = None) -> Any:
    """The Lance data set under a table, at a version, by default the newest. Raises StorageError."""
    import lance

    try:
        return lance.dataset(uri, version=version, storage_options=storage.lance_options(uri))
    except (ValueError, OSError) as error:
        raise StorageError(f"{uri}: cannot open the embedding table: {str(error).splitlines()[0]}") from None
