from collections.abc import Sequence
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.grow import describe_growth, grow
from medembed.data.prepare import prepare
from medembed.errors import DataError
from medembed.schema import content_hash
from tests.data.test_prepare import everything, write

SOURCE = SourceConfig(path="drops")
SIGNS = ["pain", "rash", "fever", "cough", "tremor", "swelling"]


def drop(folder: Path, name: str, rows: list[dict[str, object]]) -> tuple[str, str]:
    path = write(folder / name, rows)
    return str(path), content_hash(path.read_bytes())


def pairs(first: int, last: int) -> list[dict[str, object]]:
    return [
        {
            "question": f"what helps {SIGNS[n % 6]} number {n}",
            "answer": f"Advice {n // 2} about {SIGNS[n % 6]}.",
        }
        for n in range(first, last)
    ]


def grown(
    previous: Dataset | None,
    files: Sequence[tuple[str, str]],
    output: Path,
    source: SourceConfig = SOURCE,
) -> Dataset:
    return grow(previous, files, source, SplitConfig(), str(output))


def test_a_data_set_that_grew_is_the_one_prepared_from_all_rows_at_once(tmp_path: Path):
    """Repeated rows, new questions about old documents and chunked documents included; splits are
    those of before.
    """
    source = SourceConfig(path="drops", chunk_words=16, chunk_overlap=4)
    long = {"question": "what is long", "answer": " ".join(f"word{n}" for n in range(45))}
    # never sent again
    other = {"question": "what is other", "answer": " ".join(f"other{n}" for n in range(50))}
    rows = [
        [*pairs(0, 60), long, other],
        [*pairs(50, 71), {**long, "question": "is it long"}],
        pairs(70, 90),
    ]
    files = [drop(tmp_path, f"{number}.jsonl", some) for number, some in enumerate(rows)]
    data = None
    for number, file in enumerate(files):
        before, data = data, grown(data, [file], tmp_path / f"d{number}", source)
        if number == 1:
            write(tmp_path / "both.jsonl", rows[0] + rows[1])
            whole = prepare(
                source.model_copy(update={"path": str(tmp_path / "both.jsonl")}),
                SplitConfig(previous=before and before.uri),
                str(tmp_path / "whole"),
            )
            assert everything(data) == everything(whole)
            assert data.fingerprint == whole.fingerprint
            assert describe_growth(before, data).startswith(
                "+11 documents, +12 queries, +12 judgments"
            )
    assert before is not None
    assert data is not None
    assert set(data.manifest.taken.values()) == {"0.jsonl", "1.jsonl", "2.jsonl"}
    assert data.manifest.origin.dataset == before.as_source
    split_of = {row["query_id"]: row["split"] for row in data.queries().to_pylist()}
    assert all(split_of[row["query_id"]] == row["split"] for row in before.queries().to_pylist())


def test_the_newest_file_has_the_last_word_on_an_id_and_its_judgments_stay(tmp_path: Path):
    def row(name: int, text: str) -> dict[str, object]:
        return {
            "query_id": f"q{name}",
            "question": f"question {name}",
            "document_id": f"d{name}",
            "answer": text,
        }

    source = SourceConfig(
        path="drops", columns={"query_id": "query_id", "document_id": "document_id"}
    )
    first = grown(
        None,
        [drop(tmp_path, "0.jsonl", [row(n, f"old text {n}") for n in range(20)])],
        tmp_path / "a",
        source,
    )
    newer = [
        drop(tmp_path, "1.jsonl", [row(3, "middle text")]),
        drop(tmp_path, "2.jsonl", [row(3, "new text"), row(4, "old text 4")]),
    ]
    second = grown(first, newer, tmp_path / "b", source)
    texts = {row["document_id"]: row["text"] for row in second.corpus().to_pylist()}
    assert texts == {f"d{n}": "new text" if n == 3 else f"old text {n}" for n in range(20)}
    assert second.qrels() == first.qrels()
    assert second.manifest.dropped["document text edited"] == 1
    assert "1 document text edited" in describe_growth(first, second)


def test_files_of_one_drop_may_have_other_columns(tmp_path: Path):
    """Questions in one file, leaflets in another, a table of texts with classes in a third."""
    leaflets = [
        {"document_id": f"leaflet{n}", "text": f"Leaflet {n} on {SIGNS[n]}."} for n in range(4)
    ]
    classes = tmp_path / "classes.csv"
    classes.write_text("text,label\nA text about the heart,heart\nOne about the skin,skin\n")
    files = [
        drop(tmp_path, "pairs.jsonl", pairs(0, 30)),
        drop(tmp_path, "leaflets.jsonl", leaflets),
        drop(tmp_path, "nothing.jsonl", []),
        (str(classes), content_hash(classes.read_bytes())),
    ]
    data = grown(None, files, tmp_path / "a")
    assert {"leaflet0", "leaflet3"} <= set(data.document_ids().to_pylist())
    assert data.manifest.counts == {"documents": 30 + 4 + 2, "queries": 30, "judgments": 30}


