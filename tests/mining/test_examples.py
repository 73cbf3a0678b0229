from pathlib import Path

import pytest
from datasets import load_dataset

from medembed.artifact import NewOutput
from medembed.errors import DataError
from medembed.lineage import ExamplesManifest
from medembed.mining import examples as room
from medembed.mining.examples import Example, open_examples, write_examples
from medembed.mining.judgments import Positive
from medembed.mining.negatives import Negative
from tests.mining.corpus import corpus_rows

TEXTS = {"p": "Heart pain.", "a": "Lung pain.", "b": "Knee pain.", "c": "Elbow pain."}
EXAMPLES = [
    Example(
        "q1",
        "my heart hurts",
        Positive("p", 0.9),
        (Negative("a", 0.3, None, True), Negative("b", 0.1 + 0.2, 4)),
    ),
    Example("q2", "chest pain", Positive("p", 0.8), ()),
    Example("q3", "heart", Positive("p", 0.7), (Negative("c", -0.2, 0),)),
]


def written(
    root: Path, examples: list[Example], form: str, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    monkeypatch.setattr(room, "_ROWS_PER_FILE", 2)
    (root / "texts").mkdir()
    with NewOutput(str(root / "out"), "k") as target:
        write_examples(examples, corpus_rows(TEXTS, root / "texts"), form, target)
        target.write_bytes(room.COUNTS, b"{}")
        target.commit(ExamplesManifest(is_lists=form == "lists"))
    return sorted(str(path) for path in (root / "out").glob("*.parquet"))


def load(files: list[str], root: Path) -> list[dict[str, object]]:
    return load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(root / "cache")
    ).to_list()


def test_lists_load_as_a_data_set_with_an_example_to_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = written(tmp_path, EXAMPLES, "lists", monkeypatch)
    assert len(files) == 2
    rows = load(files, tmp_path)
    assert rows == open_examples(str(tmp_path / "out")).read()
    assert [row["query_id"] for row in rows] == ["q1", "q2", "q3"]
    assert rows[0] == {
        "query_id": "q1",
        "query": "my heart hurts",
        "positive_id": "p",
        "positive": "Heart pain.",
        "negative_ids": ["a", "b"],
        "negatives": ["Lung pain.", "Knee pain."],
        "positive_score": 0.9,
        "negative_scores": [0.3, 0.1 + 0.2],
        "negative_ranks": [None, 4],
        "negative_judged": [True, False],
        "positive_second_score": None,
        "negative_second_scores": None,
    }
    assert rows[1]["negatives"] == []


def test_rows_load_as_a_data_set_with_a_negative_to_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = load(written(tmp_path, EXAMPLES, "rows", monkeypatch), tmp_path)
    assert [(row["query_id"], row["negative_id"]) for row in rows] == [
        ("q1", "a"),
        ("q1", "b"),
        ("q3", "c"),
    ]
    assert rows[1] == {
        "query_id": "q1",
        "query": "my heart hurts",
        "positive_id": "p",
        "positive": "Heart pain.",
        "negative_id": "b",
        "negative": "Knee pain.",
        "positive_score": 0.9,
        "negative_score": 0.1 + 0.2,
        "negative_rank": 4,
        "negative_judged": False,
        "positive_second_score": None,
        "negative_second_score": None,
    }


@pytest.mark.parametrize(
    ("form", "column", "expected"),
    [("lists", "negative_second_scores", [0.5]), ("rows", "negative_second_score", 0.5)],
)
def test_the_second_opinions_scores_are_written_for_distillation(
    form: str, column: str, expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    negatives = (Negative("a", 0.3, 2, second=0.5),)
    examples = [Example("q1", "my heart hurts", Positive("p", 0.9, 0.99), negatives)]
    (row,) = load(written(tmp_path, examples, form, monkeypatch), tmp_path)
    assert (row["positive_second_score"], row[column]) == (0.99, expected)


def test_training_is_told_that_it_reads_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written(tmp_path, EXAMPLES, "rows", monkeypatch)
    with pytest.raises(DataError, match="mine with mining.format=lists"):
        open_examples(str(tmp_path / "out")).check_lists()


@pytest.mark.parametrize("form", ["lists", "rows"])
def test_examples_are_the_same_bytes_in_whatever_order_the_corpus_lies(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written_bytes = []
    for number, texts in enumerate((TEXTS, dict(reversed(TEXTS.items())))):
        monkeypatch.setattr("tests.mining.test_examples.TEXTS", texts)
        (tmp_path / str(number)).mkdir()
        files = written(tmp_path / str(number), EXAMPLES, form, monkeypatch)
        written_bytes.append([Path(file).read_bytes() for file in files])
    assert written_bytes[0] == written_bytes[1]
