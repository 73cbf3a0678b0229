"""Tables as programs write them: no cell is changed, no two rows become one."""

import contextlib
import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.data.config import SourceConfig
from medembed.data.parts import find_parts, read_part
from medembed.data.rows import BadRow
from medembed.errors import DataError


def read(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    source = SourceConfig(path=str(path), **settings)
    return [row for part in find_parts(source).parts for row in read_part(part, source)]


def cells(path: Path, **settings: Any) -> list[list[str]]:
    return [list(row.values()) for _, row in read(path, **settings)]


# A "\r" at the end of a cell that is not quoted cannot be told from a line end.
CELL = st.text(st.sampled_from("ab\t\n\r\"';, é"), max_size=8).map(lambda text: text.rstrip("\r"))
TABLE = st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=5)


@given(TABLE, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_every_cell_that_is_quoted_where_needed_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], end: str, quoting: Any
):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator=end, quoting=quoting)
    writer.writerows([["query", "document", "note"], *rows])
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    path.write_bytes(stream.getvalue().encode())
    assert cells(path, quoting="minimal") == rows
    with contextlib.suppress(DataError):  # a cell of lines that would be rows by themselves
        assert cells(path) == rows


RAW_CELLS = st.sampled_from(['"a', 'a"', '"a"', '"', "5' é", "x", 'a "b" c', "a\rb"])


@given(st.lists(st.lists(RAW_CELLS, min_size=2, max_size=2), max_size=6))
def test_of_a_raw_tsv_no_two_rows_become_one_by_default_and_every_cell_is_read_if_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
):
    path = tmp_path_factory.getbasetemp() / "raw.tsv"
    path.write_bytes(
        "".join("\t".join(row) + "\n" for row in [["query", "document"], *rows]).encode()
    )
    assert cells(path, quoting="none") == rows
    with contextlib.suppress(DataError):
        assert [number for number, _ in read(path)] == list(range(2, len(rows) + 2))


def test_a_tsv_of_pandas_is_read_as_it_was_written(tmp_path: Path):
    table = pd.DataFrame(
        {
            "query": ['a "b"', "of\ntwo lines", '"', "tab\there"],
            "document": ["5' end", "", "x", 'y"'],
        }
    )
    table.to_csv(tmp_path / "p.tsv", sep="\t", index=False)
    assert [row for _, row in read(tmp_path / "p.tsv")] == table.to_dict("records")
    assert [number for number, _ in read(tmp_path / "p.tsv")] == [2, 3, 5, 6]


def test_a_tsv_of_r_and_one_of_excel_are_read(tmp_path: Path):
    (tmp_path / "r.tsv").write_text('"query"\t"document"\n"say ""so"""\t"a\nb"\n')
    assert cells(tmp_path / "r.tsv") == [['say "so"', "a\nb"]]
    (tmp_path / "excel.tsv").write_bytes(
        '\ufeffquery\tdocument\r\n"say ""so"""\t"a\nb"\r\n'.encode()
    )
    assert cells(tmp_path / "excel.tsv") == [['say "so"', "a\nb"]]


def test_quotes_inside_a_cell_that_is_not_quoted_stay(tmp_path: Path):
    (tmp_path / "p.tsv").write_text('query\tdocument\n5\' to 3\'\t6" of b, c; d "e"\n')
    assert cells(tmp_path / "p.tsv") == [["5' to 3'", '6" of b, c; d "e"']]


MERGED = (
    "a quote opens a cell that goes over {lines} lines, each of which would be a row by "
    "itself; set source.quoting="
)
STRAY = {  # content of a TSV: line and fault
    'q\td\nSECRET\t"x\ny"\tSECRET\n': (2, MERGED.format(lines=2)),
    'q\td\na\tb\n"SECRET\tb\nc\td\ne"\tf\n': (3, MERGED.format(lines=3)),
    'q\n"SECRET\nb"\n': (2, MERGED.format(lines=2)),
    'q\td\na\t"SECRET\nb\tc\n': (2, "not valid CSV: unexpected end of data; check the quotes from"),
    'q\td\na\t"SECRET" b\n': (2, "not valid CSV: '\t' expected after '\"'; check the quotes fr"),
    'q\td\na\t"SECRET \\"b\\""\n': (2, "not valid CSV: '\t' expected after '\"'; double the qu"),
}


@pytest.mark.parametrize(("content", "told"), STRAY.items())
def test_stray_quotes_in_a_tsv_are_an_error_that_names_the_row_and_what_to_set(
    content: str, told: tuple[int, str], tmp_path: Path
):
    (tmp_path / "p.tsv").write_text(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "p.tsv")
    assert str(caught.value).startswith(f"{tmp_path}/p.tsv:{told[0]}: {told[1]}")
    assert "SECRET" not in str(caught.value)


def test_a_cell_of_several_lines_that_are_rows_themselves_is_read_if_told(tmp_path: Path):
    (tmp_path / "p.tsv").write_text('q\td\n"a\tb\nc"\td\n')
    assert cells(tmp_path / "p.tsv", quoting="minimal") == [["a\tb\nc", "d"]]
    assert cells(tmp_path / "p.tsv", quoting="none") == [['"a', "b"], ['c"', "d"]]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "\ufeffsep=;", "\nsep=;"])
def test_the_line_by_which_excel_knows_the_delimiter_is_heeded_and_is_no_row(
    first: str, tmp_path: Path
):
    (tmp_path / "p.csv").write_text(f"{first}\r\nquery;a,b,c\r\n1;2\r\n", newline="")
    assert [row for _, row in read(tmp_path / "p.csv")] == [{"query": "1", "a,b,c": "2"}]
    assert read(tmp_path / "p.csv")[0][0] == first.count("\n") + 3


def test_the_row_names_of_r_are_told_apart_from_cells_too_many(tmp_path: Path):
    (tmp_path / "p.tsv").write_text(
        '"query"\t"document"\n"1"\t"a"\t"b"\n"2"\t"c"\t"d"\n"x"\t"c"\t"d"\n'
    )
    advice = " Leave out the row names (R: row.names=FALSE)."
    fault = "found 3 cells, expected 2 as in the header."
    assert [row for _, row in read(tmp_path / "p.tsv")] == [
        BadRow(fault + advice),
        BadRow(fault + advice),
        BadRow(fault),
    ]


def test_without_a_header_columns_have_numbers(tmp_path: Path):
    (tmp_path / "p.csv").write_text("a,b\nc,d,e\n")
    assert [row for _, row in read(tmp_path / "p.csv", header=False)] == [
        {"1": "a", "2": "b"},
        {"1": "c", "2": "d", "3": "e"},
    ]
