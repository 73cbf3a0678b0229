import json
from pathlib import Path

import pytest

from medembed import storage
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, describe, open_dataset
from medembed.data.prepare import check_source, prepare
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError, StorageError
from medembed.schema import CHUNK_MARK, WEAK, document_of


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def make(
    path: Path | str, output: Path | str, splits: SplitConfig | None = None, **source: object
) -> Dataset:
    return prepare(SourceConfig(path=str(path), **source), splits or SplitConfig(), str(output))


def everything(dataset: Dataset) -> list[object]:
    """All rows of a data set, whatever their order."""
    tables = (dataset.corpus(), dataset.queries())
    return [sorted(map(str, table.to_pylist())) for table in tables] + [dataset.qrels()]


def test_a_data_set_holds_every_kept_row_and_its_manifest_counts_them(
    pairs_file: Path, tmp_path: Path
):
    made = make(
        pairs_file, tmp_path / "d", licence="CC0", validated_by="Dr A", document_language="en"
    )
    dataset = open_dataset(made.uri)
    assert dataset.manifest.counts == {"documents": 120, "queries": 240, "judgments": 240}
    assert dataset.manifest.rows_read == 240
    assert sum(dataset.manifest.splits.values()) == dataset.queries().num_rows == 240
    assert dataset.corpus().num_rows == sum(rows for _, rows in dataset.corpus_files()) == 120
    assert set(dataset.qrels()) == set(dataset.queries()["query_id"].to_pylist())
    assert (dataset.manifest.licence, dataset.manifest.validated_by) == ("CC0", "Dr A")
    assert dataset.manifest.columns == {"query": ("question",), "document": ("answer",)}
    assert dataset.manifest.documents.languages == {"en": 120}
    assert dataset.manifest.documents.lengths[50] == 7
    assert "120 documents" in "\n".join(describe(dataset))
    assert not [name for name in storage.list_files(made.uri) if name.startswith("_")], (
        "no staging is left"
    )


