import gzip
import json
import os
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.errors import StorageError
from medembed.finetuning.incoming import Incoming, count_rows, find_incoming

ROW = json.dumps({"question": "q", "answer": "a"}) + "\n"
NOW = 1_000_000.0


def land(folder: Path, name: str, content: str | bytes, age_s: float = 100) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def seen(folder: Path, taken: Collection[str] = (), aside: Collection[str] = ()) -> Incoming:
    return find_incoming(SourceConfig(path=str(folder)), taken, aside, settle_s=30, now=NOW)


def test_files_are_known_by_content_however_they_are_called_and_oldest_first(tmp_path: Path):
    land(tmp_path, "b.jsonl", ROW, age_s=200)
    land(tmp_path, "a.jsonl", ROW * 2, age_s=100)
    first = seen(tmp_path)
    assert [Path(file.uri).name for file in first.new] == ["b.jsonl", "a.jsonl"]
    land(tmp_path, "2026/renamed.jsonl", ROW, age_s=50)
    again = seen(tmp_path, taken={first.new[0].content}, aside={first.new[1].content})
    assert (again.new, again.taken, again.aside) == ((), 2, 1)
    assert "1 set aside (retake=true takes them again)" in again.describe()


def test_what_is_not_complete_is_left_and_told(tmp_path: Path):
    whole = pa.BufferOutputStream()
    pq.write_table(pa.table({"question": ["q"], "answer": ["a"]}), whole)
    parquet, packed = whole.getvalue().to_pybytes(), gzip.compress((ROW * 1000).encode())
    land(tmp_path, "good.parquet", parquet)
    land(tmp_path, "good.jsonl.gz", packed)
    land(tmp_path, "good.jsonl", ROW + ROW.strip())
    land(tmp_path, "half.parquet", parquet[:-20])
    land(tmp_path, "half.jsonl.gz", packed[:-20])
    land(tmp_path, "half.jsonl", ROW + ROW[:10])
    land(tmp_path, "good.csv", 'question,answer\n"two\nlines, one cell",a\n\n')
    land(tmp_path, "half.csv", 'question,answer\nq,"an answer that')
    land(tmp_path, "row.tsv", "question\tanswer\nq\ta\nanother")
    land(tmp_path, "good.json", '[\n{"question": "q"}\n]')
    land(tmp_path, "array.json", '[\n{"question": "q"},\n')
    land(tmp_path, "young.jsonl", ROW * 3, age_s=3)
    land(tmp_path, "empty.jsonl", "")
    land(tmp_path, "name.jsonl.part", ROW * 4)
    land(tmp_path, ".hidden.jsonl", ROW * 5)
    incoming = seen(tmp_path)
    good = {"good.parquet", "good.jsonl.gz", "good.jsonl", "good.csv", "good.json"}
    assert {Path(file.uri).name for file in incoming.new} == good
    assert incoming.left == {
        "half.parquet": "it has no Parquet footer",
        "half.jsonl.gz": "its compression breaks off",
        "half.jsonl": "its last line breaks off",
        "half.csv": "its last cell breaks off",
        "row.tsv": "its last row breaks off",
        "array.json": "its array breaks off",
        "young.jsonl": "changed 3 s ago, less than settle_s=30",
        "empty.jsonl": "empty",
        "name.jsonl.part": "its name says that it is being written",
    }
    land(tmp_path, "half.csv", 'question,answer\nq,"an answer that', age_s=7200)
    assert "half.csv" not in seen(tmp_path).left, (
        "nobody writes to it any more: its row is named when it is read"
    )
    rows = {
        Path(file.uri).name: count_rows(file)
        for file in incoming.new
        if not file.uri.endswith((".csv", ".json"))
    }
    assert rows == {"good.parquet": 1, "good.jsonl.gz": 1000, "good.jsonl": 1}


def test_a_raw_tsv_is_complete_however_its_quotes_stand(tmp_path: Path):
    land(tmp_path, "raw.tsv", 'question\tanswer\n"q\ta\n')
    assert seen(tmp_path).left == {"raw.tsv": "its last cell breaks off"}
    source = SourceConfig(path=str(tmp_path), quoting="none")
    assert find_incoming(source, (), (), settle_s=30, now=NOW).left == {}


def test_a_place_that_is_not_there_is_an_error_and_an_empty_one_is_not(tmp_path: Path):
    assert seen(tmp_path).new == ()
    with pytest.raises(StorageError, match="no such place"):
        seen(tmp_path / "lnading")


def test_on_an_object_store_a_file_is_there_whole_as_soon_as_it_is_listed(bucket: str):
    storage.write_bytes(f"{bucket}/landing/1.jsonl", ROW.encode())
    incoming = find_incoming(SourceConfig(path=f"{bucket}/landing"), (), (), settle_s=3600)
    assert [file.uri for file in incoming.new] == [f"{bucket}/landing/1.jsonl"]
    with pytest.raises(StorageError, match="no such place"):
        find_incoming(SourceConfig(path=f"{bucket}/lnading"), (), (), settle_s=0)


def test_a_table_without_a_header_is_whole_however_many_cells_its_last_row_has(tmp_path: Path):
    land(tmp_path, "more.csv", "q,d\nr,e,a licence\n")
    land(tmp_path, "half.csv", "q,d\nr")
    incoming = find_incoming(
        SourceConfig(path=str(tmp_path), header=False), (), (), settle_s=30, now=NOW
    )
    assert [Path(file.uri).name for file in incoming.new] == ["more.csv"]
    assert incoming.left == {"half.csv": "its last row breaks off"}
