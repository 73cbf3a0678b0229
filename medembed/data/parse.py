"""The rows of a part -> records, with a watch on columns that the first rows do not have.

The first rows decide what columns mean before any work. A later row may bring one that says
otherwise: then all rows would be read in another way, and the user has to say which.
"""

from collections.abc import Callable, Iterator, Sequence

from medembed.data.chats import chat
from medembed.data.column_names import is_known, show_columns
from medembed.data.config import SourceConfig
from medembed.data.formats.format import Part
from medembed.data.id_rows import beir_document, beir_query, qrel, question
from medembed.data.mapping import Mapping
from medembed.data.parts import locate, read_part
from medembed.data.row_values import decimal_sign, key_at, value_at
from medembed.data.rows import BadRow, Fields, Record
from medembed.data.shapes import (
    Row,
    classed,
    listed,
    own_text,
    pair,
    parallel,
    scored,
)
from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.privacy import show_id
from medembed.schema import CHUNK_MARK, SPLITS

_SHAPES: dict[str, Callable[[Row], Record]] = {
    "pairs": pair,
    "triplets": pair,
    "scores": scored,
    "classes": classed,
    "documents": listed,
    "questions": question,
    "parallel": parallel,
    "texts": own_text,
    "chat": chat,
    "corpus": beir_document,
    "queries": beir_query,
    "qrels": qrel,
}
_OTHER_SPLITS = {
    "training": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "development": "dev",
    "eval": "dev",
    "testing": "test",
}
_COMMA_AFTER_POINT = to_translate(
    "{path!r} has a decimal comma, but a point in {place}; write one of them in the whole column."
)
_POINT_AFTER_COMMA = to_translate(
    "{path!r} has a decimal point, but a comma in {place}; write one of them in the whole column."
)
# columns of unknown names that a part notes: rows whose keys are data have one each
_MOST_UNKNOWN = 100


class LateColumns:
    """Columns of a part's rows that the first rows lack; `unused` are those that say nothing.

    `find` gives the mapping of rows with these columns.
    """

    def __init__(
        self, part: Part, mapping: Mapping, find: Callable[[Sequence[str]], Mapping]
    ) -> None:
        self.part = part
        self.mapping = mapping
        self.find = find
        self.unused: list[str] = []
        self._met = set(mapping.names)

    def check(self, row: Fields, line: int) -> None:
        """Note what is new. Raises DataError if it asks for rows to be read otherwise."""
        if self._met.issuperset(row):
            return
        new = [name for name in row if name not in self._met]
        known = [name for name in new if is_known(name)]
        if known:
            self._check_known(known, line)
        for name in new:
            if name in known or len(self.unused) < _MOST_UNKNOWN:
                self._met.add(name)
                self.unused.append(name.encode(errors="replace").decode())

    def _check_known(self, names: list[str], line: int) -> None:
        what = tr(
            "{place}: no row before has {columns}",
            place=locate(self.part, line),
            columns=tr(" and ").join(map(repr, names)),
        )
        try:
            wider = self.find([*self.mapping.names, *names])
        except DataError as fault:
            raise DataError("{place}: {fault}", place=what, fault=fault) from None
        if (wider.shape, wider.columns) != (self.mapping.shape, self.mapping.columns):
            raise DataError(
                "{what}, with which rows would be {columns}; those before are {before}. Say "
                "which: {choice}.",
                what=what,
                columns=wider.describe(),
                before=self.mapping.describe(),
                choice=tr(self.mapping.keys.choice),
            )

    def describe(self, row: Fields) -> str:
        """Return a sentence for an error about columns that the first rows lack; "" without any."""
        names = [name for name in row if name not in self.mapping.names]
        if not names:
            return ""
        shown = show_columns(names, is_header=False)
        return tr(" The row has columns that the first rows lack: {columns}.", columns=shown)


class _DecimalSigns:
    """The decimal signs of a part's scores, each with the line of its first row."""

    def __init__(self, part: Part, paths: Sequence[str]) -> None:
        self.part = part
        self.paths = paths
        self._lines: dict[str, int] = {}

    def check(self, row: Fields, line: int) -> None:
        """Raise ValueError if the row has a comma and one before a point, or the other way."""
        for path in self.paths:
            sign = decimal_sign(value_at(row, path))
            if sign is None:
                continue
            self._lines.setdefault(sign, line)
            before = min(self._lines.values())
            if before != self._lines[sign]:
                message = _COMMA_AFTER_POINT if sign == "," else _POINT_AFTER_COMMA
                raise ValueError(tr(message, path=path, place=locate(self.part, before)))


def parse_part(
    part: Part, source: SourceConfig, mapping: Mapping, late: LateColumns | None = None
) -> Iterator[tuple[int, Record | BadRow]]:
    """Yield the records of a part with their lines; a row that holds none is a BadRow.

    `late` is None where columns are fixed.
    """
    signs = _DecimalSigns(part, mapping.columns.score)
    for line, fields in read_part(part, source):
        if isinstance(fields, BadRow):
            yield line, fields
            continue
        if late is not None:
            late.check(fields, line)
        record: Record | BadRow
        try:
            signs.check(fields, line)
            record = to_record(fields, mapping, source, part.split)
        except ValueError as fault:
            record = BadRow(f"{fault}{late.describe(fields) if late else ''}")
        yield line, record


def to_record(
    fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None = None
) -> Record:
    """Return what a row says; `split` is that of its file. Raises ValueError without the text."""
    row = Row(fields, mapping, source, _find_split(fields, mapping, split))
    record = _SHAPES[mapping.shape](row)
    for document in record.documents:
        if document.document_id and CHUNK_MARK in document.document_id:
            raise ValueError(
                tr(
                    "document id {name!r} holds {mark!r}, which marks chunks; rename it.",
                    name=show_id(document.document_id),
                    mark=CHUNK_MARK,
                )
            )
    return record


def _find_split(fields: Fields, mapping: Mapping, of_file: str | None) -> str | None:
    """Return the row's own split by our name, else that of its file."""
    named = key_at(fields, mapping.columns.split) or of_file
    if named is None:
        return None
    name = _OTHER_SPLITS.get(named.lower(), named.lower())
    if name not in SPLITS:
        if named == of_file:
            message = to_translate("split {name!r}; expected train, dev (validation) or test.")
            raise ValueError(tr(message, name=of_file))
        message = to_translate("{path!r} is no split; expected train, dev (validation) or test.")
        raise ValueError(tr(message, path=mapping.columns.split[0]))
    return name
