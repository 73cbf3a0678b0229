"""Cuts a source into parts, the units that workers read, by the source alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.encodings import SAMPLE_BYTES, explain_start
from medembed.data.hub import hub_parts, is_saved_dataset
from medembed.errors import DataError, StorageError
from medembed.schema import SPLITS, fingerprint

Kind = Literal["rows", "corpus", "queries", "qrels"]
PART_BYTES = 16 << 20
_ROWS_PER_PART = 20_000
# sources up to this size are known by content, larger ones by name, size and time
_HASHED_BYTES = 256 << 20
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".obo": "ontology",
}
_QRELS = ("tsv", "qrels", "qrel", "trec")  # suffixes of BEIR's and TREC's judgments
ONLY_QRELS = (
    "judgments by id, without texts; give the folder that holds them as qrels/test.tsv (TREC's "
    "form or BEIR's) beside corpus.jsonl and queries.jsonl."
)


@dataclass(frozen=True)
class Part:
    """A file, or a piece of it: bytes [start, end) of lines, or row groups or rows of a table.

    `split` is what the source itself says about all of its rows.
    """

    uri: str
    format: str
    kind: Kind = "rows"
    start: int = 0
    end: int | None = None
    split: str | None = None


@dataclass(frozen=True)
class Source:
    """A source's format, its parts in order, and the fingerprint of its files."""

    format: str
    parts: tuple[Part, ...]
    fingerprint: str


def find_parts(config: SourceConfig) -> Source:
    """The parts of a source. Raises StorageError for none, DataError for unknown files."""
    is_hub = config.path.startswith("hf://") or config.format == "huggingface"
    if is_hub or (config.format == "auto" and is_saved_dataset(config.path)):
        pieces, identity = hub_parts(config)
        parts = [Part(config.path, "huggingface", "rows", *piece) for piece in pieces]
        return Source("huggingface", tuple(parts), identity)
    files = [
        file for file in storage.find_files(config.path) if not is_hidden(file[0], config.path)
    ]
    if not files:
        raise StorageError(f"{config.path}: no such file.")
    if config.format == "beir" or (
        config.format == "auto" and _is_beir([uri for uri, _, _ in files])
    ):
        parts = []
        for uri, size, _ in files:
            parts += _beir_parts(uri, size)
        if {part.kind for part in parts} != {"corpus", "queries", "qrels"}:
            raise DataError(
                f"{config.path}: expected a BEIR folder with corpus.jsonl, queries.jsonl and "
                "qrels/*.tsv."
            )
        return Source("beir", tuple(parts), _identity(files, config.path))
    form = _format(config, [uri for uri, _, _ in files])
    parts = []
    for uri, size, _ in files:
        parts += _cut(Part(uri, form), size)
    return Source(form, tuple(parts), _identity(files, config.path))


def _format(config: SourceConfig, uris: list[str]) -> str:
    if config.format != "auto":
        return "jsonl" if config.format == "openai" else config.format
    formats = {uri: _SUFFIXES.get(_suffix(uri)) for uri in uris}
    unknown = [uri for uri, form in formats.items() if form is None]
    if unknown and (
        _suffix(unknown[0]).removeprefix(".") in _QRELS
        or "qrel" in unknown[0].rpartition("/")[2].lower()
    ):
        raise DataError(f"{unknown[0]}: {ONLY_QRELS}")
    if unknown:
        raise DataError(
            f"{unknown[0]}: unknown file type; expected {', '.join(_SUFFIXES)} (or .gz of them): "
            "name the files, e.g. folder/*.jsonl, or source.format."
        )
    if len(set(formats.values())) > 1:
        raise DataError(
            f"{config.path}: files of several formats "
            f"({', '.join(sorted({str(f) for f in formats.values()}))}); name those of one, e.g. "
            "folder/*.jsonl."
        )
    return str(formats[uris[0]])


def _cut(whole: Part, size: int) -> list[Part]:
    """The parts of a file: bytes of lines, row groups, or all of what is compressed or quoted."""
    if whole.format == "parquet":
        return [replace(whole, start=start, end=end) for start, end in row_groups(whole.uri)]
    if whole.format != "jsonl" or is_gzip(whole.uri) or size <= PART_BYTES or _is_array(whole.uri):
        return [whole]
    return [
        replace(whole, start=start, end=min(start + PART_BYTES, size))
        for start in range(0, size, PART_BYTES)
    ]


def _is_array(uri: str) -> bool:
    """Whether a JSON file is one array instead of lines."""
    with storage.open_input(uri) as stream:
        return stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def row_groups(uri: str) -> list[tuple[int, int]]:
    """[first, end) of consecutive row groups of a Parquet file, about as many rows each."""
    try:
        with storage.open_input(uri) as stream:
            about = pq.ParquetFile(stream).metadata
            rows = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        with storage.open_input(uri) as stream:
            start = stream.read(SAMPLE_BYTES)
        fault = None if start.startswith(b"PAR1") else explain_start(start)
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{uri}: {fault or f'not a readable Parquet file: {reason}'}") from None
    starts = [0]
    size = 0
    for number, count in enumerate(rows):
        if size >= _ROWS_PER_PART:
            starts.append(number)
            size = 0
        size += count
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))


def _is_beir(uris: list[str]) -> bool:
    names = {_without_gzip(uri.rpartition("/")[2]) for uri in uris}
    return {"corpus.jsonl", "queries.jsonl"} <= names


def _beir_parts(uri: str, size: int) -> list[Part]:
    folder, _, name = uri.rpartition("/")
    stem = _without_gzip(name)
    if stem in ("corpus.jsonl", "queries.jsonl"):
        return _cut(Part(uri, "jsonl", "corpus" if stem == "corpus.jsonl" else "queries"), size)
    split, _, suffix = stem.rpartition(".")
    if folder.endswith("/qrels") and (
        suffix.lower() in _QRELS or (suffix == "txt" and split in SPLITS)
    ):
        return [Part(uri, "tsv", "qrels", split=split)]
    return []


def has_format(uri: str) -> bool:
    """Whether a file's name tells its format."""
    return _suffix(uri) in _SUFFIXES


def is_gzip(uri: str) -> bool:
    """Whether a file is compressed by gzip, by its name."""
    return uri.lower().endswith(".gz")


def _without_gzip(name: str) -> str:
    return name[:-3] if is_gzip(name) else name


def _suffix(uri: str) -> str:
    name = _without_gzip(uri.rpartition("/")[2])
    return name[name.rfind(".") :].lower() if "." in name else ""


def is_hidden(uri: str, path: str) -> bool:
    """Whether a file in a folder is of the tools that wrote it, such as .DS_Store."""
    inside = uri.removeprefix(path.rstrip("/")) if uri.startswith(path) else ""
    return any(step.startswith((".", "_")) for step in inside.split("/"))


def _identity(files: Sequence[tuple[str, int, int]], path: str) -> str:
    """Of names too: qrels/dev.tsv and qrels/test.tsv mean different things."""
    if sum(size for _, size, _ in files) <= _HASHED_BYTES:
        return fingerprint([[uri.removeprefix(path), hash_file(uri)] for uri, _, _ in files])
    return fingerprint([list(file) for file in files])


def hash_file(uri: str) -> str:
    """The content hash of a file (`schema.content_hash`), read in blocks."""
    digest = hashlib.sha256()
    with storage.open_input(uri) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]
