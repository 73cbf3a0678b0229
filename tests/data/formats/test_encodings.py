"""What is wrong with a file's bytes, and advice that does not make it worse."""

import pytest

from medembed.data.formats.encodings import (
    explain_row,
    explain_start,
    guess_encoding,
    wide_encoding,
)

FRENCH = "Le patient présente une fièvre élevée avec œdème ; l’état général est « altéré » – 38 °C, 5 µg, ±2.\n"
CHINESE = "患者主诉发热三天，伴咳嗽。体温三十九度。\n"
JAPANESE = "患者は三日間の発熱と咳を訴えている。頭痛もある。\n"
KOREAN = "환자는 사흘간 발열과 기침을 호소한다.\n"
RUSSIAN = "Пациент жалуется на высокую температуру и кашель.\n"
POLISH = "Pacjent zgłasza gorączkę i ból głowy, źle się czuje.\n"
GREEK = "Ο ασθενής παραπονείται για πυρετό και βήχα.\n"
TRADITIONAL = "患者主訴發熱三天，伴咳嗽。體溫三十九度。\n"


@pytest.mark.parametrize(
    ("text", "written", "told"),
    [
        (FRENCH, "cp1252", "Windows-1252"),
        (FRENCH.replace("µ", "").upper(), "cp1252", "Windows-1252"),
        ("query;document\nfièvre;repos\n", "latin-1", "Windows-1252"),
        ("Größe, Übelkeit, Straße; niño, coração", "cp1252", "Windows-1252"),
        (CHINESE, "gb18030", "GB18030"),
        ("query,document\n发热怎么办,多喝水\n", "gbk", "GB18030"),
        ('{"query": "发热怎么办", "document": "多喝水"}\n', "gb18030", "GB18030"),
        (CHINESE * 3 + "㐀", "gb18030", "GB18030"),
        (TRADITIONAL, "big5", "Big5"),
        (JAPANESE, "shift_jis", "Shift_JIS"),
        (KOREAN, "euc_kr", "EUC-KR"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (POLISH, "cp1250", "Windows-1250"),
        (GREEK, "cp1253", "Windows-1253"),
        (FRENCH.translate({ord("’"): "'", ord("–"): "-"}), "mac_roman", "Macintosh"),
        ("query,document\nfièvre,repos à l'hôpital\n", "mac_roman", "Macintosh"),
        ("query,document\nfièvre,repos à l'hôpital\n", "cp850", "CP850"),
        ("SANTÉ\xa0: FIÈVRE", "cp1252", "Windows-1252"),
        ("the patient’s fever: 38 °C", "cp1252", "Windows-1252"),
        ("38 °C", "cp1252", "Windows-1252"),
        ("l'œil et le cœur fatigués", "iso8859_15", "ISO-8859-15"),
        ("Autres infections intestinales à Escherichia coli", "cp1252", "Windows-1252"),
        ("Coccidioïdomycose pulmonaire chronique", "cp1252", "Windows-1252"),
        ("le patient, à revoir\n" * 99, "cp1252", "Windows-1252"),
        ("agréée", "cp1252", "Windows-1252"),
        ("L’État", "cp1252", "Windows-1252"),
        ("Paratyphoïde A", "cp850", "CP850"),
        ("hôpital", "cp850", "CP850"),
        ("Œdème aigu", "iso8859_15", "ISO-8859-15"),
        ("CŒUR", "iso8859_15", "ISO-8859-15"),
        ("à l'hôpital : 5 €", "iso8859_15", "ISO-8859-15"),
        ("à l'hôpital : 5 €, ½ dose, 1½ cp", "cp1252", "Windows-1252"),
        ("query,document\ndose,5 µg …\n", "cp1252", "Windows-1252"),
    ],
)
def test_an_encoding_is_named_by_names_that_python_and_iconv_know(
    text: str, written: str, told: str | None
):
    assert guess_encoding(text.encode(written)) == told


def test_a_sample_that_ends_within_a_character_is_known_all_the_same():
    assert guess_encoding(CHINESE.encode("gb18030")[:-2]) == "GB18030"
    assert explain_row("fièvre".encode("latin-1"), ("a" * 9 + "é").encode()[:-1]).startswith(
        "not UTF-8; looks like Windows-1252: set source.encoding=Windows-1252 (enc"
    )


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        ("a,b\n".encode("utf-16"), "UTF-16"),
        ("a,b\n".encode("utf-32"), "UTF-32"),
        (FRENCH.encode("utf-16-le"), "UTF-16LE"),
        (f'{{"query": "{CHINESE[:9]}"}}\n'.encode("utf-16-be"), "UTF-16BE"),
        (b"a\0b,c\n" * 3, None),
        (CHINESE.encode(), None),
    ],
)
def test_encodings_of_two_bytes_a_character_are_known_by_mark_or_zeros(
    start: bytes, encoding: str | None
):
    assert wide_encoding(start) == encoding


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (b"PK\x03\x04....", "a zip archive or an Excel workbook; unpack it, or save the sheet as"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel or Word file; save it as CSV UTF-8."),
        (b"PAR1\x15\x04", "Parquet; give it a name that ends in .parquet."),
        (b"\x28\xb5\x2f\xfd", "compressed; unpack it, or compress it by gzip."),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer instead of the file;"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page instead of the file; download that itself."),
    ],
)
def test_a_file_that_is_no_text_is_told_as_what_it_is(start: bytes, fault: str):
    assert (explain_start(start) or "").startswith(fault)


@pytest.mark.parametrize(
    "start",
    [
        *(b"", b"a", b"PAR1,BZh\n", b"a,b\r\nc,d\r\n", b"one line\r", b"a\0b,c\n" * 3),
        *(FRENCH.encode(), CHINESE.encode(), b'\xef\xbb\xbf"a"\r\n', b'a,"b\rc"\n'),
    ],
)
def test_text_is_none_of_these(start: bytes):
    assert explain_start(start) is None


def test_a_damaged_row_among_rows_in_utf8_is_to_be_mended_alone():
    latin = "la fièvre".encode("latin-1")
    told = "not UTF-8 at byte 4, as the file is otherwise; mend this row where it comes from."
    assert explain_row(latin, FRENCH.encode(), " at byte 4") == told
    assert explain_row(latin, FRENCH.encode() + latin, " at byte 4") == told
    assert explain_row(FRENCH.encode() + b"\xc3", b"ascii", " at byte 4") == told
    assert explain_row(RUSSIAN.encode("cp1251"), b"a,b\n") == (
        "not UTF-8; looks like Windows-1251: set source.encoding=Windows-1251 (encode: "
        "columns.encoding), or convert the file: iconv -f Windows-1251 -t UTF-8."
    )
