"""Columns that the first rows or files do not have: read, or named with their place."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed.data.config import SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.grow import grow
from medembed.data.prepare import check_source
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError
from medembed.schema import content_hash
from tests.data.attempts import config, fail, make
from tests.inline_spread import alone

Row = Mapping[str, Any]


@pytest.fixture(autouse=True)
def read_here() -> Iterator[None]:
    with alone():
        yield


def pair(number: int, **more: Any) -> Row:
    return {"query": f"what is {number}", "pos": [f"it is {number}"], **more}


def full(number: int) -> Row:
    """A pair with all that a row may have."""
    return pair(
        number,
        neg=[f"it is not {number}"],
        split="test",
        group_id=f"g{number // 2}",
        query_id=f"q{number}",
    )


def write(path: Path, rows: Iterable[Row]) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = list(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def negatives(dataset: Dataset) -> int:
    return sum(score == 0 for judged in dataset.qrels().values() for score in judged.values())


def assert_whole(dataset: Dataset) -> None:
    """All that `full` rows 100 to 159 say has arrived, beside 100 pairs."""
    assert dataset.manifest.counts == {"documents": 220, "queries": 160, "judgments": 220}
    assert dataset.manifest.shape == "triplets"
    assert dataset.manifest.dropped == {}
    assert negatives(dataset) == 60
    tested = {row["query_id"] for row in dataset.queries("test").to_pylist()}
    assert {f"q{number}" for number in range(100, 160)} <= tested


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "settings", [{}, {"columns": ColumnsConfig(group="group_id")}], ids=["by name", "declared"]
)
def test_columns_of_a_later_file_are_read(suffix: str, settings: dict[str, Any], tmp_path: Path):
    write(tmp_path / f"in/a.{suffix}", map(pair, range(100)))
    write(tmp_path / f"in/b.{suffix}", map(full, range(100, 160)))
    assert check_source(config(tmp_path / "in", **settings), SplitConfig()) == 2
    assert_whole(make(tmp_path / "in", tmp_path / "out", **settings))


def test_columns_of_a_later_csv_file_are_read(tmp_path: Path):
    (tmp_path / "in").mkdir()
    rows = "".join(f"what is {number},it is {number}\n" for number in range(100))
    (tmp_path / "in/a.csv").write_text(f"query,document\n{rows}")
    rows = "".join(
        f"it is {n},what is {n},it is not {n},g{n // 2},test,q{n}\n" for n in range(100, 160)
    )
    (tmp_path / "in/b.csv").write_text(f"document,query,negative,group_id,split,query_id\n{rows}")
    assert_whole(make(tmp_path / "in", tmp_path / "out"))


def test_columns_of_a_later_split_of_a_hugging_face_data_set_are_read(tmp_path: Path):
    datasets.disable_progress_bars()
    train = datasets.Dataset.from_list([dict(pair(number)) for number in range(100)])
    test = datasets.Dataset.from_list([dict(full(number)) for number in range(100, 160)])
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "in")
    assert_whole(make(tmp_path / "in", tmp_path / "out"))


def test_a_drop_has_the_columns_of_each_of_its_files(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", map(full, range(10)))
    other = write(tmp_path / "texts.jsonl", [{"text": "a leaflet"}])
    files = [(str(uri), content_hash(uri.read_bytes())) for uri in (path, other)]
    grown = grow(None, files, config(tmp_path), SplitConfig(), str(tmp_path / "out"))
    assert negatives(grown) == 10
    assert "a leaflet" in grown.corpus()["text"].to_pylist()


# a row after 120 pairs or texts -> the error after the file's name
SAY = "Say which: name the columns, e.g. source.columns.document=..., or set source.shape."
LACKS = "121: no document: expected 'pos'. The row has columns that the first rows lack: "
CONTRADICTIONS: list[tuple[Row, Row, str]] = [
    (
        pair(1),
        pair(2, score=0.5),
        "121: no row before has 'score', with which rows would be read as scores: query = query, "
        "document = pos, score = score; those before are read as pairs: query = query, document = "
        f"pos. {SAY}",
    ),
    (pair(1), full(2), "121: no row before has 'neg' and 'split' and 'group_id' and 'query_id', w"),
    ({"text": "a"}, {"text": "b", "label": "x"}, "121: no row before has 'label', with which rows"),
    (
        {"question": "q", "context": "c"},
        {"question": "r", "context": "d", "answer": "a"},
        "121: no row before has 'answer', with which rows would be read as pairs: query = question",
    ),
    ({"abstract": "a"}, {"abstract": "b", "text": "t"}, "121: no row before has 'text', with whic"),
    (pair(1), pair(2, messages=[]), "121: no row before has 'messages', with which rows would be"),
    (pair(1), pair(2, label=1), "121: no row before has 'label': "),
    (pair(1), {"ask": "SECRET", "reply": "SECRET"}, f"{LACKS}ask, reply."),
    (pair(1), {"SECRET Anna": "SECRET", "SECRET b": 1}, f"{LACKS}(2, names not shown)."),
]


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case[2][5:40])
def test_a_late_column_that_changes_how_rows_are_read_stops_with_its_place(
    case: tuple[Row, Row, str], tmp_path: Path
):
    first, late, expected = case
    path = write(tmp_path / "p.jsonl", [first] * 120 + [late])
    assert fail(path, tmp_path / "out").startswith(f"{path}:{expected}")


def test_a_late_column_is_read_from_every_row_once_it_is_named(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", [*map(pair, range(100)), *map(full, range(100, 160))])
    columns = {"negative": "neg", "split": "split", "group": "group_id", "query_id": "query_id"}
    assert_whole(make(path, tmp_path / "out", columns=ColumnsConfig(**columns)))


def test_what_is_said_outright_needs_no_second_thought(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", [pair(1)] * 120 + [pair(2, score=0.5)])
    assert make(path, tmp_path / "out", shape="pairs").manifest.counts["judgments"] == 2


def test_late_columns_that_mean_nothing_are_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = write(tmp_path / "p.jsonl", [pair(1)] * 120 + [pair(2, note="SECRET", ward=3)])
    make(path, tmp_path / "out")
    assert f"{path}: columns that the first rows lack, not used: note, ward" in caplog.messages
    assert "SECRET" not in caplog.text


def test_keys_that_differ_from_row_to_row_are_noted_up_to_a_limit(tmp_path: Path):
    rows = [
        pair(number, **{f"key{chr(97 + number % 26)}{number}": 1, "\ud800": number})
        for number in range(400)
    ]
    path = write(tmp_path / "p.jsonl", [*rows, pair(400, neg="x")])
    assert "401: no row before has 'neg'" in fail(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"group": "patientid"}, "group names 'patientid'; found no such column, but query, pos"),
        ({"tags": "servce"}, "tags names 'servce'; found no such column, but query, pos, service"),
        ({"negative": "ngatives"}, "negative names 'ngatives'"),
        ({"group": "meta.patientid"}, "group names 'meta.patientid'"),
        ({"document": ["pos", "abstrakt"]}, "document names 'abstrakt'"),
    ],
)
def test_a_declared_column_that_no_row_has_is_refused_before_any_work(
    declared: dict[str, Any], expected: str, tmp_path: Path
):
    rows = [pair(n, service="x", meta={"patient": "SECRET"}) for n in range(200)]
    path = write(tmp_path / "p.jsonl", rows)
    with pytest.raises(DataError) as caught:
        check_source(config(path, columns=ColumnsConfig(**declared)), SplitConfig())
    assert str(caught.value).startswith(f"{path}: source.columns.{expected}")


def test_a_declared_column_is_found_wherever_it_begins(tmp_path: Path):
    rows = [
        *map(pair, range(150)),
        pair(150, meta={"patient": "p1"}, servce="x"),
        pair(151, meta={"patient": "p1"}),
    ]
    declared = ColumnsConfig(group="meta.patient", tags="servce")
    dataset = make(write(tmp_path / "p.jsonl", rows), tmp_path / "out", columns=declared)
    asked = {row["text"]: row for row in dataset.queries().to_pylist()}
    assert asked["what is 150"]["tags"] == ["x"]
    assert asked["what is 150"]["group_id"] == asked["what is 151"]["group_id"]


def test_of_a_beir_folder_too_a_declared_column_that_no_row_has_is_refused(tmp_path: Path):
    write(tmp_path / "in/corpus.jsonl", [{"_id": "d1", "text": "t", "lang": "en"}])
    write(tmp_path / "in/queries.jsonl", [{"_id": "q1", "text": "q", "patient": 1}])
    (tmp_path / "in/qrels").mkdir()
    (tmp_path / "in/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    declared = ColumnsConfig(group="patient", language="lang")
    assert (
        make(tmp_path / "in", tmp_path / "out", columns=declared).manifest.counts["judgments"] == 1
    )
    message = fail(tmp_path / "in", tmp_path / "no", columns=ColumnsConfig(group="patientid"))
    assert "source.columns.group names 'patientid'; found no such column, but " in message
    message = fail(tmp_path / "in", tmp_path / "no", columns=ColumnsConfig(query="ask"))
    assert (
        "found source.columns.query, expected none but document, language, group, tags." in message
    )
