"""What is wrong with a file's bytes, and advice that does not make it worse."""

import pytest

from medembed.data.formats.encodings import explain_row, explain_start, guess_encoding

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
        (FRENCH, "cp1252", "WINDOWS-1252"),
        (FRENCH.replace("µ", "").upper(), "cp1252", "WINDOWS-1252"),
        ("query;document\nfièvre;repos\n", "latin-1", "WINDOWS-1252"),
        ("Größe, Übelkeit, Straße; niño, coração", "cp1252", "WINDOWS-1252"),
        (CHINESE, "gb18030", "GB18030"),
        ("query,document\n发热怎么办,多喝水\n", "gbk", "GB18030"),
        ('{"query": "发热怎么办", "document": "多喝水"}\n', "gb18030", "GB18030"),
        (CHINESE * 3 + "㐀", "gb18030", "GB18030"),
        (TRADITIONAL, "big5", None),
        (JAPANESE, "shift_jis", None),
        (JAPANESE, "euc_jp", None),
        (KOREAN, "euc_kr", None),
        (RUSSIAN, "cp1251", None),
        (RUSSIAN, "koi8_r", None),
        (POLISH, "cp1250", None),
        (GREEK, "cp1253", None),
        (FRENCH.translate({ord("’"): "'", ord("–"): "-"}), "mac_roman", None),
        ("query,document\nfièvre,repos à l'hôpital\n", "mac_roman", None),
        ("query,document\nfièvre,repos à l'hôpital\n", "cp850", None),
        ("query,document\ndose,5 µg …\n", "cp1252", None),
    ],
)
def test_an_encoding_is_named_where_it_is_sure_and_never_a_wrong_one(
    text: str, written: str, told: str | None
):
    assert guess_encoding(text.encode(written)) == told


def test_a_sample_that_ends_within_a_character_is_known_all_the_same():
    assert guess_encoding(CHINESE.encode("gb18030")[:-2]) == "GB18030"
    assert explain_row("fièvre".encode("latin-1"), ("a" * 9 + "é").encode()[:-1]).startswith(
        "not UTF-8; looks like W"
    )


ICONV = "expected UTF-8: convert the file: iconv -f"
WIDE = f'{{"query": "{CHINESE[:9]}"}}\n'.encode("utf-16-be")


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        ("a,b\n".encode("utf-16"), f"UTF-16; {ICONV} UTF-16 -t UTF-8."),
        ("a,b\n".encode("utf-32"), f"UTF-32; {ICONV} UTF-32 -t UTF-8."),
        (FRENCH.encode("utf-16-le"), f"UTF-16LE without a mark; {ICONV} UTF-16LE"),
        (WIDE, f"UTF-16BE without a mark; {ICONV} UTF-16BE"),
        (b"query,document\rq,d\rr,e\r", "lines end as on old Macintoshes (CR); convert them: tr"),
        (b"PK\x03\x04....", "a zip archive or an Excel workbook; unpack it, or save the sheet as"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel or Word file; save it as CSV UTF-8."),
        (b"PAR1\x15\x04", "Parquet; give it a name that ends in .parquet."),
        (b"\x28\xb5\x2f\xfd", "compressed; unpack it, or compress it by gzip."),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer instead of the file;"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page instead of the file; download that itself."),
    ],
)
def test_a_file_that_is_no_text_in_utf8_is_told_as_what_it_is(start: bytes, fault: str):
    assert (explain_start(start) or "").startswith(fault)


@pytest.mark.parametrize(
    "start",
    [
        *(b"", b"a", b"PAR1,BZh\n", b"a,b\r\nc,d\r\n", b"one line\r", b"a\0b,c\n" * 3),
        *(FRENCH.encode(), CHINESE.encode(), b'\xef\xbb\xbf"a"\r\n', b'a,"b\rc"\n'),
    ],
)
def test_text_in_utf8_is_none_of_these(start: bytes):
    assert explain_start(start) is None


def test_a_damaged_row_among_rows_in_utf8_is_to_be_mended_alone():
    latin = "la fièvre".encode("latin-1")
    told = "not UTF-8 at byte 4, as the file is otherwise; mend this row where it comes from."
    assert explain_row(latin, FRENCH.encode(), " at byte 4") == told
    assert explain_row(latin, FRENCH.encode() + latin, " at byte 4") == told
    assert explain_row(FRENCH.encode() + b"\xc3", b"ascii", " at byte 4") == told
    assert explain_row(RUSSIAN.encode("cp1251"), b"a,b\n") == (
        "not UTF-8; find out its encoding (file -i), then convert the file: iconv -f ENCODING "
        "-t UTF-8."
    )
