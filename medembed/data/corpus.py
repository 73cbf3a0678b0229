"""What is encoded: a data set's corpus, or files of one's own with ids and texts.

Texts of one's own are cleaned and hashed as `prepare` does it, so that one text has one content hash wherever it comes
from. Workers need them in Parquet: a copy lies in a scratch folder while they are at it, and goes with the run.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.data.config import SourceConfig
from medembed.data.dataset import format_counts, open_dataset
from medembed.data.files import locate
from medembed.data.own_texts import KEYS, CopyTexts, DropRows, TextColumns, choose_columns
from medembed.data.parts import Part, Source, find_parts
from medembed.data.passes import run_parts
from medembed.errors import DataError, StorageError
from medembed.schema import fingerprint

logger = logging.getLogger(__name__)

_FORMATS = ("jsonl", "csv", "tsv", "parquet")
_HASHED_AT_A_TIME = 10_000
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Parquet files with document_id, text and content_hash, each with its number of rows, and what identifies them.

    `counts` are documents and what was left out by which rule.
    """

    files: list[tuple[str, int]]
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def open_corpus(uri: str, columns: TextColumns, scratch: str) -> Iterator[Corpus]:
    """The corpus of a data set, or of files of one's own: JSON lines, CSV or Parquet with an id and a text in each row.

    Of files of one's own `scratch` holds a copy until the block ends, however it ends; one that a killed run has left
    goes with the next that succeeds. Raises DataError or StorageError for what cannot be read, rows without an id, or
    an id with two texts; an id that comes twice with one text counts once.
    """
    if storage.exists(storage.join(uri, MANIFEST)):
        dataset = open_dataset(uri)
        yield Corpus(dataset.corpus_files(), dataset.fingerprint)
        return
    source = SourceConfig(path=uri)
    found = _find(source)
    columns = choose_columns(found.parts, source, columns)
    texts = storage.join(scratch, fingerprint([found.fingerprint, columns.model_dump()]))
    try:
        yield _copy(found, source, columns, texts)
    except BaseException:
        storage.delete_folder(texts)
        storage.delete_empty_folder(scratch)
        raise
    storage.delete_folder(scratch)


def _find(source: SourceConfig) -> Source:
    try:
        found = find_parts(source)
    except (DataError, StorageError) as error:
        raise DataError(f"{error} Or give a data set made by `medembed prepare`.") from None
    if found.format not in _FORMATS:
        raise DataError(
            f"{source.path}: looks like {found.format}; expected a data set made by `medembed prepare`, or JSON lines, "
            "CSV or Parquet with id and text: name such files."
        )
    return found


def _copy(found: Source, source: SourceConfig, columns: TextColumns, texts: str) -> Corpus:
    items = [{"number": number, "part": asdict(part)} for number, part in enumerate(found.parts)]
    written = run_parts(items, CopyTexts, {"source": source, "columns": columns, "texts": texts}, "read")
    nameless = sum(int(row["nameless"]) for row in written)
    if nameless:
        place = next(row["first_nameless"] for row in written if row["nameless"])
        raise DataError(
            f"{place}: no {' or '.join(columns.id)}; {nameless} rows of {source.path} lack the id, which names a "
            "document from one run to the next: give each its own, or name another column with columns.id=..."
        )
    files = [(storage.join(texts, file["name"]), int(file["rows"])) for row in written for file in row["files"]]
    owners = [found.parts[int(row["number"])] for row in written for _ in row["files"]]
    left_out = Counter({"empty text": sum(int(row["empty"]) for row in written)})
    if not files:
        raise DataError(f"{source.path}: {format_counts(+left_out) or 'empty'}; expected rows with an id and a text.")
    keys = pa.concat_tables(storage.read_parquet(uri, KEYS) for uri, _ in files)
    order = pc.sort_indices(keys, [("document_id", "ascending"), ("content_hash", "ascending")]).to_numpy()
    repeated = _find_repeated(keys, order, files, owners)
    left_out["row repeated"] = len(repeated)
    identity = _identify(keys, np.setdiff1d(order, repeated, assume_unique=True))
    counts = {"documents": keys.num_rows - len(repeated), **+left_out}
    logger.info("%s: %s", source.path, format_counts(counts))
    return Corpus(_drop(files, repeated), identity, counts)


def _find_repeated(keys: pa.Table, order: Rows, files: list[tuple[str, int]], owners: list[Part]) -> Rows:
    """Rows with the id and text of a row before. Raises DataError if an id has two texts, naming both places."""
    ids, hashes = (keys[name].take(order).combine_chunks() for name in ("document_id", "content_hash"))
    same_id, same_text = (
        np.append(False, pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)) for column in (ids, hashes)
    )
    clashes = np.flatnonzero(same_id & ~same_text)
    if len(clashes):
        ends = np.cumsum([rows for _, rows in files])
        pair = sorted(order[clashes[0] - 1 : clashes[0] + 1].tolist())
        first, second = (
            locate(owners[int(np.searchsorted(ends, row, side="right"))], keys["line"][row].as_py()) for row in pair
        )
        count = pc.count_distinct(ids.take(pa.array(clashes))).as_py()
        raise DataError(
            f"{second}: id {ids[int(clashes[0])].as_py()!r} names another text at {first}; {count} ids name several: "
            "give each document an id of its own."
        )
    return np.sort(order[same_id & same_text]).astype(np.int64)


def _identify(keys: pa.Table, rows: Rows) -> str:
    """Fingerprint of these rows' ids and texts, in this order: whatever files they stand in, in whatever order."""
    digest = hashlib.sha256()
    for start in range(0, len(rows), _HASHED_AT_A_TIME):
        some = keys.select(["document_id", "content_hash"]).take(rows[start : start + _HASHED_AT_A_TIME])
        digest.update(json.dumps(some.to_pydict()).encode())
    return digest.hexdigest()[:16]


def _drop(files: list[tuple[str, int]], repeated: Rows) -> list[tuple[str, int]]:
    """The files without these rows of all of them; those that have none stay as they are."""
    kept, start = [], 0
    items: list[dict[str, Any]] = []
    for uri, rows in files:
        here = (repeated[(repeated >= start) & (repeated < start + rows)] - start).tolist()
        if here and len(here) < rows:
            items.append({"number": len(items), "file": uri, "drop": here})
        if len(here) < rows:
            kept.append((uri, rows - len(here)))
        start += rows
    if items:
        run_parts(items, DropRows, {}, "merge")
    return kept
