"""What a file is by its bytes, and what to do about one that is not text in UTF-8."""

import re

SAMPLE_BYTES = 64 << 10  # of a file's start
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NO_TEXT = {
    rb"\x1f\x8b": "compressed by gzip; give it a name that ends in .gz.",
    rb"BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd": (
        "compressed; unpack it, or compress it by gzip."
    ),
    rb"PK\x03\x04": (
        "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8."
    ),
    rb"\xd0\xcf\x11\xe0": "an Excel or Word file; save it as CSV UTF-8.",
    rb"PAR1\x15": "Parquet; give it a name that ends in .parquet.",
    rb"version https://git-lfs\.": (
        "a Git LFS pointer instead of the file; fetch that with git lfs pull."
    ),
    rb"(?i)\s*<(!doctype )?html": "a web page instead of the file; download that itself.",
}
_CONVERT = "convert the file: iconv -f {encoding} -t UTF-8."
# Signs of Western European texts; of other encodings' bytes, read as WINDOWS-1252, most are none of
# them.
_LETTERS = set("àâäáãåæçèéêëìíîïñòóôõöøùúûüýÿß")
_WESTERN = _LETTERS | set("œº°µ±²³«»‹›’‘“”–—…€§·¼½¾×÷¿¡ª†‰™®©\xa0")
_WESTERN_SHARE = 0.2  # of bytes beyond ASCII, at most
# In GB18030, GBK and GB2312 the 3,755 commonest characters begin with the bytes B0 to D7. Korean
# ends at C8.
_CHINESE = (0xB0, 0xD7)
_NOT_KOREAN = (0xC9, 0xD7)


def explain_start(start: bytes) -> str | None:
    """Say what is wrong with a file that starts like this; None if it may be UTF-8."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return f"{encoding}; expected UTF-8: {_CONVERT.format(encoding=encoding)}"
    for pattern, fault in _NO_TEXT.items():
        if re.match(pattern, start):
            return fault
    wide = _wide_encoding(start)
    if wide is not None:
        return f"{wide} without a mark; expected UTF-8: {_CONVERT.format(encoding=wide)}"
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        return "lines end as on old Macintoshes (CR); convert them: tr '\\r' '\\n' < old > new."
    return None


def explain_row(row: bytes, start: bytes, place: str = "") -> str:
    """Say what to do about a row that is not UTF-8 in a file that starts like this.

    In a file whose other rows are UTF-8 the row alone is damaged, and to convert the file would
    damage the others.
    """
    evidence = row if _is_utf8(start) else start
    if _is_mostly_utf8(start) or _is_mostly_utf8(evidence):
        return f"not UTF-8{place}, as the file is otherwise; mend this row where it comes from."
    encoding = guess_encoding(evidence)
    if encoding is None:
        return (
            f"not UTF-8{place}; find out its encoding (file -i), then "
            f"{_CONVERT.format(encoding='ENCODING')}"
        )
    return f"not UTF-8{place}; looks like {encoding}: {_CONVERT.format(encoding=encoding)}"


def guess_encoding(sample: bytes) -> str | None:
    """Name the encoding of bytes that are not UTF-8, as iconv has it; None if unsure."""
    text = sample.decode("cp1252", "replace")
    beyond = [character.lower() for character in text if not character.isascii()]
    # most: in DOS and Macintosh texts none are
    letters = sum(character in _LETTERS for character in beyond)
    if (
        len(beyond) <= _WESTERN_SHARE * len(text)
        and _WESTERN.issuperset(beyond)
        and letters > len(beyond) / 2
    ):
        return "WINDOWS-1252"
    return "GB18030" if _is_chinese(sample) else None


def _is_chinese(sample: bytes) -> bool:
    """Return whether nearly all characters are common ones of GB18030, and many of it alone."""
    try:
        text = sample.decode("gb18030")
    except UnicodeDecodeError as error:
        if error.end < len(sample):  # else the sample ends within a character
            return False
        text = sample[: error.start].decode("gb18030")
    first = [character.encode("gb18030")[0] for character in text if not character.isascii()]
    common = sum(_CHINESE[0] <= byte <= _CHINESE[1] for byte in first)
    chinese = sum(_NOT_KOREAN[0] <= byte <= _NOT_KOREAN[1] for byte in first)
    return common > 0.7 * len(first) and chinese > 0.1 * len(first)


def _wide_encoding(start: bytes) -> str | None:
    """Return UTF-16LE or UTF-16BE without a mark, by the zeros beside its ASCII characters."""
    even = start[0::2].count(0)
    odd = start[1::2].count(0)
    if max(even, odd) <= len(start) / 5 or min(even, odd) > max(even, odd) / 4:
        return None
    return "UTF-16LE" if odd > even else "UTF-16BE"


def _is_utf8(sample: bytes) -> bool:
    """Return whether it is UTF-8, but for a character that it ends within."""
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.end == len(sample) and error.reason == "unexpected end of data"
    return True


def _is_mostly_utf8(sample: bytes) -> bool:
    """Return whether characters of several bytes outnumber damaged ones."""
    text = sample.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    return sum(not character.isascii() for character in text) > 2 * damaged
