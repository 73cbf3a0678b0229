"""Tables without a header: their cells are never shown as names, and their columns have numbers."""

from pathlib import Path
from typing import Any

import pytest

from medembed import storage
from medembed.config import load_config
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.corpus import open_corpus
from medembed.data.own_texts import TextColumns
from medembed.data.prepare import check_source
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError, MedEmbedError
from tests.data.attempts import fail, make

ROW = "Anna Muster,HIV positive,1956-03-02\n"
CELLS = ("Anna", "Muster", "HIV", "positive", "1956")
ASK = "is there a header? If not, source.header=false and columns by number, e.g. source.columns.query=1"
ASK_OWN = "is there a header? If not, columns.header=false and columns by number, e.g. columns.id=1 columns.text=2"
STS = (
    "main-captions\tMSRvid\t2012test\t0001\t5.000\tA plane is taking off.\tAn air plane is taking "
    "off.\nmain-captions\tMSRvid\t2012test\t0004\t3.800\tA man plays a flute.\tA man plays a "
    "bamboo flute.\nmain-news\tMSRpar\t2012test\t0005\t1.000\tSome men are sawing.\tThe men had a "
    "fight.\tlicence\turl\n"
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def assert_no_cell(message: str) -> None:
    assert not [cell for cell in CELLS if cell in message]
    assert "\n" not in message


@pytest.mark.parametrize("name", ["p.csv", "p.tsv"])
@pytest.mark.parametrize(
    "row", [ROW, "Muster,HIV,positive\n", '"Muster, Anna",HIV,1956\n', "Muster\n"]
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shape": "pairs"},
        {"columns": ColumnsConfig(query="1")},
        {"columns": ColumnsConfig(tags="kind")},
    ],
    ids=["found", "a shape", "a number", "a tag"],
)
def test_a_first_row_that_is_data_is_not_shown(
    name: str, row: str, settings: dict[str, Any], tmp_path: Path
):
    text = row if name == "p.csv" else row.replace(",", "\t")
    message = fail(write(tmp_path / name, text * 3), tmp_path / "out", **settings)
    assert_no_cell(message)
    assert ASK in message or row == "Muster\n" or "twice" in message or settings.get("shape")


def test_the_cells_are_counted_and_the_header_is_asked_for(tmp_path: Path):
    path = write(tmp_path / "p.csv", ROW)
    with pytest.raises(DataError) as caught:
        check_source(SourceConfig(path=str(write(path, ROW * 2))), SplitConfig())
    assert str(caught.value).startswith(
        f"{path}: the first row has 3 cells, none of them a known name; {ASK}"
    )


def test_a_first_row_with_a_cell_twice_may_be_data_too(tmp_path: Path):
    message = fail(write(tmp_path / "p.csv", "HIV,HIV,positive\n" * 2), tmp_path / "out")
    assert_no_cell(message)
    assert message.endswith(
        "give each of its 3 columns its own, or say that there is none (header=false)."
    )


@pytest.mark.parametrize(
    "columns",
    [TextColumns(), TextColumns(text=("2",)), TextColumns(id=("1",), text=("2",))],
    ids=str,
)
def test_a_first_row_that_is_data_is_not_shown_where_texts_are_encoded(
    columns: TextColumns, tmp_path: Path
):
    path = write(tmp_path / "p.csv", ROW * 2)
    with (
        pytest.raises(MedEmbedError) as caught,
        open_corpus(str(path), columns, str(tmp_path / "scratch")),
    ):
        pass
    assert_no_cell(str(caught.value))
    assert ASK_OWN in str(caught.value)


def test_a_table_without_a_header_is_read_by_number(tmp_path: Path):
    path = write(tmp_path / "p.csv", "what is it;1;it is this\nwhat was it;2;it was that\n")
    dataset = make(
        path,
        tmp_path / "out",
        header=False,
        columns=ColumnsConfig(query="1", document="3", query_id="2"),
    )
    assert {row["query_id"]: row["text"] for row in dataset.queries().to_pylist()} == {
        "1": "what is it",
        "2": "what was it",
    }
    assert dataset.manifest.rows_read == 2


def test_numbers_of_columns_may_be_typed_as_such():
    columns = load_config(ColumnsConfig, ["query=6", "document=[7,8]", "score=5"])
    assert (columns.query, columns.document, columns.score) == (("6",), ("7", "8"), ("5",))


def test_the_sts_benchmark_is_read_with_rows_that_have_more_cells(tmp_path: Path):
    columns = ColumnsConfig(query="6", document="7", score="5", tags="1")
    dataset = make(
        write(tmp_path / "sts.tsv", STS),
        tmp_path / "out",
        header=False,
        columns=columns,
        score_range=(0, 5),
    )
    judgments = dataset.judgments(dataset.query_ids())
    assert sorted(judgments["similarity"].to_pylist()) == pytest.approx([0.2, 0.76, 1.0])
    assert dataset.manifest.shape == "scores"
    texts = set(dataset.corpus()["text"].to_pylist())
    assert texts == {
        "An air plane is taking off.",
        "A man plays a bamboo flute.",
        "The men had a fight.",
    }


def test_columns_without_names_fit_no_shape_until_they_are_named(tmp_path: Path):
    message = fail(write(tmp_path / "p.csv", ROW * 2), tmp_path / "out", header=False)
    assert message.startswith(
        f"{tmp_path}/p.csv: columns 1 to 3 fit no shape; expected query and document, "
    )
    assert message.endswith("Name yours, e.g. source.columns.query=1.")
    columns = ColumnsConfig(query="1", document="4")
    message = fail(tmp_path / "p.csv", tmp_path / "out", header=False, columns=columns)
    assert message.startswith(
        f"{tmp_path}/p.csv: source.columns.document names '4'; found no such column, but 1 to 3."
    )


def test_ms_marcos_collection_is_encoded_by_number(tmp_path: Path):
    path = write(tmp_path / "collection.tsv", '0\tThe "Manhattan" Project.\n1\tAn essay.\n')
    columns = TextColumns(id=("1",), text=("2",), header=False)
    with open_corpus(str(path), columns, str(tmp_path / "scratch")) as corpus:
        (rows,) = (storage.read_parquet(uri).to_pylist() for uri, _ in corpus.files)
    assert {row["document_id"]: row["text"] for row in rows} == {
        "0": 'The "Manhattan" Project.',
        "1": "An essay.",
    }


def test_other_formats_have_no_header(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", '{"query": "q", "document": "d"}\n')
    assert fail(path, tmp_path / "out", header=False) == (
        f"{path}: source.header=false is for CSV and TSV; found jsonl."
    )
    with (
        pytest.raises(DataError, match="columns.header=false is for CSV and TSV; found jsonl"),
        open_corpus(str(path), TextColumns(header=False), str(tmp_path / "scratch")),
    ):
        pass
