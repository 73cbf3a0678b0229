"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/*.tsv, whose columns are fixed."""

from medembed.data.formats.delimited import TSV
from medembed.data.formats.files import identify, unpacked_name
from medembed.data.formats.format import CutSource, Format, Kind, ListFiles, Part
from medembed.data.formats.jsonl import JSONL
from medembed.data.mapping import Mapping
from medembed.data.reading import ColumnsConfig, ReadingConfig
from medembed.errors import DataError
from medembed.schema import SPLITS
from medembed.storage import StoredFile

DECLARABLE = ("document", "language", "group", "tags")  # roles whose columns a source may name
_TEXTS: dict[str, Kind] = {"corpus.jsonl": "corpus", "queries.jsonl": "queries"}
_QRELS = ("tsv", "qrels", "qrel", "trec")  # suffixes of BEIR's and TREC's judgments


def beir_mapping(kind: str, source: ReadingConfig) -> Mapping:
    """Return the mapping of a file; title and text are joined unless declared otherwise."""
    shared = {"language": source.columns.language, "group": source.columns.group}
    if kind == "corpus":
        columns = ColumnsConfig(
            document=source.columns.document or ("title", "text"), document_id=("_id",)
        )
        return Mapping("corpus", columns.model_copy(update=shared))
    if kind == "queries":
        columns = ColumnsConfig(query=("text",), query_id=("_id",), tags=source.columns.tags)
        return Mapping("queries", columns.model_copy(update=shared))
    return Mapping(
        "qrels", ColumnsConfig(query_id=("query-id",), document_id=("corpus-id",), score=("score",))
    )


def looks_like_qrels(uri: str) -> bool:
    """Return whether a file's name is one of judgments."""
    name = unpacked_name(uri).lower()
    return name.rpartition(".")[2] in _QRELS or "qrel" in name


def _find(config: ReadingConfig, list_files: ListFiles) -> CutSource | None:
    if config.format not in ("auto", "beir"):
        return None
    files = list_files()
    names = {unpacked_name(file.uri) for file in files}
    if config.format == "auto" and not names.issuperset(_TEXTS):
        return None
    parts: list[Part] = []
    for file in files:
        parts += _cut(file, config.encoding)
    if {part.kind for part in parts} != {"corpus", "queries", "qrels"}:
        raise DataError(
            "{path}: expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/*.tsv.",
            path=config.path,
        )
    return CutSource("beir", tuple(parts), identify(files, config.path))


def _cut(file: StoredFile, encoding: str) -> list[Part]:
    """Return the parts of a file; none if it is no part of a collection."""
    name = unpacked_name(file.uri)
    if name in _TEXTS:
        part = Part(file.uri, JSONL.name, _TEXTS[name], encoding=encoding)
        return JSONL.cut(part, file.size_bytes)
    split, _, suffix = name.rpartition(".")
    is_of_split = suffix.lower() in _QRELS or (suffix == "txt" and split in SPLITS)
    if file.uri.rpartition("/")[0].endswith("/qrels") and is_of_split:
        return [Part(file.uri, TSV.name, "qrels", split=split)]
    return []


BEIR = Format(name="beir", find=_find)
