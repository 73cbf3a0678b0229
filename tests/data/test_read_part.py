"""Parts of files -> rows: nothing is lost, doubled or misplaced, however a file is written and
cut.
"""

import csv
import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.formats import lines as data_lines
from medembed.data.formats.format import Part
from medembed.data.parts import find_parts, locate, read_part
from medembed.data.rows import BadRow
from medembed.errors import DataError, StorageError

ROWS = [{"query": "a", "document": 'é\n"x"'}, {"query": "b", "document": "1;2,3\t4"}]


def read_all(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    """(line, fields) of all rows of a source, in order."""
    source = SourceConfig(path=str(path), **settings)
    found = []
    for part in find_parts(source).parts:
        for number, row in read_part(part, source):
            place = locate(part, number)
            assert place.startswith(f"{part.uri}:")
            found.append((int(place.rpartition(":")[2]), row))
    return found


lines = st.lists(
    st.tuples(
        st.sampled_from(["", " ", '{"a": 1}', '{"a": "é"}', "{", "[1]", '\ufeff{"a": 3}']),
        st.sampled_from(["\n", "\r\n"]),
    ),
    max_size=12,
)


@given(
    lines,
    st.sampled_from(["", '{"a": 2}']),
    st.booleans(),
    st.sets(st.integers(1, 120), max_size=5),
)
def test_lines_cut_anywhere_are_the_lines_of_the_whole_and_keep_their_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    last: str,
    mark: bool,
    cuts: set[int],
):
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    texts = [text for text, _ in rows] + [last]
    if mark:
        texts[0] = "\ufeff" + texts[0]
    content = "".join(
        text + end for text, end in zip(texts, [*(end for _, end in rows), ""], strict=True)
    )
    path.write_bytes(content.encode())
    texts[0] = texts[0].removeprefix("\ufeff")  # a mark is one at the start of a file alone
    borders = [0, *sorted(cut for cut in cuts if cut < path.stat().st_size), path.stat().st_size]
    source, found = SourceConfig(path=str(path)), []
    for start, end in itertools.pairwise(borders):
        part = Part(str(path), "jsonl", start=start, end=end)
        found += [(locate(part, number), row) for number, row in read_part(part, source)]
    assert [(place, None if isinstance(row, BadRow) else row) for place, row in found] == [
        (f"{path}:{number}", json.loads(text) if text.startswith('{"') else None)
        for number, text in enumerate(texts, start=1)
        if text.strip()
    ]


@given(
    st.lists(st.sampled_from([0, 9, 10, 11, 25, 60]), max_size=8),
    st.sets(st.integers(1, 200), max_size=3),
)
def test_a_line_too_long_is_one_bad_row_wherever_the_cuts_are(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], cuts: set[int]
):
    path = tmp_path_factory.getbasetemp() / "long.jsonl"
    path.write_bytes(b"".join(b"x" * length + b"\n" for length in lengths))
    borders = [0, *sorted(cut for cut in cuts if cut < path.stat().st_size), path.stat().st_size]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_lines, "LONGEST_LINE", 10)
        for start, end in itertools.pairwise(borders):
            part = Part(str(path), "jsonl", start=start, end=end)
            found += [
                (locate(part, number), row)
                for number, row in read_part(part, SourceConfig(path=str(path)))
            ]
    assert [(place, row.fault.startswith("longer than")) for place, row in found] == [
        (f"{path}:{number}", length > 10)
        for number, length in enumerate(lengths, start=1)
        if length
    ]


def write_csv(path: Path, **dialect: Any) -> Path:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["query", "document"], **dialect)
    writer.writeheader()
    writer.writerows(ROWS)
    content = stream.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_delimiter_has_its_quoted_newlines_and_quotes(
    delimiter: str, end: str, tmp_path: Path
):
    path = write_csv(tmp_path / "p.csv", delimiter=delimiter, lineterminator=end)
    assert read_all(path) == [(2, ROWS[0]), (4, ROWS[1])]


def test_gzip_is_read_as_what_is_inside(tmp_path: Path):
    (tmp_path / "p.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    )
    (tmp_path / "p.tsv.gz").write_bytes(gzip.compress(b"a\tb\n1\t2\n"))
    assert read_all(tmp_path / "p.jsonl.gz") == [(1, ROWS[0]), (2, ROWS[1])]
    assert read_all(write_csv(tmp_path / "p.csv.gz")) == [(2, ROWS[0]), (4, ROWS[1])]
    assert read_all(tmp_path / "p.tsv.gz") == [(2, {"a": "1", "b": "2"})]


def test_a_csv_line_too_long_is_an_error_and_never_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(data_lines, "LONGEST_LINE", 10)
    (tmp_path / "p.csv").write_text("a,b\n1,2\n12345,67890,1\n")
    with pytest.raises(
        DataError, match=f"^{tmp_path}/p.csv:3: longer than 0 MiB; expected rows of text.$"
    ):
        read_all(tmp_path / "p.csv")


def test_a_file_that_breaks_off_while_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch):
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            if self.tell() > 9:
                raise OSError("the line went dead\nand more")
            return super().readline(size)

    monkeypatch.setattr(storage, "open_input", lambda uri: Broken(b'{"a": 1}\n{"a": 2}\n'))
    rows = read_part(Part("s3://b/p.jsonl", "jsonl"), SourceConfig(path="s3://b/p.jsonl"))
    assert [next(rows), next(rows)] == [(1, {"a": 1}), (2, {"a": 2})]
    with pytest.raises(
        StorageError, match="^s3://b/p.jsonl: cannot read it after line 2: the line went dead$"
    ):
        next(rows)


def test_a_format_that_is_named_comes_before_the_files_name(tmp_path: Path):
    (tmp_path / "p.txt").write_text('{"a": 1}\n')
    assert read_all(tmp_path / "p.txt", format="jsonl") == [(1, {"a": 1})]
    assert read_all(write_csv(tmp_path / "p.tsv", delimiter="\t"), format="csv") == [
        (2, ROWS[0]),
        (4, ROWS[1]),
    ]


def test_parquet_is_read_by_row_groups_with_the_rows_numbers_and_values(tmp_path: Path):
    rows = [
        {"a": number, "b": {"c": [str(number)]}, "d": None if number % 2 else 0.5}
        for number in range(1, 26)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet", row_group_size=4)
    source = SourceConfig(path=str(tmp_path / "p.parquet"))
    found = []
    for start, end in ((0, 1), (1, 5), (5, 7)):
        part = Part(source.path, "parquet", start=start, end=end)
        found += [(locate(part, number), row) for number, row in read_part(part, source)]
    assert found == [(f"{source.path}:{row['a']}", row) for row in rows]
