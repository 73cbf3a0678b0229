"""Files as French programs write them, byte for byte, and the rows that are in them."""

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from medembed.data.config import SourceConfig
from medembed.data.formats import jsonl
from medembed.data.formats.detection import find_encoding
from medembed.data.mapping import find_mapping
from medembed.data.parse import parse_part
from medembed.data.parts import find_parts, read_part
from medembed.data.query_file import read_queries
from medembed.data.rows import BadRow, Record
from tests.data.attempts import config, fail, make, succeed

HEADER = "Requête;Réponse;Similarité"
TABLE = (
    f"{HEADER}\r\n"
    "Fièvre d’origine\xa0inconnue\xa0?;L’hémoculture, dès le 03/02/2024\xa0: 38\xa0°C;0,85\r\n"
    'Œdème aigu;"Diurétique ; « repos »\nà l\'hôpital";1\r\n'
)
ROWS = [
    ("Fièvre d’origine\xa0inconnue\xa0?", "L’hémoculture, dès le 03/02/2024\xa0: 38\xa0°C", 0.85),
    ("Œdème aigu", "Diurétique ; « repos »\nà l'hôpital", 1.0),
]
NARROW = TABLE.replace("\xa0", "\u202f")
LATIN = TABLE.replace("’", "'").replace("Œ", "Oe")
LATIN_9 = TABLE.replace("’", "'").replace("aigu", "du cœur")


def read(path: Path, **settings: Any) -> list[tuple[str, str, float]]:
    """Return query, document and similarity of each row of a table of scores."""
    source = SourceConfig(path=str(path), **settings)
    rows: list[tuple[str, str, float]] = []
    for part in find_parts(source).parts:
        names = next(row for _, row in read_part(part, source) if not isinstance(row, BadRow))
        for _, record in parse_part(part, source, find_mapping(list(names), source)):
            assert isinstance(record, Record)
            similarity = record.judgments[0].similarity
            assert similarity is not None
            rows.append((record.queries[0].text, record.documents[0].text, similarity))
    return rows


def changed(old: str, new: str) -> list[tuple[str, str, float]]:
    return [(query.replace(old, new), document.replace(old, new), n) for query, document, n in ROWS]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (TABLE.encode("cp1252"), ROWS),
        (f"sep=;\r\n{TABLE}".encode("cp1252"), ROWS),
        (TABLE.encode("utf-8-sig"), ROWS),
        (f"\ufeffsep=;\r\n{TABLE}".encode(), ROWS),
        (NARROW.encode(), changed("\xa0", "\u202f")),
        (
            LATIN.encode("latin-1"),
            [
                ("Fièvre d'origine\xa0inconnue\xa0?", ROWS[0][1].replace("’", "'"), 0.85),
                ("Oedème aigu", *ROWS[1][1:]),
            ],
        ),
        (TABLE.encode("utf-16"), ROWS),
        (TABLE.encode("utf-16-le"), ROWS),
        (TABLE.replace("\r\n", "\r").replace("\n", "\r").encode("cp1252"), ROWS),
        (unicodedata.normalize("NFD", TABLE).encode(), None),
    ],
)
def test_a_table_of_a_french_program_has_its_rows(
    content: bytes, rows: list[tuple[str, str, float]] | None, tmp_path: Path
):
    (tmp_path / "p.csv").write_bytes(content)
    read_rows = read(tmp_path / "p.csv")
    if rows is None:
        read_rows = [
            (unicodedata.normalize("NFC", q), unicodedata.normalize("NFC", d), n)
            for q, d, n in read_rows
        ]
    assert read_rows == (rows or ROWS)


def test_a_word_of_latin_9_is_whole(tmp_path: Path):
    (tmp_path / "p.csv").write_bytes(LATIN_9.encode("iso8859-15"))
    assert read(tmp_path / "p.csv")[1][0] == "Œdème du cœur"


@pytest.mark.parametrize(("end", "encoding"), [("", "Windows-1252"), ("cœur", "ISO-8859-15")])
def test_the_first_sign_that_tells_an_encoding_may_come_late(
    end: str, encoding: str, tmp_path: Path
):
    plain = "question;réponse\n" + "à l'hôpital;élevée\n" * 9000
    late = f"a;{end}\n".encode("iso8859-15") if end else "a;l’été\n".encode("cp1252")
    path = tmp_path / "p.csv"
    path.write_bytes(plain.encode("latin-1") + b"\xa4 x;y\n" * (not end) + late)
    assert find_encoding(str(path)) == encoding


