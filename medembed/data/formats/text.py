"""Folders of .txt and .md -> rows: a file is one document, its path the id, its first line the
title.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from medembed import storage
from medembed.data.formats.detection import find_encoding
from medembed.data.formats.files import ending, identify, list_files, paths_of, unpacked_name
from medembed.data.formats.format import CutSource, Format, ListFiles, Part
from medembed.data.formats.lines import LONGEST_LINE, TextFile
from medembed.data.reading import AUTO, ReadingConfig
from medembed.data.rows import BadRow, Fields, Rows
from medembed.language import tr
from medembed.storage import StoredFile

_ENDINGS = (".txt", ".md")
_FILES_PER_PART = 1000
_LONGEST_TITLE = 100  # characters; a longer first line is text
_HEADING = re.compile(r"#{1,6}[ \t]+(.*?)[ \t#]*")
_UNDERLINE = re.compile(r"\A(?:=+|-+)[ \t]*\n")  # of a title
_FRONT_MATTER = re.compile(r"---[ \t]*\n([\w -]+:.*?\n)---[ \t]*(?:\n|$)", re.DOTALL)
_TITLE = re.compile(r"^(?:title|titre)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)


def _find(config: ReadingConfig, list_files: ListFiles) -> CutSource | None:
    """Return the files in parts, of many files each: one part a file would be slow."""
    if config.format not in ("auto", "text"):
        return None
    files = list_files()
    if config.format == "auto" and not all(map(_is_text, files)):
        return None
    starts = range(0, len(files), _FILES_PER_PART)
    parts = [
        Part(
            config.path,
            "text",
            start=start,
            end=min(start + _FILES_PER_PART, len(files)),
            encoding=config.encoding,
        )
        for start in starts
    ]
    return CutSource("text", tuple(parts), identify(files, config.path))


def _is_text(file: StoredFile) -> bool:
    return ending(file.uri) in _ENDINGS and "qrel" not in unpacked_name(file.uri).lower()


def _read(part: Part, source: ReadingConfig) -> Rows:
    """Yield a row of each file: id, title and text. An empty file has no title."""
    folders = [_folder(storage.absolute(path)) for path in paths_of(source.path)]
    for number, file in enumerate(_files(part), start=1):
        folder = next(folder for folder in folders if file.uri.startswith(folder))
        name = file.uri.removeprefix(folder).lstrip("/") or file.uri.rpartition("/")[2]
        if file.size_bytes > LONGEST_LINE:
            yield number, BadRow(tr("larger than {size} MiB.", size=LONGEST_LINE >> 20))
            continue
        encoding = find_encoding(file.uri) if part.encoding == AUTO else part.encoding
        with TextFile(file.uri, encoding) as lines:
            yield number, {"id": name, **_to_fields([line for _, line in lines.texts()], name)}


def _files(part: Part) -> list[StoredFile]:
    return list_files(part.uri)[part.start : part.end]


def _encodings(part: Part) -> Iterator[tuple[str, str]]:
    """Yield each file and its encoding; side by side, as files may be many and far away."""
    if part.encoding != AUTO:
        return iter([(part.uri, part.encoding)])
    uris = [file.uri for file in _files(part)]
    with ThreadPoolExecutor() as pool:
        return zip(uris, pool.map(find_encoding, uris), strict=True)


def _folder(path: str) -> str:
    """Return what a path begins with up to the folder before the first * or ?."""
    plain = re.split("[*?]", path)[0]
    return plain if plain == path else plain.rpartition("/")[0]


def _to_fields(lines: list[str], name: str) -> Fields:
    """Return a text and its title: its first line, which then is no part of it, or its name."""
    own_title, text = _take_front_matter("\n".join(lines), name)
    if not text:
        return {"title": None, "text": ""}
    if own_title:
        return {"title": own_title, "text": text}
    first, _, rest = text.partition("\n")
    heading = _HEADING.fullmatch(first.rstrip())
    title = heading[1] if heading else first.strip()
    is_title = heading or (len(title) <= _LONGEST_TITLE and title[-1] not in ".,;:…")
    if is_title and any(map(str.isalpha, title)) and rest.strip():
        return {"title": title, "text": _UNDERLINE.sub("", rest, count=1).strip("\n")}
    stem = unpacked_name(name).rpartition(".")[0] or name
    return {"title": re.sub(r"[_-]+", " ", stem), "text": text}


class _Content(NamedTuple):
    """The title in a file's front matter, if it has one, and the text without front matter."""

    title: str | None
    text: str


def _take_front_matter(content: str, name: str) -> _Content:
    text = content.strip()
    front = _FRONT_MATTER.match(text) if ending(name) == ".md" else None
    if front is None:
        return _Content(None, text)
    title = _TITLE.search(front[1])
    return _Content(title[1].strip("\"'") if title else None, text[front.end() :].strip())


def _locate(part: Part, number: int) -> str:
    return _files(part)[number - 1].uri


def _column_names(uri: str) -> list[str]:
    return ["id", "title", "text"]


def _count_rows(uri: str) -> int:
    return 1


TEXT = Format(
    name="text",
    endings=_ENDINGS,
    find=_find,
    read_rows=_read,
    column_names=_column_names,
    encodings=_encodings,
    locate=_locate,
    count_rows=_count_rows,
)
