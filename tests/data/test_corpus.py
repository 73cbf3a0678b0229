"""Files of one's own made ready to be encoded: what is copied, what identifies it, what is
refused.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed import storage
from medembed.data import own_texts
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.corpus import Corpus, open_corpus
from medembed.data.formats import jsonl
from medembed.data.own_texts import TextColumns
from medembed.data.prepare import prepare
from medembed.errors import DataError, MedEmbedError
from medembed.schema import content_hash
from tests.inline_spread import alone

TEXTS = {"d1": "Chest pain.", "d2": "Fie\u0300vre\n  élevée", "7": "A rash, itching."}
CLEAN = {"d1": "Chest pain.", "d2": "Fièvre élevée", "7": "A rash, itching."}


@pytest.fixture(autouse=True)
def read_here() -> Iterator[None]:
    with alone():
        yield


def rows_of(texts: Mapping[str, str], key: str = "id", text: str = "text") -> list[dict[str, Any]]:
    return [{key: name, text: value, "year": 2020} for name, value in texts.items()]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return str(path)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return str(path)


def read(
    uri: str, tmp_path: Path, columns: TextColumns | None = None
) -> tuple[Corpus, dict[str, tuple[str, str]]]:
    """(the corpus, {id: (text, content hash)} of what its files hold)."""
    with open_corpus(uri, columns or TextColumns(), f"{tmp_path}/t.lance.texts") as corpus:
        tables = [storage.read_parquet(file) for file, _ in corpus.files]
        assert [table.num_rows for table in tables] == [rows for _, rows in corpus.files]
        rows = [row for table in tables for row in table.to_pylist()]
    assert not (tmp_path / "t.lance.texts").exists()
    assert len({row["document_id"] for row in rows}) == len(rows)
    return corpus, {row["document_id"]: (row["text"], row["content_hash"]) for row in rows}


def refuse(uri: str, tmp_path: Path, columns: TextColumns | None = None) -> str:
    with pytest.raises(MedEmbedError) as caught:
        read(uri, tmp_path, columns)
    assert not (tmp_path / "t.lance.texts").exists()
    message = str(caught.value)
    assert "SECRET" not in message
    assert "\n" not in message
    return message


def test_a_raw_tsv_is_read_as_it_stands_if_so_asked(tmp_path: Path):
    (tmp_path / "raw.tsv").write_text('id\ttext\nd1\t"HER2-\nd2\t5\'"\n')
    assert "raw.tsv:2: a quote opens a cell that goes over 2 lines" in refuse(
        f"{tmp_path}/raw.tsv", tmp_path
    )
    _, found = read(f"{tmp_path}/raw.tsv", tmp_path, TextColumns(quoting="none"))
    assert {name: text for name, (text, _) in found.items()} == {"d1": '"HER2-', "d2": "5'\""}


def test_one_text_has_one_content_hash_by_whatever_way_it_comes(tmp_path: Path):
    prepared = prepare(
        SourceConfig(path=write(tmp_path / "p.jsonl", rows_of(TEXTS))),
        SplitConfig(),
        f"{tmp_path}/p",
    )
    expected = dict(
        zip(
            *(prepared.corpus()[name].to_pylist() for name in ("document_id", "content_hash")),
            strict=True,
        )
    )
    forms = {"a.jsonl": "id", "b.jsonl.gz": "_id", "c.parquet": "doc_id", "d.ndjson": "Document_ID"}
    found = [
        read(write(tmp_path / name, rows_of(TEXTS, key)), tmp_path) for name, key in forms.items()
    ]
    (tmp_path / "e.csv").write_text(
        'id;text\nd1;Chest pain.\nd2;Fièvre élevée\n7;"A rash, itching."\n'
    )
    found.append(read(f"{tmp_path}/e.csv", tmp_path))
    for corpus, rows in found:
        assert rows == {name: (text, content_hash(text)) for name, text in CLEAN.items()}
        assert {name: key for name, (_, key) in rows.items()} == expected
        assert corpus.counts == {"documents": 3}
    assert len({corpus.fingerprint for corpus, _ in found}) == 1
    corpus, _ = read(prepared.uri, tmp_path)
    assert (corpus.files, corpus.fingerprint) == (prepared.corpus_files(), prepared.fingerprint)


def test_the_fingerprint_is_that_of_ids_and_texts_whatever_files_parts_and_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jsonl, "PART_BYTES", 64)
    monkeypatch.setattr(own_texts, "ROWS_PER_FILE", 2)
    texts = {f"d{n}": f"text {n}" for n in range(30)}
    whole, _ = read(write(tmp_path / "a.jsonl", rows_of(texts)), tmp_path)
    (tmp_path / "many").mkdir()
    for n in range(3):
        write(tmp_path / f"many/{n}.parquet", reversed(rows_of(texts)[n::3]))
    cut, rows = read(f"{tmp_path}/many/*.parquet", tmp_path)
    assert len(whole.files) > 15
    assert cut.fingerprint == whole.fingerprint
    assert {name: text for name, (text, _) in rows.items()} == texts
    for other in (
        texts | {"d5": "another"},
        {"e5" if name == "d5" else name: text for name, text in texts.items()},
    ):
        assert (
            read(write(tmp_path / "b.jsonl", rows_of(other)), tmp_path)[0].fingerprint
            != whole.fingerprint
        )


def test_rows_that_come_twice_count_once_and_empty_texts_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(own_texts, "ROWS_PER_FILE", 2)
    twice = [
        *rows_of(TEXTS),
        *rows_of({"d1": " Chest\tpain. ", "d3": " \n", "d2": TEXTS["d2"]}),
        {"id": "d4"},
    ]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/a.jsonl", twice)
    write(tmp_path / "in/b.jsonl", rows_of({"7": TEXTS["7"]}))
    write(tmp_path / "in/c.jsonl", [])
    corpus, rows = read(f"{tmp_path}/in", tmp_path)
    assert {name: text for name, (text, _) in rows.items()} == CLEAN
    assert corpus.counts == {"documents": 3, "empty text": 2, "row repeated": 3}
    assert (
        corpus.fingerprint
        == read(write(tmp_path / "plain.jsonl", rows_of(CLEAN)), tmp_path)[0].fingerprint
    )


def test_columns_may_be_named_joined_and_lie_inside_others(tmp_path: Path):
    row = {
        "meta": {"key": 7.0},
        "titre": "Heart",
        "corps": "Pain.",
        "id": "unused",
        "text": "unused",
    }
    columns = TextColumns(id=("meta.key",), text=("titre", "corps"))
    assert read(write(tmp_path / "a.jsonl", [row]), tmp_path, columns)[1] == {
        "7": ("Heart Pain.", content_hash("Heart Pain."))
    }


def test_an_id_with_two_texts_is_refused_with_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jsonl, "PART_BYTES", 100)
    rows = rows_of({f"d{n}": f"SECRET {n}" for n in range(20)})
    uri = write(
        tmp_path / "a.jsonl",
        [*rows, {"id": "d5", "text": "SECRET other"}, {"id": "d7", "text": "SECRET o"}],
    )
    message = refuse(uri, tmp_path)
    assert message == (
        f"{uri}:21: id 'd5' names another text at {uri}:6; 2 ids name several: give each "
        "document an id of its own."
    )


LACKS = "The row has columns that the first rows lack:"
TWO = b'{"id": "d1", "text": "t"}\n'
FAULTS = [
    ("a.jsonl", b'{"key": "d1", "text": "SECRET"}\n', "identifiant); found key, text. Name yours"),
    ("a.jsonl", b'{"id": "d1", "note": "SECRET"}\n', "libellés); found id, note."),
    ("a.jsonl", TWO + b'{"text": "SECRET"}\n{"id": "", "text": "SECRET"}\n', "a.jsonl:2: no id; 2"),
    ("a.jsonl", TWO + b'{"id": "d2", "text": "SECRET', "a.jsonl:2: not valid"),
    ("a.jsonl", b'{"id": "d2", "text": "SECRET', "a.jsonl:1: not valid JSON"),
    ("a.jsonl", b'{"id": "d1", "text": ["SECRET", "b"]}\n', "a.jsonl:1: 'text' is a list of 2; a"),
    ("a.jsonl", b'{"id": "d1#chunk-2", "text": "SECRET"}\n', "a.jsonl:1: document id 'd1#chunk-2'"),
    ("a.csv", b"SECRET,7\nSECRET,8\n", "a.csv: the first row has 2 cells, none of them a known na"),
    ("a.jsonl", b"", "a.jsonl: empty; expected rows with an id and a text."),
    ("a.jsonl", b'{"id": "d1", "text": " "}\n', "a.jsonl: 1 empty text; expected rows"),
    ("a.parquet", b"SECRET", "a.parquet: not a readable Parquet file"),
    ("a.obo", b"", "a.obo: looks like ontology; expected a data set made by `medembed"),
    ("a.docx", b"SECRET", "a.docx: unknown file type;"),
]


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case[2][:30])
def test_a_fault_is_named_with_its_place_and_nothing_is_left(
    case: tuple[str, bytes, str], tmp_path: Path
):
    file, content, message = case
    (tmp_path / file).write_bytes(content)
    assert message in refuse(f"{tmp_path}/{file}", tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "d", "body": "SECRET"}, f"no text: expected 'text'. {LACKS} body."),
        (
            {"id": "d", "doc_id": "SECRET", "text": "SECRET"},
            "no row before has 'doc_id', with which rows would be read as texts: document = text, document_id = doc_id;",
        ),
        ({"key": "SECRET", "note": "SECRET"}, f"no id: expected 'id'. {LACKS} key, note."),
    ],
)
def test_columns_that_come_late_stop_where_they_may_be_the_id_or_the_text(
    row: dict[str, Any], message: str, tmp_path: Path
):
    uri = write(tmp_path / "a.jsonl", [*rows_of({f"d{n}": f"text {n}" for n in range(120)}), row])
    assert refuse(uri, tmp_path).startswith(f"{uri}:121: {message}")


def test_columns_that_come_late_are_read_where_they_are_declared_or_mean_nothing(tmp_path: Path):
    rows = rows_of({f"d{n}": f"text {n}" for n in range(120)})
    uri = write(
        tmp_path / "a.jsonl", [*rows, {"id": "e", "text": "late", "abstract": "x", "note": "y"}]
    )
    assert read(uri, tmp_path)[1]["e"][0] == "late"
    uri = write(tmp_path / "b.jsonl", [*rows, {"note_id": "e", "body": "late"}])
    columns = TextColumns(id=("id", "note_id"), text=("text", "body"))
    assert read(uri, tmp_path, columns)[1]["e"][0] == "late"


def test_a_declared_column_that_is_not_there_is_told_what_is(tmp_path: Path):
    uri = write(tmp_path / "a.jsonl", rows_of(TEXTS))
    message = refuse(uri, tmp_path, TextColumns(id=("note_id",)))
    assert (
        message
        == f"{uri}: columns.id names 'note_id'; found no such column, but id, text, year. Name yours: columns.id=..."
    )


def test_what_a_killed_run_has_left_goes_with_the_next_that_succeeds(tmp_path: Path):
    (tmp_path / "t.lance.texts/of-another-state").mkdir(parents=True)
    (tmp_path / "t.lance.texts/of-another-state/00000-00000.parquet").write_bytes(b"SECRET")
    read(write(tmp_path / "a.jsonl", rows_of(TEXTS)), tmp_path)
    with (
        pytest.raises(DataError, match="no such file. Or give a data set"),
        open_corpus(f"{tmp_path}/none", TextColumns(), f"{tmp_path}/x"),
    ):
        pass
