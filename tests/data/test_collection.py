"""A BEIR folder as it is: every document, every judgment of a known query, nothing cleaned or
merged.
"""

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.artifact import NewOutput
from medembed.data import collection
from medembed.data.collection import open_collection
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.formats import jsonl
from medembed.data.prepare import prepare
from medembed.errors import DataError, MedEmbedError, StorageError
from medembed.schema import content_hash

Rows = Sequence[Mapping[str, Any]]
CORPUS: Rows = (
    {"_id": "d1", "title": "Heart", "text": "Pain in the chest."},
    {"_id": "d2", "title": "", "text": "Pain in the chest."},
    {"_id": "d3", "text": "Pain in the chest."},
    {"_id": "d4", "title": "", "text": ""},
    {"_id": 5, "title": " Skin ", "text": "  Itching\tskin \n", "metadata": {"url": "x"}},
)
QUERIES: Rows = (
    {"_id": "q1", "text": "What should I do about the pain in my chest?", "metadata": {}},
    {"_id": "q2", "text": "Que faire contre les démangeaisons de la peau ?"},
    {"_id": "q3", "text": "What is a fever?"},
)
TEST = "q1 d1 2\nq1 d2 1\nq1 gone 1\nq2 5 1\nq2 d4 0\nq2 d3 -1\nnobody d1 1\nnobody d2 1"


def write(
    folder: Path,
    corpus: Rows = CORPUS,
    queries: Rows = QUERIES,
    end: str = "",
    qrels: Mapping[str, str] = {"test": TEST},
) -> str:
    files = {
        f"{name}.jsonl": "".join(json.dumps(row) + "\n" for row in rows)
        for name, rows in (("corpus", corpus), ("queries", queries))
    }
    for split, text in qrels.items():
        files[f"qrels/{split}.tsv"] = (
            "query-id\tcorpus-id\tscore\n" + text.replace(" ", "\t") + "\n"
        )
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / (name + end)).write_bytes(gzip.compress(text.encode()) if end else text.encode())
    return str(folder)


def texts(dataset: Dataset) -> dict[str, str]:
    rows = dataset.corpus()
    return dict(zip(rows["document_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def beir_text(document: Mapping[str, Any]) -> str:
    """What BEIR's DenseRetrievalExactSearch encodes of a document that its loader has read."""
    title, text = document.get("title"), document.get("text")
    return f"{title} {text}".strip() if "title" in document else str(text).strip()


@pytest.mark.parametrize("end", ["", ".gz"])
def test_every_document_stays_in_order_repeated_and_empty_ones_too(tmp_path: Path, end: str):
    dataset = open_collection(write(tmp_path / "beir", end=end), str(tmp_path / "out"))
    assert list(texts(dataset).items()) == [
        ("d1", "Heart Pain in the chest."),
        ("d2", "Pain in the chest."),
        ("d3", "Pain in the chest."),
        ("d4", ""),
        ("5", "Skin    Itching\tskin"),
    ]
    assert dataset.corpus()["content_hash"].to_pylist() == [
        content_hash(text) for text in texts(dataset).values()
    ]
    assert dataset.corpus_files() == [(f"{tmp_path}/out/corpus/part-00000-00000.parquet", 5)]


words = st.text(st.sampled_from("ab é\t\u00a0\u2003"), max_size=5)


@given(
    st.lists(
        st.fixed_dictionaries({"text": words}, optional={"title": words}), min_size=1, max_size=8
    )
)
def test_a_documents_text_is_what_beir_itself_encodes(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]]
):
    folder = tmp_path_factory.mktemp("beir")
    corpus = [{"_id": f"d{number}", **document} for number, document in enumerate(documents)]
    dataset = open_collection(write(folder / "beir", corpus), str(folder / "out"))
    assert list(texts(dataset).values()) == [beir_text(document) for document in documents]


def test_judged_queries_stay_with_all_their_judgments_and_what_is_left_out_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, logger="medembed"):
        dataset = open_collection(write(tmp_path / "beir"), str(tmp_path / "out"))
    assert dataset.queries().to_pylist() == [
        {
            "query_id": name,
            "text": text,
            "language": language,
            "tags": [],
            "group_id": name,
            "split": "test",
        }
        for name, text, language in (
            ("q1", QUERIES[0]["text"], "en"),
            ("q2", QUERIES[1]["text"], "fr"),
        )
    ]
    assert dataset.qrels() == {
        "q1": {"d1": 2.0, "d2": 1.0, "gone": 1.0},
        "q2": {"5": 1.0, "d4": 0.0, "d3": 0.0},
    }
    about = dataset.manifest
    assert about.counts == {"documents": 5, "queries": 2, "judgments": 6}
    assert about.dropped == {"queries without a judgment": 1, "judgments of an unknown query": 2}
    assert about.splits == {"test": 2}
    assert "1 judged documents are not in the corpus: they count as not found" in caplog.messages
    assert (
        "5 documents, 2 queries, 6 judgments; left out: 1 queries without a judgment" in caplog.text
    )


