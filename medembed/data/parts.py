"""Finds the parts of a source and reads their rows, whatever its format."""

import itertools
import logging
import unicodedata
from collections.abc import Sequence
from functools import cache, partial

from medembed.data.config import SourceConfig
from medembed.data.formats.beir import looks_like_qrels
from medembed.data.formats.delimited import ONLY_QRELS
from medembed.data.formats.encodings import UTF8
from medembed.data.formats.files import identify, list_files
from medembed.data.formats.format import CutSource, Format, Part
from medembed.data.formats.table import FORMATS, format_of, format_of_file
from medembed.data.formats.text import TEXT
from medembed.data.rows import BadRow, Rows
from medembed.errors import DataError
from medembed.language import tr, tr_count
from medembed.storage import StoredFile

logger = logging.getLogger(__name__)


def find_parts(config: SourceConfig, *, may_join: bool = False) -> CutSource:
    """Return a source in parts; if they `may_join`, files of rows may be of several formats.

    Raises StorageError for none, DataError for unknown files.
    """
    files = cache(partial(list_files, config.path))
    for form in FORMATS.values():
        source = form.find(config, files) if form.find else None
        if source is not None:
            return source
    parts: list[Part] = []
    for file in files():
        form = _choose_format(config, file)
        parts += form.cut(Part(file.uri, form.name, encoding=config.encoding), file.size_bytes)
    names = {part.format for part in parts}
    if not (may_join and all(FORMATS[name].is_table for name in names)):
        check_one_format(parts, config)
    return CutSource(" + ".join(sorted(names)), tuple(parts), identify(files(), config.path))


def log_encodings(parts: Sequence[Part]) -> None:
    """Say which files are read in another encoding than UTF-8."""
    files: dict[str, set[str]] = {}
    for part in parts:
        for uri, encoding in format_of(part).encodings(part):
            if encoding != UTF8:
                files.setdefault(encoding, set()).add(uri)
    for encoding, uris in files.items():
        count = len(uris) - 1
        more = tr_count(" (and {count:,} more file)", " (and {count:,} more files)", count)
        place = min(uris) + (more if count else "")
        logger.info(tr("{place}: read as {encoding}", place=place, encoding=encoding))


def read_part(part: Part, source: SourceConfig) -> Rows:
    """Yield the rows of a part, with names in NFC; a row that cannot be read is a BadRow.

    Raises DataError naming the file where it as a whole cannot be read.
    """
    read = format_of(part).read_rows
    assert read is not None
    for number, row in read(part, source):
        if isinstance(row, BadRow) or all(map(str.isascii, row)):
            yield number, row
        else:
            yield number, {unicodedata.normalize("NFC", name): row[name] for name in row}


def locate(part: Part, number: int) -> str:
    """Return where the n-th line or row of a part stands, as file:line; slow, so for errors."""
    return format_of(part).locate(part, number)


def check_one_format(parts: Sequence[Part], config: SourceConfig) -> None:
    """Raise DataError for parts of several formats."""
    names = sorted({part.format for part in parts})
    if len(names) > 1:
        raise DataError(
            "{path}: files of several formats ({names}); name those of one, e.g. folder/*.jsonl.",
            path=config.path,
            names=", ".join(names),
        )


def _choose_format(config: SourceConfig, file: StoredFile) -> Format:
    """Return the format of a file. Raises DataError for none."""
    if config.format != "auto":
        return FORMATS[config.format]
    form = format_of_file(file.uri)
    if form is None or (form is TEXT and looks_like_qrels(file.uri)):
        raise DataError("{place}: {fault}", place=file.uri, fault=_explain_unknown(file.uri))
    return form


def _explain_unknown(uri: str) -> str:
    if looks_like_qrels(uri):
        return tr(ONLY_QRELS)
    endings = itertools.chain.from_iterable(form.endings for form in FORMATS.values())
    return tr(
        "unknown file type; expected {endings} (or .gz of them): name the files, e.g. "
        "folder/*.jsonl, or source.format.",
        endings=", ".join(endings),
    )
