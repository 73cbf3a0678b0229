"""What the files of a source are: all of one shape, or questions, documents and judgments that
their ids join.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from medembed.data.column_names import NAMES, first_known, show_columns
from medembed.data.columns import check_declared, choose_mapping, look
from medembed.data.config import SourceConfig
from medembed.data.formats.delimited import are_qrels
from medembed.data.formats.format import CutSource, Part
from medembed.data.formats.table import format_of
from medembed.data.mapping import NEEDS, Mapping, find_own_mapping
from medembed.data.parts import check_one_format, read_part
from medembed.data.rows import BadRow
from medembed.errors import DataError
from medembed.language import to_translate, tr, tr_count

_BY_ID = ("questions", "qrels")
_SAMPLED = 16  # files whose columns say whether there is something to join
_EXPECTED = to_translate(
    "give questions with the id of their document beside documents with id and text, or with "
    "an id of their own and judgments (query_id, document_id) too"
)


@dataclass(frozen=True)
class MappedSource:
    """The parts of a source, and the mapping of each file; None where its columns are fixed."""

    format: str
    parts: tuple[Part, ...]
    mappings: dict[str, Mapping | None]

    def describe(self, path: str) -> Iterator[str]:
        """Yield how the columns are understood, in a line for people, or one for each file."""
        described: dict[str, list[str]] = {}
        for uri, mapping in self.mappings.items():
            text = (
                mapping.describe()
                if mapping
                else tr("{format}, by its fixed columns", format=self.format)
            )
            described.setdefault(text, []).append(uri)
        for text, uris in described.items():
            count = len(uris) - 1
            more = tr_count(" (and {count:,} more file)", " (and {count:,} more files)", count)
            place = path if len(described) == 1 else uris[0] + (more if count else "")
            yield tr("{place}: {text}", place=place, text=text)


@dataclass(frozen=True)
class _File:
    """A file, the columns of its first rows, and their mapping; None where they fit no shape."""

    parts: tuple[Part, ...]
    names: tuple[str, ...]
    mapping: Mapping | None = None

    @property
    def uri(self) -> str:
        return self.parts[0].uri

    @property
    def shape(self) -> str:
        if self.parts[0].kind == "qrels":
            return "qrels"
        return self.mapping.shape if self.mapping else ""

    def describe(self) -> str:
        """Return the file and its columns, for an error."""
        is_header = format_of(self.parts[0]).has_header
        return f"{self.uri} ({show_columns(self.names, is_header=is_header)})"


def map_source(cut_source: CutSource, source: SourceConfig) -> MappedSource:
    """Return the mappings of a source's files: one for all, or each its own if ids join them.

    Raises DataError if the columns fit no shape, or files contradict each other.
    """
    of_files: dict[str, list[Part]] = {}
    for part in cut_source.parts:
        of_files.setdefault(part.uri, []).append(part)
    are_tables = all(part.kind == "rows" and format_of(part).is_table for part in cut_source.parts)
    sampled: list[_File] = []
    if len(of_files) > 1 and are_tables and source.shape == "auto" and source.header:
        sampled = [_look_at(of_files[uri], source) for uri in _sample(of_files)]
        if any(file.shape in _BY_ID for file in sampled):
            files = [_look_at(parts, source) for parts in of_files.values()]
            return _join(files, cut_source, source)
    if are_tables:
        check_one_format(cut_source.parts, source)
    mapping = choose_mapping(cut_source, source)
    if mapping is not None and mapping.shape in _BY_ID:
        raise DataError(
            "{path}: {columns}, but no documents; {advice}.",
            path=source.path,
            columns=mapping.describe(),
            advice=tr(_EXPECTED),
        )
    if mapping is not None and not source.skip_bad_rows:
        _check_alike(sampled, mapping)
    return MappedSource(cut_source.format, cut_source.parts, dict.fromkeys(of_files, mapping))


def _sample(uris: Iterable[str]) -> list[str]:
    """Return some files, one of those whose names differ in numbers alone."""
    by_name: dict[str, str] = {}
    for uri in uris:
        by_name.setdefault(re.sub(r"\d+", "", uri), uri)
    return list(by_name.values())[:_SAMPLED]


def _look_at(parts: Sequence[Part], source: SourceConfig) -> _File:
    if format_of(parts[0]).has_header:
        first = _first_cells(parts[0], source)
        if are_qrels(first):
            judgments = tuple(replace(part, kind="qrels") for part in parts)
            return _File(judgments, ("query-id", "corpus-id", "score"))
    names = look(parts[:1], source).names
    try:
        return _File(tuple(parts), names, find_own_mapping(names, source) if names else None)
    except DataError:
        return _File(tuple(parts), names)


def _first_cells(part: Part, source: SourceConfig) -> list[str]:
    rows = read_part(part, source.model_copy(update={"header": False}))
    _, first = next(rows, (0, BadRow("")))
    return [] if isinstance(first, BadRow) else [str(cell).strip() for cell in first.values()]


def _join(files: Sequence[_File], cut_source: CutSource, source: SourceConfig) -> MappedSource:
    """Return the mappings of files that name texts of each other by id."""
    parts = tuple(chain.from_iterable(file.parts for file in files))
    check_declared(parts, source)
    of_shape: dict[str, list[_File]] = {"questions": [], "qrels": [], "documents": []}
    for file in files:
        shape = "documents" if file.shape == "classes" else file.shape
        if file.names:
            of_shape.setdefault(shape, []).append(file)
    questions, judgments, documents, *others = of_shape.values()
    first = (questions or judgments)[0]
    if others:
        raise DataError(
            "{file} cannot be joined with {other}; {advice}.",
            file=others[0][0].describe(),
            other=first.describe(),
            advice=tr(_EXPECTED),
        )
    if not documents or not questions:
        absent = tr("questions") if documents else tr("documents")
        raise DataError(
            "{file}: names {texts} that no file has; {advice}.",
            file=first.describe(),
            texts=absent,
            advice=tr(_EXPECTED),
        )
    mappings = {file.uri: file.mapping for file in files}
    for file in questions:
        mappings[file.uri] = _map_questions(file, bool(judgments), source)
    for file in documents:
        mappings[file.uri] = _map_documents(file, first, source)
    return MappedSource(cut_source.format, parts, mappings)


def _map_questions(file: _File, are_judged: bool, source: SourceConfig) -> Mapping:
    """Return the mapping of questions; where judgments name them, an `id` is their own."""
    assert file.mapping is not None
    columns = file.mapping.columns
    names_documents = first_known(NAMES["document_id"], columns.document_id) is not None
    if are_judged and not names_documents and not source.columns.document_id:
        own_id = columns.query_id or columns.document_id
        columns = columns.model_copy(update={"query_id": own_id, "document_id": ()})
    role = "query_id" if are_judged else "document_id"
    if not getattr(columns, role):
        raise DataError(
            "{file}: found no {role}; name its column, source.columns.{role}=your_column.",
            file=file.describe(),
            role=role,
        )
    return replace(file.mapping, columns=columns)


def _map_documents(file: _File, first: _File, source: SourceConfig) -> Mapping:
    """Return the mapping of documents, with their ids. Raises DataError if they have none."""
    mapping = find_own_mapping(file.names, source.model_copy(update={"shape": "documents"}))
    if not mapping.columns.document_id:
        raise DataError(
            "{file}: found no id by which {questions} may name its documents; name its column, "
            "source.columns.document_id=your_column.",
            file=file.describe(),
            questions=first.uri,
        )
    return mapping


def _check_alike(files: Sequence[_File], mapping: Mapping) -> None:
    """Raise DataError if a file has no column of a role that each row needs, but others have."""
    for role in NEEDS[mapping.shape]:
        starts = {path.split(".")[0] for path in getattr(mapping.columns, role)}
        starts.update(getattr(mapping.columns, role))
        lacking = [file for file in files if file.names and starts.isdisjoint(file.names)]
        having = [file for file in files if not starts.isdisjoint(file.names)]
        if role != "negative" and lacking and having:
            raise DataError(
                "{file} has no {role} as {other} has; give files of one shape together. "
                "To join them by ids, {advice}.",
                file=lacking[0].describe(),
                role=role,
                other=having[0].describe(),
                advice=tr(_EXPECTED),
            )
