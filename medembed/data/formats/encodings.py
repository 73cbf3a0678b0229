"""What a file is by its bytes: its encoding, and what to do about one that is no text."""

import re

from charset_normalizer import from_bytes

from medembed.language import to_translate, tr

UTF8 = "UTF-8"
EXCEL = "Windows-1252"  # what Excel writes in Western Europe; Latin-1 is a part of it
LATIN_9 = "ISO-8859-15"
SAMPLE_BYTES = 64 << 10  # of a file's start
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NO_TEXT = {
    rb"\x1f\x8b": to_translate("compressed by gzip; give it a name that ends in .gz."),
    rb"BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd": to_translate(
        "compressed; unpack it, or compress it by gzip."
    ),
    rb"PK\x03\x04": to_translate(
        "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8."
    ),
    rb"\xd0\xcf\x11\xe0": to_translate("an Excel or Word file; save it as CSV UTF-8."),
    rb"PAR1\x15": to_translate("Parquet; give it a name that ends in .parquet."),
    rb"version https://git-lfs\.": to_translate(
        "a Git LFS pointer instead of the file; fetch that with git lfs pull."
    ),
    rb"(?i)\s*<(!doctype )?html": to_translate(
        "a web page instead of the file; download that itself."
    ),
}
# Python's codecs by names that iconv knows, too.
_NAMES = {
    "cp850": "CP850",
    "mac_roman": "Macintosh",
    "cp1250": "Windows-1250",
    "gb18030": "GB18030",
    "shift_jis": "Shift_JIS",
    "euc_kr": "EUC-KR",
    "big5": "Big5",
    "cp1251": "Windows-1251",
    "koi8_r": "KOI8-R",
    "cp1253": "Windows-1253",
}
# In these, words are made of bytes beyond ASCII; in the others such a byte stands among letters.
_OF_WORDS = ["gb18030", "shift_jis", "euc_kr", "big5", "cp1251", "koi8_r", "cp1253"]
# Signs of Western European texts; of other encodings' bytes, read as Windows-1252, many are none.
_SIGNS = set("àâäáãåæçèéêëìíîïñòóôõöøùúûüýÿßœº°µ±²³«»‹›’‘“”–—…€¤§·¼½¾×÷¿¡ª†‰™®©\xa0")
_SIGNS_SHARE = 0.95  # at least; names such as Škoda have others
# of cœur, œdème, œil, 5 € in Latin-9; few ½, ¼ or ¤ of Windows-1252 stand so
OF_LATIN_9 = re.compile(
    rb"(?i)[a-z][\xbc\xbd][a-z]|[\xbc\xbd](d[\xe8\xc8e]m|il|u[fv]|s[ot]|no)|\xa4"
)
# ï, ô and ö of DOS, ô and î of Macintosh; no ‹, “, ” or ™ of Windows-1252 stands so
_WITHIN_WORDS = re.compile(rb"(?i)[a-z][\x8b\x93\x94\x99][a-z]")
NO_LATIN_9 = re.compile(rb"[\x80-\x9f]")  # as the curly apostrophe of Windows-1252


def explain_start(start: bytes) -> str | None:
    """Say what is wrong with a file that starts like this; None if it may be text."""
    faults = (fault for mark, fault in _NO_TEXT.items() if re.match(mark, start))
    return next(map(tr, faults), None)


def wide_encoding(start: bytes) -> str | None:
    """Return the encoding of two or four bytes a character by its mark, or by zeros in ASCII."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    even = start[0::2].count(0)
    odd = start[1::2].count(0)
    if max(even, odd) <= len(start) / 5 or min(even, odd) > max(even, odd) / 4:
        return None
    return "UTF-16LE" if odd > even else "UTF-16BE"


def has_old_line_ends(start: bytes) -> bool:
    """Return whether lines end as on old Macintoshes, by CR alone."""
    return b"\r" in start.rstrip(b"\r") and b"\n" not in start


def advise(encoding: str | None) -> str:
    """Say what to do about text in another encoding than UTF-8; None is an unknown one."""
    if encoding is None:
        return tr(
            "find out its encoding (file -i): set source.encoding=ENCODING (encode: "
            "columns.encoding), or convert the file: iconv -f ENCODING -t UTF-8."
        )
    return tr(
        "looks like {encoding}: set source.encoding={encoding} (encode: columns.encoding), or "
        "convert the file: iconv -f {encoding} -t UTF-8.",
        encoding=encoding,
    )


def damaged(encoding: str, place: str = "") -> str:
    """Say what to do about a row that is not in the encoding of its file."""
    return tr(
        "not {encoding}{place}, as the file is otherwise; mend this row where it comes from.",
        encoding=encoding,
        place=place,
    )


def explain_row(row: bytes, start: bytes, place: str = "") -> str:
    """Say what to do about a row that is not UTF-8 in a file that starts like this.

    In a file whose other rows are UTF-8 the row alone is damaged, and to convert the file would
    damage the others.
    """
    evidence = row if _is_utf8(start) else start
    if _is_mostly_utf8(start) or _is_mostly_utf8(evidence):
        return damaged(UTF8, place)
    advice = advise(guess_encoding(evidence))
    return tr("not UTF-8{place}; {advice}", place=place, advice=advice)


def guess_encoding(sample: bytes) -> str | None:
    """Name the encoding of bytes that are not UTF-8, as Python and iconv have it; None if unsure.

    charset-normalizer chooses among those that files of hospitals come in: among all that it knows
    it takes French for Hungarian.
    """
    candidates = _candidates(sample)
    if candidates == ["cp1252"]:
        return LATIN_9 if OF_LATIN_9.search(sample) and not NO_LATIN_9.search(sample) else EXCEL
    ranked: list[tuple[float, float, int]] = []
    matches = from_bytes(sample, cp_isolation=candidates)
    if not matches:  # it may end within a character
        matches = from_bytes(sample[:-1], cp_isolation=candidates)
    for match in matches:
        for codec in set(match.could_be_from_charset).intersection(candidates):
            ranked.append((match.chaos, -match.coherence, candidates.index(codec)))
    # none for a text that is too short for charset-normalizer
    return _NAMES[candidates[min(ranked)[2]]] if ranked else None


def _candidates(sample: bytes) -> list[str]:
    """Return the codecs that a sample may be written in, the likeliest first."""
    beyond = b"".join(re.findall(rb"[\x80-\xff]", sample))
    # three or more: French has two, as in agréée or l’été
    in_words = b"".join(re.findall(rb"[\x80-\x9f\xa1-\xff]{3,}", sample))
    if len(in_words) > 0.75 * len(beyond):
        return _OF_WORDS
    signs = beyond.decode("cp1252", "replace").lower()
    are_signs = sum(map(_SIGNS.__contains__, signs)) >= _SIGNS_SHARE * len(signs)
    if are_signs and not _WITHIN_WORDS.search(sample):
        return ["cp1252"]
    # accented letters of DOS and Macintosh come first beyond ASCII, those of Windows last
    low = len(re.findall(rb"[\x80-\x9f]", beyond))
    return ["cp850", "mac_roman"] if low > len(beyond) / 4 else ["cp1250"]


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
