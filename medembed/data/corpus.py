"""What is encoded: a data set's corpus, or files of one's own with ids and texts.

Texts of one's own are cleaned and hashed as `prepare` does it, so that one text has one content
hash wherever it comes from. Workers need them in Parquet: a copy lies in a scratch folder while
they are at it, and goes with the run.
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
import pyarrow as pa

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.data.config import SourceConfig
from medembed.data.dataset import format_counts, open_dataset
from medembed.data.files import locate
from medembed.data.own_texts import KEYS, Chosen, CopyTexts, DropRows, TextColumns, choose_columns
from medembed.data.parts import Part, Source, find_parts
from medembed.data.passes import run_parts
from medembed.database import Database, insert, open_database, read_batches, read_one
from medembed.errors import DataError, StorageError
from medembed.privacy import show_id
from medembed.schema import fingerprint

logger = logging.getLogger(__name__)

_FORMATS = ("jsonl", "csv", "tsv", "parquet")


@dataclass(frozen=True)
class Corpus:
    """Parquet files with document_id, text and content_hash, each with its number of rows, and what
    identifies them.

    `counts` are documents and what was left out by which rule.
    """

    files: list[tuple[str, int]]
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def open_corpus(uri: str, columns: TextColumns, scratch: str) -> Iterator[Corpus]:
    """The corpus of a data set, or of files of one's own: JSON lines, CSV or Parquet with an id and
    a text in each row.

    Of files of one's own `scratch` holds a copy until the block ends, however it ends; one that a
    killed run has left goes with the next that succeeds. Raises DataError or StorageError for what
    cannot be read, rows without an id, or an id with two texts; an id that comes twice with one
    text counts once.
    """
    if storage.exists(storage.join(uri, MANIFEST)):
        dataset = open_dataset(uri)
        yield Corpus(dataset.corpus_files(), dataset.fingerprint)
        return
    source = SourceConfig(path=uri, header=columns.header, quoting=columns.quoting)
    found = _find(source)
    chosen = choose_columns(found, source, columns)
    texts = storage.join(scratch, fingerprint([found.fingerprint, chosen.columns.model_dump()]))
    try:
        yield _copy(found, source, chosen, texts)
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
            f"{source.path}: looks like {found.format}; expected a data set made by `medembed "
            "prepare`, or JSON lines, CSV or Parquet with id and text: name such files."
        )
    return found


def _copy(found: Source, source: SourceConfig, chosen: Chosen, texts: str) -> Corpus:
    items = [{"number": number, "part": asdict(part)} for number, part in enumerate(found.parts)]
    written = run_parts(
        items, CopyTexts, {"source": source, "chosen": chosen, "texts": texts}, "read"
    )
    nameless = sum(int(row["nameless"]) for row in written)
    if nameless:
        place = next(row["first_nameless"] for row in written if row["nameless"])
        raise DataError(
            f"{place}: no {' or '.join(chosen.columns.id)}; {nameless} rows of {source.path} lack "
            "the id, which names a document from one run to the next: give each its own, or name "
            "another column with columns.id=..."
        )
    files = [
        (storage.join(texts, file["name"]), int(file["rows"]))
        for row in written
        for file in row["files"]
    ]
    owners = [found.parts[int(row["number"])] for row in written for _ in row["files"]]
    left_out = Counter({"empty text": sum(int(row["empty"]) for row in written)})
    if not files:
        raise DataError(
            f"{source.path}: {format_counts(+left_out) or 'empty'}; expected rows with an id "
            "and a text."
        )
    with open_database() as database:
        database.execute(
            "CREATE TABLE keys (file BIGINT, row BIGINT, id VARCHAR, hash VARCHAR, line BIGINT)"
        )
        for number, (uri, rows) in enumerate(files):
            places = [pa.array(np.full(rows, number)), pa.array(np.arange(rows))]
            keys = storage.read_parquet(uri, KEYS)
            names = ["file", "row", *KEYS]
            insert(
                database,
                "keys",
                pa.Table.from_arrays([*places, *(keys[name] for name in KEYS)], names=names),
            )
        _check_ids(database, owners)
        repeated = _find_repeated(database)
        identity, documents = _identify(database)
    left_out["row repeated"] = sum(map(len, repeated.values()))
    counts = {"documents": documents, **+left_out}
    logger.info("%s: %s", source.path, format_counts(counts))
    return Corpus(_drop(files, repeated), identity, counts)


def _check_ids(database: Database, owners: list[Part]) -> None:
    """Raises DataError if an id has two texts, naming both places."""
    clashes = "FROM (SELECT id FROM keys GROUP BY id HAVING min(hash) <> max(hash))"
    count, name = read_one(database, f"SELECT count(*), min(id) {clashes}")
    if not count:
        return
    places = database.execute(
        "SELECT min((file, row, line)) FROM keys WHERE id = ? GROUP BY hash ORDER BY 1 LIMIT 2",
        [name],
    ).fetchall()
    first, second = (locate(owners[file], line) for ((file, _, line),) in places)
    raise DataError(
        f"{second}: id {show_id(name)!r} names another text at {first}; {count} ids name several: "
        "give each document an id of its own."
    )


def _find_repeated(database: Database) -> dict[int, list[int]]:
    """{file: its rows with the id and text of a row before}."""
    found: dict[int, list[int]] = {}
    query = (
        "SELECT file, row, row_number() OVER (PARTITION BY id ORDER BY file, row) AS turn FROM keys"
    )
    for batch in read_batches(
        database, f"SELECT file, row FROM ({query}) WHERE turn > 1 ORDER BY file, row"
    ):
        for entry in batch.to_pylist():
            found.setdefault(entry["file"], []).append(entry["row"])
    return found


def _identify(database: Database) -> tuple[str, int]:
    """(fingerprint of ids and texts, whatever files they stand in, in whatever order; how many
    documents).
    """
    digest, documents = hashlib.sha256(), 0
    for batch in read_batches(database, "SELECT DISTINCT id, hash FROM keys ORDER BY id"):
        documents += batch.num_rows
        for entry in batch.to_pylist():
            digest.update(json.dumps([entry["id"], entry["hash"]]).encode())
    return digest.hexdigest()[:16], documents


def _drop(files: list[tuple[str, int]], repeated: dict[int, list[int]]) -> list[tuple[str, int]]:
    """Files without these rows; those that have none of them stay as they are."""
    kept: list[tuple[str, int]] = []
    items: list[dict[str, Any]] = []
    for number, (uri, rows) in enumerate(files):
        here = repeated.get(number, [])
        if here and len(here) < rows:
            # Another file: an item whose worker dies is done again.
            target = f"{uri.removesuffix('.parquet')}-once.parquet"
            items.append({"number": len(items), "file": uri, "target": target, "drop": here})
            uri = target
        if len(here) < rows:
            kept.append((uri, rows - len(here)))
    if items:
        run_parts(items, DropRows, {}, "merge")
    return kept
