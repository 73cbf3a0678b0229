"""What is encoded: a data set's corpus, or files of one's own with ids and texts.

Texts of one's own are cleaned and hashed as `prepare` does it, so that one text has one content
hash wherever it comes from. Workers need them in Parquet: a copy lies in a scratch folder while
they are at it, and goes with the run.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.data.build import run_parts
from medembed.data.config import SourceConfig
from medembed.data.dataset import format_counts, open_dataset
from medembed.data.formats.format import CutSource, Part
from medembed.data.formats.table import FORMATS
from medembed.data.own_texts import KEYS, CopyTexts, TextColumns, choose_columns
from medembed.data.parts import find_parts, locate, log_encodings
from medembed.database import Database, insert, open_database, read_batches, read_one
from medembed.errors import DataError, StorageError
from medembed.language import to_translate, tr
from medembed.privacy import show_id
from medembed.schema import fingerprint

logger = logging.getLogger(__name__)

Files = list[tuple[str, int]]  # (URI, number of rows)


@dataclass(frozen=True)
class Corpus:
    """Parquet files with document_id, text and content_hash, and what identifies them.

    `counts` are documents and what was left out by which rule.
    """

    files: Files
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def open_corpus(uri: str, columns: TextColumns, scratch: str) -> Iterator[Corpus]:
    """Yield the corpus of a data set, or of files of one's own with an id and a text in each row.

    Of files of one's own `scratch` holds a copy until the block ends, however it ends; one that a
    killed run has left goes with the next that succeeds. Raises DataError or StorageError for what
    cannot be read, rows without an id, or an id with two texts; an id that comes twice with one
    text counts once.
    """
    if storage.exists(storage.join(uri, MANIFEST)):
        dataset = open_dataset(uri)
        yield Corpus(dataset.corpus_files(), dataset.fingerprint)
        return
    source = SourceConfig(
        path=uri, header=columns.header, quoting=columns.quoting, encoding=columns.encoding
    )
    cut_source = _find(source)
    texts = storage.join(scratch, fingerprint([cut_source.fingerprint, columns.model_dump()]))
    try:
        yield _copy(cut_source, source, columns, texts)
    except BaseException:
        storage.delete_folder(texts)
        storage.delete_empty_folder(scratch)
        raise
    storage.delete_folder(scratch)


def _find(source: SourceConfig) -> CutSource:
    try:
        cut_source = find_parts(source)
    except (DataError, StorageError) as error:
        raise DataError(
            "{fault} Or give a data set made by `medembed prepare`.", fault=error
        ) from None
    form = FORMATS[cut_source.format]
    if not form.endings or form.read_rows is None:
        raise DataError(
            "{path}: looks like {format}; expected a data set made by `medembed "
            "prepare`, or JSON lines, CSV or Parquet with id and text: name such files.",
            path=source.path,
            format=form.name,
        )
    return cut_source


def _copy(cut_source: CutSource, source: SourceConfig, columns: TextColumns, texts: str) -> Corpus:
    log_encodings(cut_source.parts)
    mapping = choose_columns(cut_source, source, columns)
    items = [
        {"number": number, "part": asdict(part)} for number, part in enumerate(cut_source.parts)
    ]
    reading = {"source": source, "columns": columns, "mapping": mapping, "texts": texts}
    written = run_parts(items, CopyTexts, reading, tr("read"))
    nameless = sum(int(row["nameless"]) for row in written)
    if nameless:
        place = next(row["first_nameless"] for row in written if row["nameless"])
        raise DataError(
            "{place}: no {columns}; {count} rows of {path} lack the id, which "
            "names a document from one run to the next: give each its own, or name another "
            "column with columns.id=...",
            place=place,
            columns=tr(" or ").join(mapping.columns.document_id),
            count=nameless,
            path=source.path,
        )
    files: Files = []
    owners: list[Part] = []
    for row in written:
        for file in row["files"]:
            files.append((storage.join(texts, file["name"]), int(file["rows"])))
            owners.append(cut_source.parts[int(row["number"])])
    left_out = Counter({to_translate("empty text"): sum(int(row["empty"]) for row in written)})
    if not files:
        raise DataError(
            "{path}: {found}; expected rows with an id and a text.",
            path=source.path,
            found=format_counts(+left_out) or tr("empty"),
        )
    with open_database() as database:
        _insert_keys(database, files)
        _check_ids(database, owners)
        repeated = _find_repeated(database)
        identity, documents = _identify(database)
    left_out[to_translate("row repeated")] = sum(map(len, repeated.values()))
    counts = {"documents": documents, **+left_out}
    logger.info("%s: %s", source.path, format_counts(counts))
    return Corpus(_drop(files, repeated), identity, counts)


def _insert_keys(database: Database, files: Files) -> None:
    """Fill a table with the key of every row, its file and its row in that file."""
    database.execute(
        "CREATE TABLE keys (file BIGINT, row BIGINT, id VARCHAR, hash VARCHAR, line BIGINT)"
    )
    for number, (uri, rows) in enumerate(files):
        keys = storage.read_parquet(uri, KEYS)
        keys = keys.add_column(0, "row", pa.array(np.arange(rows)))
        insert(database, "keys", keys.add_column(0, "file", pa.array(np.full(rows, number))))


def _check_ids(database: Database, owners: Sequence[Part]) -> None:
    """Raise DataError if an id has two texts, naming both places."""
    clashes = "FROM (SELECT id FROM keys GROUP BY id HAVING min(hash) <> max(hash))"
    count, name = read_one(database, f"SELECT count(*), min(id) {clashes}")
    if not count:
        return
    rows = database.execute(
        "SELECT min((file, row, line)) FROM keys WHERE id = ? GROUP BY hash ORDER BY 1 LIMIT 2",
        [name],
    ).fetchall()
    first, second = (locate(owners[file], line) for ((file, _, line),) in rows)
    raise DataError(
        "{place}: id {name!r} names another text at {first}; {count} ids name several: "
        "give each document an id of its own.",
        place=second,
        name=show_id(name),
        first=first,
        count=count,
    )


def _find_repeated(database: Database) -> dict[int, list[int]]:
    """Return {file: its rows with the id and text of a row before}."""
    repeated: dict[int, list[int]] = {}
    turns = (
        "SELECT file, row, row_number() OVER (PARTITION BY id ORDER BY file, row) AS turn FROM keys"
    )
    query = f"SELECT file, row FROM ({turns}) WHERE turn > 1 ORDER BY file, row"
    for batch in read_batches(database, query):
        for entry in batch.to_pylist():
            repeated.setdefault(entry["file"], []).append(entry["row"])
    return repeated


def _identify(database: Database) -> tuple[str, int]:
    """Return (fingerprint of ids and texts in whatever order, number of documents)."""
    digest = hashlib.sha256()
    documents = 0
    for batch in read_batches(database, "SELECT DISTINCT id, hash FROM keys ORDER BY id"):
        documents += batch.num_rows
        for entry in batch.to_pylist():
            digest.update(json.dumps([entry["id"], entry["hash"]]).encode())
    return digest.hexdigest()[:16], documents


def _drop(files: Files, repeated: dict[int, list[int]]) -> Files:
    """Return the files without these rows; only those that have some of them are written anew."""
    kept: Files = []
    for number, (uri, rows) in enumerate(files):
        drop = repeated.get(number, [])
        if len(drop) == rows:
            continue
        if drop:
            keep = np.setdiff1d(np.arange(rows), drop)
            storage.write_parquet(uri, storage.read_parquet(uri).take(pa.array(keep)))
        kept.append((uri, rows - len(drop)))
    return kept
