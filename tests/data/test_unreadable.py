"""Files and folders as users really hand them in: what cannot be read as a whole is named."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.attempts import OTHER, PAIR, fail, succeed
from tests.inline_spread import alone


def parquet(table: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    return bytes(stream.getvalue().to_pybytes())


def damaged_parquet() -> bytes:
    rows = {"query": ["SECRET q"] * 500, "document": [f"SECRET {n}" for n in range(500)]}
    content = bytearray(parquet(pa.table(rows)))
    content[100:200] = b"\xff" * 100
    return bytes(content)


def not_utf8() -> bytes:
    """A string column as a careless writer leaves it."""
    offsets = pa.py_buffer((0).to_bytes(4, "little") + (8).to_bytes(4, "little"))
    column = pa.StringArray.from_buffers(1, offsets, pa.py_buffer("SECRET é".encode("latin-1")))
    return parquet(pa.table({"query": column, "document": ["d"]}))


TWICE = pa.Table.from_arrays([pa.array(["SECRET"])] * 3, ["query", "document", "document"])
NO_HEADER = b"SECRET question about fever,SECRET answer about rest\nq,d\n"
UNCLOSED = b'query,document\nSECRET q,d\nSECRET q,"SECRET d\nSECRET r,e\nSECRET s,f\n'
CUT = gzip.compress(b"query,document\n" + b"SECRET q,d\n" * 500, mtime=0)[:-12]
ODD_NAMES = b'{"patient": "SECRET", "note": "SECRET", "\\ud800": 1}\n'
# name of the file, its bytes, what follows the path in the error
FILE_FAULTS = [
    (
        "p.csv",
        "SECRET,发热怎么办\n".encode("gb18030"),
        ":1: not UTF-8; looks like GB18030: set source.encoding=GB18030",
    ),
    (
        "p.csv",
        b"q,d\nSECRET\xe9,d\nSECRET\xc3\xa9,d\nq,\xe0\n",
        ": two encodings: line 3 is UTF-8, ",
    ),
    ("p.jsonl.gz", gzip.compress(PAIR * 500 + OTHER, mtime=0)[:-30], ": truncated or damaged gzip"),
    ("p.csv.gz", CUT, ": truncated or damaged gzip file after line "),
    ("p.jsonl.gz", PAIR, ": truncated or damaged gzip file after line 0; fetch it again."),
    ("p.jsonl", gzip.compress(PAIR, mtime=0), ": compressed by gzip; give it a name that ends in"),
    ("p.csv", UNCLOSED, ":3: not valid CSV: unexpected end of data; check the quotes from this li"),
    ("p.csv", b"query,document,document\n", ":1: the header has a name twice; give each of its 3"),
    ("p.csv", NO_HEADER, ": the first row has 2 cells, none of them a known name; is there a head"),
    ("p.jsonl", ODD_NAMES, ": columns (3, names not shown) fit no shape; expected query and docum"),
    ("p.parquet", damaged_parquet()[:-40], ": not a readable Parquet file: "),
    ("p.parquet", damaged_parquet(), ": not a readable Parquet file: "),
    ("p.parquet", not_utf8(), ": not a readable Parquet file: 'utf-8' codec can't decode byte 0xe"),
    ("p.parquet", parquet(TWICE), ": two columns have one name; give each its own."),
    ("p.parquet", b"version https://git-lfs.github.com/spec/v1\n", ": a Git LFS pointer instead o"),
    ("p.tsv", b"SECRET1\t0\tSECRET2\t1\n", ": judgments by id, without texts; give the folder"),
    ("qrels.txt", b"SECRET1 0 SECRET2 1\n", ": judgments by id, without texts; give the folder"),
    ("p.docx", PAIR, ": unknown file type; expected .jsonl, .ndjson, .json, .csv, .tsv, .parquet,"),
    ("p.obo", PAIR, ": no [Term] stanza found; expected an ontology in OBO format."),
]


@pytest.mark.parametrize("case", FILE_FAULTS, ids=lambda case: case[2][:30])
def test_a_bad_file_is_an_error_even_where_bad_rows_are_skipped(
    case: tuple[str, bytes, str], tmp_path: Path
):
    name, content, expected = case
    (tmp_path / name).write_bytes(content)
    for skip in (False, True):
        error = fail(tmp_path / name, tmp_path / "out", skip_bad_rows=skip)
        assert error.startswith(f"{tmp_path / name}{expected}")


EMPTY = ": empty; expected rows of texts."
BROKEN_OFF = b"[" + PAIR.strip() + b",\n" + OTHER.strip() + b",\n"
INDENTED = json.dumps(json.loads(PAIR), indent=1).encode()
# Files in which no row can be read: name, bytes, what follows the path in the error.
UNREADABLE = [
    ("p.jsonl", b"", EMPTY),
    ("p.jsonl", b"\n  \n\r\n\n", EMPTY),
    ("p.csv", b"query,document\n", EMPTY),
    ("p.parquet", parquet(pa.table({"query": pa.array([], pa.string())})), EMPTY),
    ("p.json", b" [ ] ", EMPTY),
    ("p.json", BROKEN_OFF, ":1: not valid JSON at column 60: Expecting value. Expected one object"),
    ("p.json", b'["SECRET a", "SECRET b"]', ":1: expected a JSON object, found str."),
    ("p.json", INDENTED, ":1: not valid JSON at column 2: Expecting property name enclosed in"),
]


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: str(case[1][:20]))
def test_a_file_without_a_readable_row_is_an_error_that_says_why(
    case: tuple[str, bytes, str], tmp_path: Path
):
    name, content, expected = case
    (tmp_path / name).write_bytes(content)
    error = fail(tmp_path / name, tmp_path / "out")
    assert error.startswith(f"{tmp_path / name}{expected}")
    fail(tmp_path / name, tmp_path / "skipped", skip_bad_rows=True)


HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "SECRET text"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "SECRET query"}\n')
    return folder


@pytest.mark.parametrize(
    ("name", "content", "absent"),
    [
        ("test.tsv", "q1 0 d1 1\nq1  Q0  absent 0\n", 1),
        ("test.tsv", "q1\t0\td1\t1\n", 0),
        ("test.tsv", "q1\td1\t1\n", 0),
        ("test.txt", "q1 0 d1 1\r\n", 0),
        ("test.qrels", "query-id corpus-id score\nq1 d1 1\n", 0),
        ("test.tsv", '"query-id"\t"corpus-id"\t"score"\n"q1"\t"d1"\t"1"\n', 0),
        ("test.tsv", f"{HEADER}q1\td1\t1\nq1\tabsent\t1\nabsent\td1\t1\n", 2),
    ],
)
def test_qrels_are_read_as_beir_and_trec_have_them_and_absent_ids_are_counted(
    name: str, content: str, absent: int, beir: Path, tmp_path: Path
):
    (beir / "qrels" / name).write_text(content)
    with alone():
        manifest = succeed(beir, tmp_path / "out")
    assert manifest.counts == {"documents": 1, "queries": 1, "judgments": 1}
    assert manifest.dropped == ({"judgment of an absent row": absent} if absent else {})


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("corpus.jsonl", '{"title": "t", "text": "SECRET"}\n', ":1: missing '_id'; BEIR's docu"),
        ("queries.jsonl", '{"text": "SECRET"}\n', ":1: missing '_id'; BEIR's queries need one."),
        ("qrels/test.tsv", "topic\titer\tdoc\trel\nq1\t0\td2\t1\n", ":2: missing query-id or corp"),
        ("qrels/all.tsv", f"{HEADER}q1\td1\t1\n", ":2: split 'all'; expected train, dev (valida"),
        ("qrels/test.tsv", f"{HEADER}q1\td1\tSECRET\n", ":2: 'score' is not a number."),
        ("qrels/test.tsv", f"{HEADER}q1\td1\tinf\n", ":2: 'score' is not a finite number."),
    ],
)
def test_a_bad_row_of_a_beir_folder_is_an_error_that_names_it(
    name: str, content: str, fault: str, beir: Path, tmp_path: Path
):
    (beir / "qrels/dev.tsv").write_text(HEADER)
    (beir / name).write_text(content)
    with alone():
        error = fail(beir, tmp_path / "out")
    assert error.startswith(f"{beir}/{name}{fault}")


def test_a_beir_folder_without_qrels_is_an_error(beir: Path, tmp_path: Path):
    expected = "expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/*.tsv."
    assert fail(beir, tmp_path / "out") == f"{beir}: {expected}"


@pytest.mark.parametrize("path", ["none.jsonl", "none-*.jsonl", "none"])
def test_a_path_or_pattern_that_matches_nothing_is_named(path: str, tmp_path: Path):
    (tmp_path / "p.jsonl").write_bytes(PAIR)
    assert fail(tmp_path / path, tmp_path / "out") == f"{tmp_path / path}: no such file."


def test_files_of_several_formats_are_an_error_that_says_how_to_choose(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").write_bytes(PAIR)
    (tmp_path / "data/b.csv").write_text("query,document\nq,d\n")
    expected = "files of several formats (csv, jsonl); name those of one, e.g. folder/*.jsonl."
    assert fail(tmp_path / "data", tmp_path / "out") == f"{tmp_path}/data: {expected}"