def test_the_first_accent_may_come_late_and_the_encoding_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    plain = "".join(f"quel repos {number} ?;repos {number};0,9\n" for number in range(10_000))
    (tmp_path / "p.csv").write_bytes(
        f"question;texte;score\n{plain}fièvre;été;1\n".encode("cp1252")
    )
    with caplog.at_level(logging.INFO):
        dataset = make(tmp_path / "p.csv", tmp_path / "out")
    assert dataset.manifest.counts["queries"] == 10_001
    assert f"{tmp_path}/p.csv: read as Windows-1252" in caplog.messages


def test_curly_and_straight_apostrophes_and_all_spaces_are_one_text(tmp_path: Path):
    rows = "l’été\xa0?;d’un\u202fan\nl'été ?;d'un an\n"
    (tmp_path / "p.csv").write_text(f"question;réponse\n{rows}")
    manifest = succeed(tmp_path / "p.csv", tmp_path / "out")
    assert (manifest.counts["queries"], manifest.counts["documents"]) == (1, 1)


@pytest.mark.parametrize(
    ("encoding", "name"), [("cp850", "CP850"), ("mac_roman", "Macintosh"), ("utf-8", "utf8")]
)
def test_a_declared_encoding_overrules(encoding: str, name: str, tmp_path: Path):
    text = "question;réponse;score\nœdème;à l'hôpital;1\n".replace("œ", "oe")
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    assert read(tmp_path / "p.csv", encoding=name) == [("oedème", "à l'hôpital", 1.0)]


def test_json_lines_are_read_in_a_declared_encoding_whatever_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [{"question": f"fièvre {number}", "réponse": "été"} for number in range(100)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "p.jsonl").write_bytes(lines.encode("cp1252"))
    (tmp_path / "wide.jsonl").write_bytes(lines.encode("utf-16"))
    monkeypatch.setattr(jsonl, "PART_BYTES", 200)
    for name, encoding in (("p.jsonl", "cp1252"), ("wide.jsonl", "auto")):
        source = config(tmp_path / name, encoding=encoding)
        read_rows = []
        for part in find_parts(source).parts:
            read_rows += [row for _, row in read_part(part, source)]
        assert read_rows == rows


def test_queries_of_one_a_line_are_read_too(tmp_path: Path):
    (tmp_path / "q.txt").write_bytes("fièvre élevée\nœdème\n".encode("cp1252"))
    assert read_queries(str(tmp_path / "q.txt")) == {"1": "fièvre élevée", "2": "œdème"}


SET = "looks like {0}: set source.encoding={0} (encode: columns.encoding), or convert the file: "
UTF8_ROWS = "SECRET é;é\nSECRET à;à\nSECRET ù;ù\n".encode()
MIXED = b"question;texte\nSECRET \xe9;d\nSECRET \xc3\xa9;d\nq;\xe0\n"
BAD = [
    (
        "question;texte\n患者主诉发热三天;SECRET\n".encode("gb18030"),
        ":2: not UTF-8; " + SET.format("GB18030"),
    ),
    (
        "question;texte\n患者は三日間の発熱;SECRET\n".encode("shift_jis"),
        ":2: not UTF-8; " + SET.format("Shift_JIS"),
    ),
    (LATIN.encode("mac_roman"), ":1: not UTF-8; " + SET.format("Macintosh")),
    (
        MIXED.removesuffix(b"q;\xe0\n"),
        ": two encodings: line 3 is UTF-8, line 2 Windows-1252; write all lines in one.",
    ),
    (MIXED, ": two encodings: line 3 is UTF-8, line 2 Windows-1252; write all lines in one."),
    (
        b"question;texte\n" + UTF8_ROWS + b"SECRET \xe9;d\n",
        ":5: not UTF-8, as the file is otherwise; mend",
    ),
    (
        b"question;texte;score\nSECRET;a;0,5\nSECRET;b;1\nSECRET;c;0.5\n",
        ":4: 'score' has a decimal point, but a comma in {path}:2; write one",
    ),
    (
        b"question;texte;score\nSECRET;a;.5\nSECRET;b;,5\n",
        ":3: 'score' has a decimal comma, but a point in {path}:2; write one",
    ),
    (
        "question;texte\nSECRET;\x81\n".encode("latin-1") + "q;été\n".encode("cp1252") * 30,
        ":2: not Windows-1252, as the file is otherwise",
    ),
]


@pytest.mark.parametrize(("content", "fault"), BAD)
def test_what_cannot_be_read_as_one_encoding_or_number_is_one_line(
    content: bytes, fault: str, tmp_path: Path
):
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    assert fail(path, tmp_path / "out").startswith(f"{path}{fault.format(path=path)}")


def test_an_encoding_that_python_does_not_know_is_refused():
    with pytest.raises(ValueError, match="expected auto or an encoding of text that Python knows"):
        SourceConfig(path="p.csv", encoding="base64")
