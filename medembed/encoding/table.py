"""The embedding table: a Lance data set whose metadata says which encoder made it, from which data.

A reader sees one version, whole. Every fragment holds one corpus file's rows in corpus order, so that the
same data set and encoder give the same table, however many workers wrote it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import schema, storage
from medembed.errors import StorageError

_METADATA_KEY = b"medembed"


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
        fragments = _open(self.uri, self.version).get_fragments()
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
        wanted = set(document_ids)
        found: dict[str, npt.NDArray[np.float32]] = {}
        for shard in self.shards():
            ids, vectors = read_shard(shard)
            found.update((key, vector) for key, vector in zip(ids, vectors, strict=True) if key in wanted)
        missing = wanted - found.keys()
        if missing:
            raise StorageError(f"{self.uri}: {len(missing)} documents are not in the table, e.g. id {min(missing)!r}.")
        return np.stack([found[key] for key in document_ids])


def find_table(uri: str) -> Table | None:
    """The newest version, or None if there is no table. Raises StorageError for a foreign Lance data set."""
    if not storage.exists(storage.join(uri, "_versions")):
        return None
    dataset = _open(uri)
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
    fragment = _open(shard["uri"], shard["version"]).get_fragment(shard["fragment"])
    rows = fragment.to_table(columns=["document_id", "embedding"])
    vectors = rows["embedding"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return rows["document_id"].to_pylist(), flat.reshape(rows.num_rows, -1)


def write_fragment(uri: str, corpus: pa.Table, embeddings: npt.NDArray[np.float32]) -> str:
    """Writes one uncommitted fragment, which no reader sees; returns its description for `commit_table`."""
    from lance.fragment import write_fragments

    width = embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel(), pa.float32()), width)
    columns = [corpus["document_id"].combine_chunks(), corpus["content_hash"].combine_chunks(), vectors]
    rows = pa.Table.from_arrays(columns, schema=schema.embeddings(width))
    fragments = write_fragments(rows, uri, mode="append", storage_options=storage.lance_options(uri))
    return json.dumps([fragment.to_json() for fragment in fragments])


def commit_table(uri: str, fragments: Sequence[str], info: TableInfo) -> Table:
    """Makes fragments, in this order, the table's newest version, in one step."""
    import lance

    metadata = {_METADATA_KEY: json.dumps(asdict(info)).encode()}
    columns = schema.embeddings(info.width).with_metadata(metadata)
    described = [lance.FragmentMetadata.from_json(_as_json(one)) for text in fragments for one in json.loads(text)]
    operation = lance.LanceOperation.Overwrite(columns, described)
    dataset = lance.LanceDataset.commit(uri, operation, storage_options=storage.lance_options(uri))
    return Table(uri, dataset.version, dataset.count_rows(), info)


def _as_json(fragment: Any) -> str:
    return fragment if isinstance(fragment, str) else json.dumps(fragment)


def _open(uri: str, version: int | None = None) -> Any:
    import lance

    try:
        return lance.dataset(uri, version=version, storage_options=storage.lance_options(uri))
    except (ValueError, OSError) as error:
        raise StorageError(f"{uri}: cannot open the embedding table: {str(error).splitlines()[0]}") from None
