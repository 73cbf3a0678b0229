"""Which encoding a text file is in, by all of its lines: the first accent may come late."""

import codecs
import re
import zlib
from dataclasses import dataclass

from medembed.data.formats.encodings import (
    EXCEL,
    LATIN_9,
    NO_LATIN_9,
    OF_LATIN_9,
    SAMPLE_BYTES,
    UTF8,
    advise,
    guess_encoding,
)
from medembed.data.formats.lines import TextFile, open_unpacked
from medembed.data.rows import BadRow
from medembed.errors import DataError
from medembed.language import tr


@dataclass
class _Lines:
    """How many lines are of one kind, which is the first, and bytes of some of them.

    These are the first ones, and the first with each of the signs that tell Latin-9.
    """

    count: int = 0
    first: int = 0
    sample: bytes = b""
    unmet: tuple[re.Pattern[bytes], ...] = (OF_LATIN_9, NO_LATIN_9)

    def add(self, number: int, line: bytes) -> None:
        self.count += 1
        self.first = self.first or number
        unmet = tuple(signs for signs in self.unmet if not signs.search(line))
        if len(self.sample) < SAMPLE_BYTES or unmet != self.unmet:
            self.unmet = unmet
            self.sample += line[:SAMPLE_BYTES] + b"\n"


def find_encoding(uri: str) -> str:
    """Return UTF-8 if most lines with accents are in it, Windows-1252 or Latin-9 if none is.

    Raises DataError for another encoding, or for two in one file. Where lines in UTF-8 are the
    most, readers find the others damaged.
    """
    in_utf8 = _Lines()
    by_chance = 0
    other = _Lines()
    with TextFile(uri) as file:
        if file.encoding != UTF8:
            return file.encoding
        if _is_all_utf8(uri):
            return UTF8
        for number, line in file.lines():
            if isinstance(line, BadRow) or line.isascii():
                continue
            try:
                text = line.decode()
            except UnicodeDecodeError:
                other.add(number, line)
                continue
            if _may_be_chance(text):
                by_chance += 1
            else:
                in_utf8.add(number, line)
    if in_utf8.count + by_chance > other.count or not other.count:
        return UTF8
    encoding = guess_encoding(other.sample)
    if in_utf8.count:
        raise DataError(
            "{uri}: two encodings: line {in_utf8} is UTF-8, line {other} {encoding}; write "
            "all lines in one.",
            uri=uri,
            in_utf8=in_utf8.first,
            other=other.first,
            encoding=encoding or tr("is not"),
        )
    if encoding not in (EXCEL, LATIN_9):
        raise DataError(
            "{place}: not UTF-8; {advice}", place=f"{uri}:{other.first}", advice=advise(encoding)
        )
    return encoding


def _is_all_utf8(uri: str) -> bool:
    """Return whether a file is UTF-8 to its end, by blocks: much faster than by lines."""
    decoder = codecs.getincrementaldecoder(UTF8)()
    try:
        with open_unpacked(uri) as stream:
            while block := stream.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except (ValueError, EOFError, OSError, zlib.error):
        return False  # the lines will say what is wrong
    return True


def _may_be_chance(text: str) -> bool:
    """Return whether a line is UTF-8 by one sign that Windows-1252 lacks.

    Such a sign may be two of Windows-1252, as in SANTÉ before a space that does not break.
    """
    beyond = [character for character in text if not character.isascii()]
    return len(beyond) == 1 and not beyond[0].encode("cp1252", "ignore")
