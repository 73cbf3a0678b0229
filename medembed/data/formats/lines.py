"""A text file, opened: its lines in UTF-8, with numbers and whole, and what is wrong with them."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Self

from medembed import storage
from medembed.data.formats.encodings import (
    SAMPLE_BYTES,
    UTF8,
    damaged,
    explain_row,
    explain_start,
    has_old_line_ends,
    wide_encoding,
)
from medembed.data.formats.files import is_gzip
from medembed.data.rows import BadRow
from medembed.errors import DataError, StorageError
from medembed.language import tr

LONGEST_LINE = 64 << 20  # bytes; a longer line is no row, and would not fit in a worker
_BOM = b"\xef\xbb\xbf"


def open_unpacked(uri: str) -> BinaryIO:
    """Return a file as a stream of bytes, decompressed if its name ends with .gz."""
    stream = storage.open_input(uri)
    if not is_gzip(uri):
        return stream
    return io.BufferedReader(_Unpacked(stream), 1 << 20)


class _Unpacked(gzip.GzipFile):
    """What a gzip file holds. Closes the file, too, which GzipFile leaves open."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream)
        self._stream = stream

    def close(self) -> None:
        super().close()
        self._stream.close()


def count_lines(uri: str) -> int:
    """Return how many line ends a file has."""
    with open_unpacked(uri) as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


class _Recoded:
    """A stream of text in any encoding, read in UTF-8 and with LF as line end.

    Bytes that are none of the encoding stay as they are, so that their line is no UTF-8.
    """

    def __init__(self, stream: BinaryIO, encoding: str, newline: str | None) -> None:
        self._text = io.TextIOWrapper(stream, encoding, "surrogateescape", newline)
        self.close = self._text.close
        self.seek = self._text.seek
        self.tell = self._text.tell

    def read(self, size: int) -> bytes:
        return self._text.read(size).encode(UTF8, "surrogateescape")

    def readline(self, size: int) -> bytes:
        return self._text.readline(size).encode(UTF8, "surrogateescape")


class TextFile:
    """An open file, in UTF-8 whatever its encoding. Raises DataError for one that is no text.

    Encodings of two bytes a character show in the file itself. One that `is_recoded` has no place
    by bytes, and is read from its start.
    """

    def __init__(self, uri: str, encoding: str = UTF8) -> None:
        self.uri = uri
        self._stream: BinaryIO | _Recoded = open_unpacked(uri)
        self._sample = self.read(SAMPLE_BYTES)
        fault = explain_start(self._sample)
        if fault is not None:
            raise DataError("{place}: {fault}", place=uri, fault=fault)
        wide = wide_encoding(self._sample) if encoding == UTF8 else None
        self.encoding = wide or encoding
        has_cr = has_old_line_ends(self._sample)
        self.is_recoded = has_cr or self.encoding != UTF8
        if self.is_recoded:
            self._stream.seek(0)
            self._stream = _Recoded(self._stream, self.encoding, None if has_cr else "\n")
            self._sample = self.read(SAMPLE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def explain(self, row: bytes, place: str = "") -> str:
        """Say what to do about a row that is not UTF-8; `place` is one within the row."""
        if self.encoding != UTF8:
            return damaged(self.encoding, place)
        return explain_row(row, self._sample, place)

    def begins_with(self, mark: bytes) -> bool:
        """Return whether the file's first character is this one, after blanks."""
        return self._sample.removeprefix(_BOM).lstrip().startswith(mark)

    def read(self, size_bytes: int) -> bytes:
        """Return the first bytes of the file."""
        self._stream.seek(0)
        return self._read_on(lambda: self._stream.read(size_bytes), 0)

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes | BadRow]]:
        """Yield the lines that start in bytes [start, end), numbered from 1, without line ends."""
        self._stream.seek(max(start - 1, 0))
        if start:
            # the rest of a line that starts before, or its line end alone
            self._skip_line()
        position = self._stream.tell() if end is not None else 0
        number = 0
        while end is None or position < end:
            line = self._next_line(number)
            if not line:
                return
            number += 1
            position += len(line)
            if _is_cut(line):
                position += self._skip_line()
                yield number, BadRow(tr("longer than {size} MiB.", size=LONGEST_LINE >> 20))
                continue
            if number == 1 and not start:
                line = line.removeprefix(_BOM)
            yield number, line.rstrip(b"\r\n")

    def texts(self) -> Iterator[tuple[int, str]]:
        """Yield all lines as texts. Raises DataError for bytes that are no text, by line."""
        for number, line in self.lines():
            place = f"{self.uri}:{number}"
            if isinstance(line, BadRow):
                raise DataError("{place}: {fault}", place=place, fault=line.fault)
            try:
                yield number, line.decode()
            except UnicodeDecodeError:
                raise DataError("{place}: {fault}", place=place, fault=self.explain(line)) from None

    def text_lines(self) -> Iterator[str]:
        """Yield all lines with their ends, for the csv module; other bytes become surrogates."""
        self._stream.seek(0)
        number = 0
        while line := self._next_line(number):
            number += 1
            if _is_cut(line):
                raise DataError(
                    "{place}: longer than {size} MiB; expected rows of text.",
                    place=f"{self.uri}:{number}",
                    size=LONGEST_LINE >> 20,
                )
            if number == 1:
                line = line.removeprefix(_BOM)
            yield line.decode("utf-8", "surrogateescape")

    def _next_line(self, number: int) -> bytes:
        return self._read_on(lambda: self._stream.readline(LONGEST_LINE + 1), number)

    def _skip_line(self) -> int:
        skipped = 0
        while block := self._stream.readline(1 << 20):
            skipped += len(block)
            if block.endswith(b"\n"):
                break
        return skipped

    def _read_on(self, read: Callable[[], bytes], number: int) -> bytes:
        """Return what `read` returns after line `number`. Raises errors that name the file."""
        try:
            return read()
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise DataError(
                "{uri}: truncated or damaged gzip file after line {number}; fetch it again.",
                uri=self.uri,
                number=number,
            ) from None
        except UnicodeDecodeError:
            raise DataError(
                "{uri}: not {encoding} after line {number}.",
                uri=self.uri,
                encoding=self.encoding,
                number=number,
            ) from None
        except OSError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StorageError(
                "{uri}: cannot read it after line {number}: {reason}",
                uri=self.uri,
                number=number,
                reason=reason,
            ) from None


def _is_cut(line: bytes) -> bool:
    return len(line) > LONGEST_LINE and not line.endswith(b"\n")
