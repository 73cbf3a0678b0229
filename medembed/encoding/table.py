"""The embedding table: a Lance data set whose metadata says which encoder made it, and how it keeps
vectors.

A reader sees one version, whole. A change of the corpus adds fragments and marks rows of others as
deleted, in one commit, whose properties name the data set.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import storage
from medembed.codes import Ranges
from medembed.encoding.changes import Keys
from medembed.encoding.codec import Codec, Numbers, Storage
from medembed.encoding.lance_dataset import explained, files_of, open_lance, read_properties
from medembed.errors import StorageError
from medembed.language import to_translate, tr
from medembed.lineage import Source
from medembed.privacy import show_id

METADATA_KEY = b"medembed"
RANGES_KEY = b"medembed.ranges"
DATASET_PROPERTY = "medembed.dataset"
UNSEEN_PROPERTY = "medembed.unseen"
_IDS_PER_QUERY = 2000
REPAIR = to_translate("The table is damaged: copy it again, or encode the corpus into a new one.")


@dataclass(frozen=True)
class TableInfo:
    """What an embedding table was made from, and how it keeps its `width` values."""

    encoder: str
    dataset: str
    width: int
    dimensions: tuple[int, ...]
    prompt: str
    max_length: int
    storage: Storage = "float32"


class Shard(TypedDict):
    """One fragment of one version of a table: the unit that a worker reads."""

    uri: str
    version: int
    fragment: int
    rows: int
    files: str  # what the fragment consists of, so that no other is ever taken for it


@dataclass(frozen=True)
class Table:
    """One version of an embedding table; an `is_unseen` one is for the run that made it."""

    uri: str
    version: int
    rows: int
    info: TableInfo
    is_unseen: bool = False

    @property
    def as_source(self) -> Source:
        """This version of the table, as what is made of it names it."""
        return Source(self.info.encoder, self.uri, self.version)

    def shards(self) -> list[Shard]:
        """Return the table's fragments, in table order."""
        shards: list[Shard] = []
        for fragment in open_lance(self.uri, self.version).get_fragments():
            shards.append(
                {
                    "uri": self.uri,
                    "version": self.version,
                    "fragment": fragment.fragment_id,
                    "rows": fragment.count_rows(),
                    "files": " ".join(files_of(fragment)),
                }
            )
        return shards

    def lookup(self, document_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return embeddings of these documents, float32 [n, width], in this order.

        Raises StorageError if one is absent.
        """
        embeddings = self.find(document_ids)
        missing = set(document_ids) - embeddings.keys()
        if missing:
            raise StorageError(
                "{uri}: {count} documents are not in the table, e.g. id {example!r}.",
                uri=self.uri,
                count=len(missing),
                example=show_id(min(missing)),
            )
        return np.stack([embeddings[key] for key in document_ids])

    def find(self, document_ids: Iterable[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return {id: embedding float32 [width]} of those documents that the table has."""
        wanted = sorted(set(document_ids))
        embeddings: dict[str, npt.NDArray[np.float32]] = {}
        codec = self.codec()
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            with reading(self.uri):
                rows = open_lance(self.uri, self.version).to_table(
                    columns=["document_id", "embedding"],
                    filter=among(wanted[start : start + _IDS_PER_QUERY]),
                )
            embeddings.update(
                zip(rows["document_id"].to_pylist(), codec.read(rows["embedding"]), strict=True)
            )
        return embeddings

    def keys(self) -> Iterator[Keys]:
        """Yield ids and content hashes of each fragment's rows, in table order."""
        for fragment in open_lance(self.uri, self.version).get_fragments():
            with reading(self.uri):
                rows = fragment.to_table(columns=["document_id", "content_hash"])
            yield Keys(rows["document_id"].combine_chunks(), rows["content_hash"].combine_chunks())

    def codec(self) -> Codec:
        """Return what turns vectors into this table's column and back."""
        return _codec_of(open_lance(self.uri, self.version))


def find_table(uri: str, version: int | None = None) -> Table | None:
    """Return a version, by default the last; None if there is no table.

    Raises StorageError for a foreign Lance data set.
    """
    if not storage.find_files(storage.join(uri, "_versions", "*.manifest")):
        return None  # the folder alone is what a run left that died at its first commit
    opened = open_lance(uri, version)
    properties = read_properties(opened, DATASET_PROPERTY)
    info = TableInfo(**_read_metadata(opened), dataset=properties.get(DATASET_PROPERTY, ""))
    return Table(uri, opened.version, opened.count_rows(), info, UNSEEN_PROPERTY in properties)


def check_encoder(table: Table, encoder: str) -> None:
    """Raise StorageError if the vectors come from another encoder: they cannot be compared."""
    if table.info.encoder != encoder:
        raise StorageError(
            "{uri}: made by encoder {encoder}, but this one is {expected}; vectors of "
            "different encoders are never compared: encode the corpus with this model.",
            uri=table.uri,
            encoder=table.info.encoder,
            expected=encoder,
        )


def with_rows(shards: Iterable[Shard]) -> list[tuple[Shard, int]]:
    """Return the shards, each with the number of its rows, as `search_shards` takes them."""
    return [(shard, shard["rows"]) for shard in shards]


def shard_items(table: Table) -> list[dict[str, Any]]:
    """Return {number, shard, rows} of each fragment, as `spread` takes them."""
    items = []
    for number, shard in enumerate(table.shards()):
        items.append({"number": number, "shard": shard, "rows": shard["rows"]})
    return items


class ShardRows(NamedTuple):
    """The rows of a shard: document ids, and embeddings float32 [n, width]."""

    ids: list[str]
    embeddings: npt.NDArray[np.float32]


def read_shard(shard: Shard) -> ShardRows:
    """Return the rows of one fragment."""
    rows, codec = _read_fragment(shard)
    return ShardRows(rows["document_id"].to_pylist(), codec.read(rows["embedding"]))


def read_numbers(shard: Shard) -> Numbers:
    """Return one fragment's embeddings in the numbers that the table keeps [n, size]."""
    rows, codec = _read_fragment(shard)
    return codec.read_numbers(rows["embedding"])


def _read_fragment(shard: Shard) -> tuple[pa.Table, Codec]:
    dataset = open_lance(shard["uri"], shard["version"])
    with reading(shard["uri"]):
        rows = dataset.get_fragment(shard["fragment"]).to_table(
            columns=["document_id", "embedding"]
        )
    return rows, _codec_of(dataset)


def find_column(uri: str, version: int, hashes: Sequence[str]) -> pa.FixedSizeListArray:
    """Return the vectors of these content hashes as the table, which has them all, keeps them."""
    with reading(uri):
        rows = open_lance(uri, version).to_table(
            columns=["content_hash", "embedding"],
            filter=_is_among("content_hash", sorted(set(hashes))),
        )
    row_of = {name: row for row, name in enumerate(rows["content_hash"].to_pylist())}
    return rows["embedding"].combine_chunks().take(pa.array([row_of[name] for name in hashes]))


def reading(uri: str) -> AbstractContextManager[None]:
    """Return what turns Lance's errors inside into one that says what to do."""
    return explained(uri, tr("cannot read the table"), tr(REPAIR))


def _read_metadata(dataset: Any) -> dict[str, Any]:
    """Return the entries of TableInfo that no commit changes.

    Raises StorageError for a foreign Lance data set.
    """
    metadata = (dataset.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise StorageError(
            "{uri}: a Lance data set that MedEmbed did not write; choose another place.",
            uri=dataset.uri,
        )
    entries: dict[str, Any] = json.loads(metadata)
    return entries | {"dimensions": tuple(entries["dimensions"])}


def _codec_of(dataset: Any) -> Codec:
    entries = _read_metadata(dataset)
    stored = dataset.schema.metadata.get(RANGES_KEY)
    return Codec(
        entries["width"],
        entries["storage"],
        Ranges.from_json(json.loads(stored)) if stored else None,
    )


def among(document_ids: Sequence[str]) -> str:
    """Return the filter of rows with these ids, in Lance's SQL."""
    return _is_among("document_id", document_ids)


def _is_among(column: str, values: Sequence[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