def test_a_file_that_is_written_to_meanwhile_is_refused_and_leaves_nothing(tmp_path: Path):
    uri, content = drop(tmp_path, "0.jsonl", pairs(0, 30))
    write(Path(uri), pairs(0, 40))
    with pytest.raises(DataError, match=r"0.jsonl: was written to while it was read; run again"):
        grown(None, [(uri, content)], tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_two_runs_that_make_the_same_data_set_at_once_both_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second begins and ends while the first is between its two passes, and takes its scratch
    away.
    """
    file = drop(tmp_path, "0.jsonl", pairs(0, 30))
    second: list[Dataset] = []

    def meanwhile(files: Sequence[tuple[str, str]]) -> None:
        monkeypatch.undo()
        second.append(grown(None, [file], tmp_path / "a"))

    monkeypatch.setattr("medembed.data.grow._check_unchanged", meanwhile)
    first = grown(None, [file], tmp_path / "a")
    assert everything(first) == everything(second[0])
    assert first.manifest == second[0].manifest
    assert not (tmp_path / "a/_staging").exists()


def test_a_run_that_fails_leaves_alone_what_another_one_is_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = drop(tmp_path, "0.jsonl", pairs(0, 30))

    def fail(files: Sequence[tuple[str, str]]) -> None:
        raise DataError("a fault")

    def meanwhile(files: Sequence[tuple[str, str]]) -> None:
        monkeypatch.setattr("medembed.data.grow._check_unchanged", fail)
        with pytest.raises(DataError, match="a fault"):
            grown(None, [file], tmp_path / "a")

    monkeypatch.setattr("medembed.data.grow._check_unchanged", meanwhile)
    data = grown(None, [file], tmp_path / "a")
    assert data.queries().num_rows == 30
    assert not (tmp_path / "a/_staging").exists()


def test_files_without_anything_new_leave_the_fingerprint_as_it_is(tmp_path: Path):
    rows = pairs(0, 30)
    first = grown(None, [drop(tmp_path, "0.jsonl", rows)], tmp_path / "a")
    second = grown(first, [drop(tmp_path, "again.jsonl", list(reversed(rows)))], tmp_path / "b")
    assert second.fingerprint == first.fingerprint
    assert describe_growth(first, second) == "nothing new"


def test_a_drop_that_would_leak_test_texts_into_training_is_held_out_or_refused(tmp_path: Path):
    first = grown(None, [drop(tmp_path, "0.jsonl", pairs(0, 60))], tmp_path / "a")
    rows = first.queries().to_pylist()
    answers = {row["document_id"]: row["text"] for row in first.corpus().to_pylist()}
    of = {
        split: [
            answers[next(iter(first.qrels()[row["query_id"]]))]
            for row in rows
            if row["split"] == split
        ]
        for split in ("train", "test")
    }
    both = [{"question": "one about both", "answer": of[split][0]} for split in ("train", "test")]
    second = grown(first, [drop(tmp_path, "both.jsonl", both)], tmp_path / "b")
    assert second.fingerprint == first.fingerprint
    assert second.manifest.dropped["held out: query, joins groups of different splits"] == 1
    moved = [{"question": "asked in training", "answer": of["test"][0], "split": "train"}]
    with pytest.raises(
        DataError, match=r"splits: \d+ texts stand in another split than in splits.previous"
    ):
        grown(first, [drop(tmp_path, "moved.jsonl", moved)], tmp_path / "c")


def test_what_is_held_out_stays_so(tmp_path: Path):
    first = grown(None, [drop(tmp_path, "0.jsonl", pairs(0, 60))], tmp_path / "a")
    rows = first.queries().to_pylist()
    answers = {row["document_id"]: row["text"] for row in first.corpus().to_pylist()}
    asked = next(row for row in rows if row["split"] == "train")
    tested = next(row for row in rows if row["split"] == "test")
    answer = answers[next(iter(first.qrels()[tested["query_id"]]))]
    second = grown(
        first,
        [drop(tmp_path, "1.jsonl", [{"question": asked["text"], "answer": answer}])],
        tmp_path / "b",
    )
    assert list(second.held_out()) == [asked["query_id"]]
    third = grown(second, [drop(tmp_path, "2.jsonl", pairs(60, 64))], tmp_path / "c")
    assert third.held_out() == second.held_out()
