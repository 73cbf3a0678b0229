"""Files and folders as users really hand them in: what cannot be read as a whole is named with what
to do.
"""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed.data import build
from tests.data.attempts import OTHER, PAIR, fail, succeed


def damaged_parquet() -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"query": ["SECRET q"] * 500, "document": [f"SECRET {n}" for n in range(500)]}),
        stream,
    )
    content = bytearray(stream.getvalue().to_pybytes())
    content[100:200] = b"\xff" * 100
    return bytes(content)


def parquet(table: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    return bytes(stream.getvalue().to_pybytes())


def not_utf8() -> pa.Array:
    """A string column as a careless writer leaves it."""
    offsets = pa.py_buffer((0).to_bytes(4, "little") + (8).to_bytes(4, "little"))
    return pa.StringArray.from_buffers(1, offsets, pa.py_buffer("SECRET é".encode("latin-1")))


UTF16 = ": UTF-16; expected UTF-8: convert the file: iconv -f UTF-16 -t UTF-8."

# (name of the file, its bytes, what follows the path in the error)
FILE_FAULTS = {
    "UTF-16 JSONL": ("p.jsonl", PAIR.decode().encode("utf-16"), UTF16),
    "UTF-16 CSV": ("p.csv", "query,document\nSECRET,d\n".encode("utf-16"), UTF16),
    "UTF-16 without a mark": (
        "p.jsonl",
        PAIR.decode().encode("utf-16-le"),
        ": UTF-16LE without a mark; expected",
    ),
    "old Macintosh line ends": (
        "p.csv",
        b"query,document\rSECRET,d\r",
        ": lines end as on old Macintoshes (CR); conv",
    ),
    "an Excel workbook": (
        "p.csv",
        b"PK\x03\x04 SECRET",
        ": a zip archive or an Excel workbook; unpack it, or save",
    ),
    "GB18030": (
        "p.csv",
        "query,document\nSECRET,发热怎么办\n".encode("gb18030"),
        ":2: not UTF-8; looks like GB18030: convert",
    ),
    "Latin-1 in a CSV header": (
        "p.csv",
        "SECRET né,réponse\nq,d\n".encode("latin-1"),
        ":1: not UTF-8; looks like WINDOWS-1252: convert",
    ),
    "a truncated gzip file": (
        "p.jsonl.gz",
        gzip.compress(PAIR * 500 + OTHER)[:-30],
        ": truncated or damaged gzip file after line ",
    ),
    "a truncated gzip CSV": (
        "p.csv.gz",
        gzip.compress(b"query,document\n" + b"SECRET q,d\n" * 500)[:-12],
        ": truncated or damaged gzip file after line ",
    ),
    "a .gz that is no gzip": (
        "p.jsonl.gz",
        PAIR,
        ": truncated or damaged gzip file after line 0; fetch it again.",
    ),
    "gzip without .gz": (
        "p.jsonl",
        gzip.compress(PAIR),
        ": compressed by gzip; give it a name that ends in .gz.",
    ),
    "a quote that is never closed": (
        "p.csv",
        b'query,document\nSECRET q,d\nSECRET q,"SECRET d\nSECRET r,e\nSECRET s,f\n',
        (
            ":3: not valid CSV: unexpected end of data; check the quotes from this line on, or "
            "set source.quoting=none"
        ),
    ),
    "a quote in the middle of a cell": (
        "p.csv",
        b'query,document\nSECRET q,"SECRET d" SECRET\n',
        ":2: not valid CSV: ',' expected after '\"'; check",
    ),
    "a header that names a column twice": (
        "p.csv",
        b"query,document,document\nSECRET q,SECRET d,e\n",
        ":1: the header has a name twice; give each of its 3 columns its own, or say",
    ),
    "a CSV without a header": (
        "p.csv",
        b"SECRET question about fever,SECRET answer about rest\nq,d\n",
        (
            ": the first row has 2 cells, none of them a known name; is there a header? If not, "
            "source.header=false and "
        ),
    ),
    "columns that fit no shape": (
        "p.jsonl",
        b'{"patient": "SECRET", "note": "SECRET", "\\ud800": 1}\n',
        ": columns (3, names not shown) fit no shape; expected query and document, triplets, "
        "sentence pairs with a score, text and label, or title and text. Name yours, e.g. "
        "source.columns.query=your_column.",
    ),
    "Parquet without its end": (
        "p.parquet",
        damaged_parquet()[:-40],
        ": not a readable Parquet file: ",
    ),
    "Parquet with a damaged page": (
        "p.parquet",
        damaged_parquet(),
        ": not a readable Parquet file: ",
    ),
    "Parquet that is none": ("p.parquet", PAIR, ": not a readable Parquet file: "),
    "Parquet with text that is not UTF-8": (
        "p.parquet",
        parquet(pa.table({"query": not_utf8(), "document": ["d"]})),
        ": not a readable Parquet file: 'utf-8' codec can't decode byte 0xe9 in position 7",
    ),
    "Parquet with a column twice": (
        "p.parquet",
        parquet(
            pa.Table.from_arrays([pa.array(["SECRET"])] * 3, ["query", "document", "document"])
        ),
        ": two columns have one name; give each its own.",
    ),
    "a Git LFS pointer for Parquet": (
        "p.parquet",
        b"version https://git-lfs.github.com/spec/v1\n",
        ": a Git LFS pointer instead of the file; fetch",
    ),
    "TREC's qrels alone": (
        "p.tsv",
        b"SECRET1\t0\tSECRET2\t1\n",
        ": judgments by id, without texts; give the folder",
    ),
    "TREC's qrels alone, as text": (
        "qrels.txt",
        b"SECRET1 0 SECRET2 1\n",
        ": judgments by id, without texts; give",
    ),
    "BEIR's qrels alone": (
        "p.tsv",
        b"query-id\tcorpus-id\tscore\n",
        ": judgments by id, without texts; give the",
    ),
    "a file of unknown type": (
        "p.docx",
        PAIR,
        (
            ": unknown file type; expected .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .obo "
            "(or .gz of"
        ),
    ),
    "an ontology that is none": (
        "p.obo",
        PAIR,
        ": no [Term] stanza found; expected an ontology in OBO format.",
    ),
}


@pytest.mark.parametrize("skip_bad_rows", [False, True])
@pytest.mark.parametrize("case", FILE_FAULTS.values(), ids=FILE_FAULTS)
def test_a_bad_file_is_an_error_even_where_bad_rows_are_skipped(
    case: tuple[str, bytes, str], skip_bad_rows: bool, tmp_path: Path
):
    name, content, expected = case
    (tmp_path / name).write_bytes(content)
    error = fail(tmp_path / name, tmp_path / "out", skip_bad_rows=skip_bad_rows)
    assert str(error).startswith(f"{tmp_path / name}{expected}")


# Files in which no row can be read: (name, bytes, what follows the path in the error)
UNREADABLE = {
    "an empty file": ("p.jsonl", b"", ": empty; expected rows of texts."),
    "a file of blank lines": ("p.jsonl", b"\n  \n\r\n\n", ": empty; expected rows of texts."),
    "an empty CSV": ("p.csv", b"", ": empty; expected rows of texts."),
    "a CSV of a header alone": ("p.csv", b"query,document\n", ": empty; expected rows of texts."),
    "Parquet without rows": (
        "p.parquet",
        parquet(pa.table({"query": pa.array([], pa.string())})),
        ": empty; expected rows of texts.",
    ),
    "an empty JSON array": ("p.json", b" [ ] ", ": empty; expected rows of texts."),
    "a JSON array that breaks off": (
        "p.json",
        b"[" + PAIR.strip() + b",\n" + OTHER.strip() + b",\n",
        (
            ":1: not valid JSON at column 60: Expecting value. Expected one object a line, as jq "
            "-c '.[]' writes them."
        ),
    ),
    "a JSON array of texts": (
        "p.json",
        b'["SECRET a", "SECRET b"]',
        ":1: expected a JSON object, found str.",
    ),
    "an indented JSON object": (
        "p.json",
        json.dumps(json.loads(PAIR), indent=1).encode(),
        ":1: not valid JSON at column 2: Expecting property name enclosed in double quotes. "
        "Expected one object a line, as jq -c . writes them.",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_without_a_readable_row_is_an_error_that_says_why(
    case: tuple[str, bytes, str], tmp_path: Path
):
    name, content, expected = case
    (tmp_path / name).write_bytes(content)
    error = fail(tmp_path / name, tmp_path / "out")
    assert str(error).startswith(f"{tmp_path / name}{expected}")
    fail(tmp_path / name, tmp_path / "skipped", skip_bad_rows=True)


@pytest.fixture
def beir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three parts, which this process reads one after the other instead of Ray's
    workers.
    """
    monkeypatch.setattr(
        build, "spread", lambda items, stage, arguments, workers: map(stage(**arguments), items)
    )
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "SECRET text"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "SECRET query"}\n')
    (folder / "qrels/test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\tabsent\t1\nabsent\td1\t1\n"
    )
    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test.tsv", "q1 0 d1 1\nq1  Q0  absent 0\n"),
        ("test.tsv", "q1\t0\td1\t1\n"),
        ("test.tsv", "q1\td1\t1\n"),
        ("test.txt", "q1 0 d1 1\r\n"),
        ("test.qrels", "query-id corpus-id score\nq1 d1 1\n"),
        ("test.tsv", '"query-id"\t"corpus-id"\t"score"\n"q1"\t"d1"\t"1"\n'),
    ],
)
def test_qrels_are_read_with_a_header_or_without_as_trec_has_them(
    name: str, content: str, beir: Path, tmp_path: Path
):
    (beir / "qrels/test.tsv").unlink()
    (beir / "qrels" / name).write_text(content)
    assert succeed(beir, tmp_path / "out").counts == {"documents": 1, "queries": 1, "judgments": 1}


def test_qrels_that_name_absent_ids_are_counted(beir: Path, tmp_path: Path):
    manifest = succeed(beir, tmp_path / "out")
    assert manifest.counts == {"documents": 1, "queries": 1, "judgments": 1}
    assert manifest.dropped == {"judgment of an absent row": 2}


BEIR_FAULTS = {
    "a corpus row without an id": (
        "corpus.jsonl",
        '{"title": "t", "text": "SECRET"}\n',
        1,
        "missing '_id'; BEIR's",
    ),
    "a query without an id": (
        "queries.jsonl",
        '{"text": "SECRET"}\n',
        1,
        "missing '_id'; BEIR's queries need one.",
    ),
    "qrels with a header of other names": (
        "qrels/test.tsv",
        "topic\titer\tdoc\trel\nq1\t0\td2\t1\n",
        2,
        "missing query-id or corpus-id; expected the",
    ),
    "qrels of an unknown split": (
        "qrels/all.tsv",
        "query-id\tcorpus-id\tscore\nq1\td1\t1\n",
        2,
        "split 'all'; expected train, dev (validation)",
    ),
    "a qrel that is no number": (
        "qrels/test.tsv",
        "query-id\tcorpus-id\tscore\nq1\td1\tSECRET\n",
        2,
        "'score' is not a number.",
    ),
    "an infinite qrel": (
        "qrels/test.tsv",
        "query-id\tcorpus-id\tscore\nq1\td1\tinf\n",
        2,
        "'score' is not a finite number.",
    ),
}


@pytest.mark.parametrize("case", BEIR_FAULTS.values(), ids=BEIR_FAULTS)
def test_a_bad_row_of_a_beir_folder_is_an_error_that_names_it(
    case: tuple[str, str, int, str], beir: Path, tmp_path: Path
):
    name, content, line, fault = case
    (beir / "qrels/test.tsv").unlink()
    (beir / "qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\n")
    (beir / name).write_text(content)
    assert str(fail(beir, tmp_path / "out")).startswith(f"{beir}/{name}:{line}: {fault}")


def test_a_beir_folder_without_qrels_is_an_error(beir: Path, tmp_path: Path):
    (beir / "qrels/test.tsv").unlink()
    error = fail(beir, tmp_path / "out")
    assert (
        str(error)
        == f"{beir}: expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/*.tsv."
    )


@pytest.mark.parametrize("path", ["none.jsonl", "none-*.jsonl", "none"])
def test_a_path_or_pattern_that_matches_nothing_is_named(path: str, tmp_path: Path):
    (tmp_path / "p.jsonl").write_bytes(PAIR)
    assert str(fail(tmp_path / path, tmp_path / "out")) == f"{tmp_path / path}: no such file."


def test_files_of_several_formats_are_an_error_that_says_how_to_choose(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").write_bytes(PAIR)
    (tmp_path / "data/b.csv").write_text("query,document\nq,d\n")
    error = fail(tmp_path / "data", tmp_path / "out")
    assert str(error) == (
        f"{tmp_path}/data: files of several formats (csv, jsonl); name those of one, e.g. "
        "folder/*.jsonl."
    )