def test_each_query_is_in_the_split_that_judges_it_and_test_goes_first(tmp_path: Path):
    qrels = {"train": "q1 d1 1\nq3 d3 1", "dev": "q1 d2 1\nq2 d2 1\nq2 d1 1", "test": "q1 d3 2"}
    dataset = open_collection(write(tmp_path / "beir", qrels=qrels), str(tmp_path / "out"))
    splits = dict(
        zip(*(dataset.queries()[name].to_pylist() for name in ("query_id", "split")), strict=True)
    )
    assert splits == {"q1": "test", "q2": "dev", "q3": "train"}
    assert dataset.qrels() == {"q1": {"d3": 2.0}, "q2": {"d2": 1.0, "d1": 1.0}, "q3": {"d3": 1.0}}
    assert dataset.manifest.dropped == {"judgments of another split's query": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": [*CORPUS, *CORPUS[2:4]]}, r"/beir: 2 document ids of corpus.jsonl .* e.g. 'd3"),
        ({"corpus": []}, r"/beir: corpus.jsonl is empty"),
        ({"queries": [*QUERIES, QUERIES[2]]}, r"queries.jsonl:4: query id 'q3' stands twice"),
        ({"corpus": [*CORPUS, {"text": "SECRET"}]}, r"corpus.jsonl:6: missing '_id'"),
        ({"corpus": [*CORPUS, {"_id": "6", "body": "SECRET"}]}, r"corpus.jsonl:6: no document: ex"),
        ({"corpus": [*CORPUS, {"_id": "d#chunk-1", "text": ""}]}, r"corpus.jsonl:6: document id"),
        ({"qrels": {"test": "q1 d1"}}, r"qrels/test.tsv:2: found 2 cells, expected 3"),
    ],
)
def test_a_row_that_is_no_row_is_one_line_without_its_text_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    folder = write(tmp_path / "beir", **changes)
    with pytest.raises(DataError, match=message) as caught:
        open_collection(folder, str(tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_broken_line_after_files_that_are_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collection, "ROWS_PER_FILE", 2)
    folder = write(tmp_path / "beir")
    with (tmp_path / "beir/corpus.jsonl").open("a") as file:
        file.write('{"_id": "d6", "text": "SECRET')
    with pytest.raises(
        DataError, match=r"corpus.jsonl:6: not valid JSON at column 23: [^\n]* read whole\.$"
    ) as caught:
        open_collection(folder, str(tmp_path / "out"))
    assert "SECRET" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_same_folder_is_found_again_and_a_changed_file_makes_a_new_one(tmp_path: Path):
    folder, output = write(tmp_path / "beir"), str(tmp_path / "data/{key}")
    first = open_collection(folder, output)
    written = Path(first.uri, "manifest.json").stat().st_mtime_ns
    assert open_collection(folder, output) == first
    assert Path(first.uri, "manifest.json").stat().st_mtime_ns == written
    for changes in (
        {"corpus": CORPUS[:4]},
        {"queries": QUERIES[:2]},
        {"qrels": {"test": "q1 d1 1"}},
    ):
        again = open_collection(write(tmp_path / "beir", **changes), output)
        assert (again.uri, again.fingerprint) != (first.uri, first.fingerprint)
        write(tmp_path / "beir")
    with pytest.raises(StorageError, match="already holds a data set made from other inputs"):
        open_collection(write(tmp_path / "beir", CORPUS[:4]), first.uri)


def test_what_a_killed_run_left_is_gone_from_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, output = write(tmp_path / "beir"), tmp_path / "out"
    (output / "corpus").mkdir(parents=True)
    (output / "corpus/part-00007-00000.parquet").write_bytes(b"half")
    with monkeypatch.context() as patch:  # killed: nothing that would clean up has run
        patch.setattr(NewOutput, "commit", lambda *_: pytest.fail("killed"))
        patch.setattr(NewOutput, "__exit__", lambda *_: None)
        patch.setattr(collection, "_remove", lambda _: None)
        with pytest.raises(pytest.fail.Exception):
            open_collection(folder, str(output))
    assert (output / "corpus/part-00007-00000.parquet").exists()
    dataset = open_collection(folder, str(output))
    found = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert found == {"manifest.json", *dataset.manifest.files}
    assert list(texts(dataset)) == ["d1", "d2", "d3", "d4", "5"]


def test_a_data_set_is_opened_as_it_is(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text(
        '{"query": "heart pain", "document": "Pain of the heart."}\n'
    )
    made = prepare(
        SourceConfig(path=str(tmp_path / "pairs.jsonl")), SplitConfig(), str(tmp_path / "made")
    )
    assert open_collection(made.uri, str(tmp_path / "out")) == made
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "names", ["", "notes.txt", "corpus.jsonl queries.jsonl", "queries.jsonl qrels/test.tsv"]
)
def test_a_folder_that_is_neither_is_told_what_was_expected(tmp_path: Path, names: str):
    write(tmp_path / "all")
    for name in names.split():
        file = tmp_path / "beir" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            (tmp_path / "all" / name).read_bytes()
            if "." in name and "notes" not in name
            else b"SECRET"
        )
    with pytest.raises(MedEmbedError, match=f"^{tmp_path}/beir: .*`medembed prepare`.$") as caught:
        open_collection(str(tmp_path / "beir"), str(tmp_path / "out"))
    expected = "corpus.jsonl, queries.jsonl and qrels/*.tsv" if names else "no such file"
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_corpus_of_many_parts_is_the_same_as_one_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collection, "ROWS_PER_FILE", 4)
    # over several parts, so that some hold no line
    long = {"_id": "long", "title": "", "text": "long " * 60}
    corpus = [{"_id": f"d{n}", "title": f"T{n}", "text": f"Text {n % 5}"} for n in range(20)]
    folder = write(tmp_path / "beir", [*corpus[:10], long, *corpus[10:]])
    whole = open_collection(folder, str(tmp_path / "whole"))
    monkeypatch.setattr(jsonl, "PART_BYTES", 100)
    cut = open_collection(folder, str(tmp_path / "cut"))
    assert len(cut.corpus_files()) > len(whole.corpus_files()) == 6
    assert cut.fingerprint == whole.fingerprint
    assert cut.corpus().equals(whole.corpus())
    assert (cut.queries().equals(whole.queries()), cut.qrels()) == (True, whole.qrels())