def test_the_fingerprint_depends_on_content_and_not_on_order(pairs_file: Path, tmp_path: Path):
    lines = pairs_file.read_text().splitlines()
    (tmp_path / "reversed.jsonl").write_text("\n".join(reversed(lines)))
    (tmp_path / "shorter.jsonl").write_text("\n".join(lines[:-1]))
    prints = [
        make(path, tmp_path / f"d{number}").fingerprint
        for number, path in enumerate(
            [pairs_file, tmp_path / "reversed.jsonl", tmp_path / "shorter.jsonl"]
        )
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_source_read_by_many_workers_in_many_parts_gives_the_same_data_set(
    pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.data.formats.jsonl.PART_BYTES", 4000)
    whole = make(pairs_file, tmp_path / "parts")
    assert len(whole.corpus_files()) > 2
    monkeypatch.undo()
    assert everything(whole) == everything(make(pairs_file, tmp_path / "whole"))
    assert whole.fingerprint == open_dataset(str(tmp_path / "whole")).fingerprint


def test_the_same_call_finds_it_again_and_another_source_is_refused(
    pairs_file: Path, tmp_path: Path
):
    make(pairs_file, tmp_path / "d")
    stamp = (tmp_path / "d/manifest.json").stat().st_mtime_ns
    make(pairs_file, tmp_path / "d")
    assert (tmp_path / "d/manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(StorageError, match="other inputs"):
        make(pairs_file, tmp_path / "d", SplitConfig(dev=0.2))


def test_what_a_killed_run_left_is_replaced_and_what_others_left_is_refused(
    pairs_file: Path, tmp_path: Path
):
    (tmp_path / "d/corpus").mkdir(parents=True)
    (tmp_path / "d/corpus/part-99999-00000.parquet").write_bytes(b"half")
    dataset = make(pairs_file, tmp_path / "d")
    assert "corpus/part-99999-00000.parquet" not in storage.list_files(dataset.uri)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(StorageError, match=r"found 'notes\.txt'"):
        make(pairs_file, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


def test_a_source_with_no_usable_row_leaves_nothing_behind(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", [{"query": " x ", "document": "\u0000 "}])
    with pytest.raises(DataError, match="no usable row"):
        make(path, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_missing_source_and_a_missing_earlier_data_set_are_named_before_any_work(
    pairs_file: Path, tmp_path: Path
):
    with pytest.raises(StorageError, match="no such file"):
        check_source(SourceConfig(path=str(tmp_path / "none.jsonl")), SplitConfig())
    with pytest.raises(StorageError, match="expected a finished data set"):
        check_source(SourceConfig(path=str(pairs_file)), SplitConfig(previous=str(tmp_path)))


def test_rows_keep_their_split_when_the_data_grows(tmp_path: Path):
    rows = [{"query": f"question {n}", "document": f"answer {n}"} for n in range(60)]
    old = make(write(tmp_path / "old.jsonl", rows), tmp_path / "d1", SplitConfig(dev=0.3, test=0.3))
    joining = [{"query": f"question {n}", "document": f"answer {n + 1}"} for n in range(0, 60, 2)]
    grown = write(tmp_path / "new.jsonl", rows + joining)
    config = SplitConfig(dev=0.3, test=0.3, previous=old.uri)
    new = make(grown, tmp_path / "d2", config)

    def splits(dataset: Dataset) -> dict[str, str]:
        return {row["text"]: row["split"] for row in dataset.queries().to_pylist()}

    assert splits(new) == splits(old)
    held = {(query_id, name) for query_id, judged in new.held_out().items() for name in judged}
    assert f"held out of all splits: {len(held)} judgments, listed by id in held_out/" in describe(
        new
    )
    assert (
        0
        < len(held)
        == new.manifest.dropped["held out: judgment, joins groups of different splits"]
    )
    alone = make(grown, tmp_path / "d3", SplitConfig(dev=0.3, test=0.3))
    assert splits(alone) != splits(old), "without the earlier data set, groups that join may move"


def test_texts_that_differ_in_a_sign_are_all_kept_in_splits_of_their_own(tmp_path: Path):
    texts = ["HER2-", "HER2", "HER2+", "Rh-", "Rh", "CD4-", "CD4", "β-", "β", "10⁹", "109"]
    texts += ["pH < 7", "pH > 7"]
    rows: list[dict[str, object]] = []
    for number, text in enumerate(texts):
        pair = {"query": f"{text} tumour {text}", "document": f"about {text}"}
        rows.append(pair | {"split": ("train", "test")[number % 2]})
    dataset = make(write(tmp_path / "p.jsonl", rows), tmp_path / "d", query_language="en")
    assert dataset.manifest.counts == {"documents": 13, "queries": 13, "judgments": 13}
    assert dataset.manifest.dropped == {}
    assert dataset.manifest.splits == {"train": 7, "test": 6}


def test_texts_with_classes_become_labelled_documents_with_splits(tmp_path: Path):
    rows = [{"text": f"note {n}", "label": n % 2} for n in range(40)]
    dataset = make(
        write(tmp_path / "c.jsonl", rows), tmp_path / "d", SplitConfig(dev=0.3, test=0.3)
    )
    corpus = dataset.corpus().to_pylist()
    assert {row["label"] for row in corpus} == {"0", "1"}
    assert {row["split"] for row in corpus} == {"train", "dev", "test"}
    assert dataset.manifest.counts == {"documents": 40, "queries": 0, "judgments": 0}


def test_parallel_texts_ask_for_each_other_in_one_split_in_the_language_of_their_column(
    tmp_path: Path,
):
    kinds = ("sans précision", "du rein", "après une fracture de la jambe droite", "SAI")
    rows: list[dict[str, object]] = []
    for number in range(48):
        french = f"Maladie {number} {kinds[number % 4]}"
        rows.append({"code": f"c{number}", "nom": french, "en": f"Disease {number}"})
    columns = ColumnsConfig(parallel=("nom", "en"), document_id="code")
    dataset = make(write(tmp_path / "p.jsonl", rows), tmp_path / "d", columns=columns)
    assert dataset.manifest.counts == {"documents": 96, "queries": 96, "judgments": 96}
    for kind in (dataset.manifest.documents, dataset.manifest.queries):
        assert kind.languages == {"fr": 48, "en": 48}
    splits = {row["query_id"]: row["split"] for row in dataset.queries().to_pylist()}
    assert set(splits.values()) == {"train", "dev", "test"}
    for query_id, grades in dataset.qrels().items():
        code, _, column = query_id.partition("#text-")
        other = f"{code}#text-{'nom' if column == 'en' else 'en'}"
        assert grades == {other: 1.0}
        assert splits[query_id] == splits[other]


def test_documents_without_questions_ask_for_themselves_but_never_in_the_test_split(tmp_path: Path):
    rows = [
        {"id": f"d{n}", "title": f"Title {n}", "abstract": f"Body {n}.", "synonyms": [f"Name {n}"]}
        for n in range(40)
    ]
    dataset = make(
        write(tmp_path / "c.jsonl", rows), tmp_path / "d", SplitConfig(dev=0.3, test=0.3)
    )
    queries = dataset.queries().to_pylist()
    assert {row["split"] for row in queries} == {"train", "dev"}
    assert all(row["tags"] == [WEAK] for row in queries)
    assert dataset.manifest.dropped["held out: query, weak query in the test split"] == 80 - len(
        queries
    )
    assert dataset.corpus().num_rows == 40


def test_chosen_fields_are_encoded_and_long_documents_are_cut_into_chunks(tmp_path: Path):
    body = " ".join(f"w{n}" for n in range(50))
    rows = [
        {"q": "why", "doc": {"head": "Head", "body": body, "boilerplate": "Copyright"}, "key": "d1"}
    ]
    columns = ColumnsConfig(query="q", document=("doc.head", "doc.body"), document_id="key")
    dataset = make(
        write(tmp_path / "c.jsonl", rows),
        tmp_path / "d",
        columns=columns,
        join=": ",
        chunk_words=20,
        chunk_overlap=5,
    )
    corpus = dataset.corpus().to_pylist()
    assert [row["document_id"] for row in corpus] == [f"d1{CHUNK_MARK}{n}" for n in range(4)]
    assert corpus[0]["text"].startswith("Head: w0 w1")
    assert "Copyright" not in str(corpus)
    assert (
        {document_of(row["document_id"]) for row in corpus}
        == set(*dataset.qrels().values())
        == {"d1"}
    )
    assert dataset.manifest.counts == {"documents": 1, "queries": 1, "judgments": 1, "chunks": 4}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_beir_folder_is_read_whole_with_its_splits(tmp_path: Path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    write(
        folder / "corpus.jsonl",
        [{"_id": f"d{n}", "title": f"T{n}", "text": f"text {n}"} for n in range(4)],
    )
    write(folder / "queries.jsonl", [{"_id": f"q{n}", "text": f"question {n}"} for n in range(3)])
    header = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels/train.tsv").write_text(f"{header}q0\td0\t2\nq0\td1\t0\nq1\tnone\t1\n")
    (folder / "qrels/test.tsv").write_text(f"{header}q2\td2\t1\n")
    dataset = make(folder, tmp_path / "d")
    assert dataset.qrels() == {"q0": {"d0": 2.0, "d1": 0.0}, "q2": {"d2": 1.0}}
    assert {row["query_id"]: row["split"] for row in dataset.queries().to_pylist()} == {
        "q0": "train",
        "q2": "test",
    }
    assert dataset.corpus()["text"].to_pylist()[0] == "T0 text 0"
    assert dataset.manifest.dropped == {
        "judgment of an absent row": 1,
        "query without a positive": 1,
    }


def test_from_s3_to_s3_it_is_the_same_data_set(pairs_file: Path, bucket: str, tmp_path: Path):
    storage.write_bytes(f"{bucket}/in/pairs.jsonl", pairs_file.read_bytes())
    remote = make(f"{bucket}/in/*.jsonl", f"{bucket}/out/{{key}}")
    local = make(pairs_file, tmp_path / "d")
    assert remote.fingerprint == local.fingerprint
    assert everything(remote) == everything(local)
