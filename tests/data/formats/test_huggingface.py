"""Hugging Face data sets, from a local copy; no network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed import storage
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.formats import huggingface
from medembed.data.parts import find_parts, locate, read_part
from medembed.data.prepare import prepare
from medembed.errors import DataError, StorageError
from tests.inline_spread import alone


def make(columns: dict[str, list[Any]], classes: dict[str, list[str]] | None = None) -> Any:
    """A Hugging Face data set of these columns, some of them class labels."""
    import datasets

    made = datasets.Dataset.from_dict(columns)
    for name, labels in (classes or {}).items():
        made = made.cast_column(name, datasets.ClassLabel(names=labels))
    return made


def save(folder: Path, **splits: Any) -> Path:
    import datasets

    datasets.disable_progress_bars()
    datasets.DatasetDict(splits).save_to_disk(folder)
    return folder


def pairs(*questions: str) -> Any:
    return make(
        {"question": list(questions), "answer": [f"on {question}" for question in questions]}
    )


def read_all(path: Path | str, **settings: Any) -> list[tuple[str, str | None, Any]]:
    """(place, split, row) of all rows of a source, in order."""
    source = SourceConfig(path=str(path), **settings)
    found = find_parts(source)
    assert found.format == "huggingface"
    return [
        (locate(part, n), part.split, row)
        for part in found.parts
        for n, row in read_part(part, source)
    ]


def prepare_here(path: Path, output: Path, **settings: Any) -> Any:
    source = SourceConfig(path=str(path), query_language="en", document_language="en", **settings)
    return prepare(source, SplitConfig(), str(output))


@pytest.fixture(autouse=True)
def one_process() -> Iterator[None]:
    with alone():
        yield


def test_a_saved_data_set_has_its_classes_by_name_and_none_where_they_are_withheld(tmp_path: Path):
    made = make(
        {"text": ["x", "y", "z"], "label": [0, 1, -1]}, {"label": ["cardiology", "oncology"]}
    )
    made.with_format("numpy").save_to_disk(tmp_path / "d")
    assert read_all(tmp_path / "d") == [
        (f"{tmp_path}/d:1", None, {"text": "x", "label": "cardiology"}),
        (f"{tmp_path}/d:2", None, {"text": "y", "label": "oncology"}),
        (f"{tmp_path}/d:3", None, {"text": "z", "label": None}),
    ]
    with pytest.raises(DataError, match=f"^{tmp_path}/d:3: missing or empty 'label'"):
        prepare_here(tmp_path / "d", tmp_path / "out")
    dataset = prepare_here(tmp_path / "d", tmp_path / "out", skip_bad_rows=True)
    assert dataset.manifest.shape == "classes"
    assert {row["text"]: row["label"] for row in dataset.corpus().to_pylist()} == {
        "x": "cardiology",
        "y": "oncology",
    }


def test_a_label_that_judges_two_sentences_keeps_its_number(tmp_path: Path):
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0], "kind": [0, 1]}
    classes = {"label": ["not_equivalent", "equivalent"], "kind": ["x", "y"]}
    save(tmp_path / "glue", train=make(columns, classes))
    assert [(row["label"], row["kind"]) for _, _, row in read_all(tmp_path / "glue")] == [
        (1, "x"),
        (0, "y"),
    ]
    dataset = prepare_here(tmp_path / "glue", tmp_path / "out")
    assert dataset.manifest.shape == "scores"
    assert [list(judged.values()) for judged in dataset.qrels().values()] == [[1.0], [0.0]]


def test_several_splits_are_the_users_own(tmp_path: Path):
    save(tmp_path / "d", train=pairs("a", "b"), validation=pairs("e"), test=pairs("f", "g"))
    places = [place.removeprefix(f"{tmp_path}/d") for place, _, _ in read_all(tmp_path / "d")]
    assert places == ["[train]:1", "[train]:2", "[validation]:1", "[test]:1", "[test]:2"]
    dataset = prepare_here(tmp_path / "d", tmp_path / "out")
    splits = {row["text"]: row["split"] for row in dataset.queries().to_pylist()}
    assert splits == {"a": "train", "b": "train", "e": "dev", "f": "test", "g": "test"}


def test_one_split_of_several_can_be_chosen_and_is_then_no_split_of_the_users(tmp_path: Path):
    save(tmp_path / "d", train=pairs("a"), test=pairs("f", "g"))
    assert [
        (split, row["question"]) for _, split, row in read_all(tmp_path / "d", hub_split="test")
    ] == [(None, "f"), (None, "g")]
    save(tmp_path / "single", test=pairs("f"))
    assert [(split, row["question"]) for _, split, row in read_all(tmp_path / "single")] == [
        (None, "f")
    ]
    with pytest.raises(DataError) as caught:
        read_all(tmp_path / "d", hub_split="dev")
    assert str(caught.value) == (
        f"{tmp_path}/d: no split 'dev'; expected source.hub_split to be one of train, test."
    )


def test_parts_are_cut_by_rows_within_splits_and_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(huggingface, "_ROWS_PER_PART", 2)
    save(tmp_path / "d", train=pairs("a", "b", "c", "d", "e"), test=pairs("f"))
    source = SourceConfig(path=str(tmp_path / "d"))
    cuts = [(part.split, part.start, part.end) for part in find_parts(source).parts]
    assert cuts == [("train", 0, 2), ("train", 2, 4), ("train", 4, 5), ("test", 0, 1)]
    rows = [(place[-2:], row["question"]) for place, _, row in read_all(tmp_path / "d")]
    assert rows == [(":1", "a"), (":2", "b"), (":3", "c"), (":4", "d"), (":5", "e"), (":1", "f")]


def test_the_fingerprint_goes_by_content(tmp_path: Path):
    contents = {"one": pairs("a"), "same": pairs("a"), "other": pairs("b")}
    for name, made in contents.items():
        save(tmp_path / name, train=made)
    one, same, other = (
        find_parts(SourceConfig(path=str(tmp_path / name))).fingerprint for name in contents
    )
    assert one == same != other


def test_a_folder_of_parquet_is_loaded_as_the_hub_would(tmp_path: Path):
    (tmp_path / "d").mkdir()
    pq.write_table(
        pa.table({"question": ["a", "b"], "answer": ["x", "y"]}), tmp_path / "d/train-00000.parquet"
    )
    pq.write_table(
        pa.table({"question": ["f"], "answer": ["z"]}), tmp_path / "d/test-00000.parquet"
    )
    (tmp_path / "d/README.md").write_text("# A data set\n")
    assert [
        (split, row["question"]) for _, split, row in read_all(tmp_path / "d", format="huggingface")
    ] == [("train", "a"), ("train", "b"), ("test", "f")]


def test_a_saved_data_set_may_lie_on_an_object_store(tmp_path: Path, bucket: str):
    save(tmp_path / "d", train=pairs("a"), test=pairs("f"))
    for file in (path for path in (tmp_path / "d").rglob("*") if path.is_file()):
        storage.write_bytes(f"{bucket}/d/{file.relative_to(tmp_path / 'd')}", file.read_bytes())
    assert [(place, row["question"]) for place, _, row in read_all(f"{bucket}/d")] == [
        (f"{bucket}/d[train]:1", "a"),
        (f"{bucket}/d[test]:1", "f"),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hf://nobody/nothing", "cannot load it as a Hugging Face data set: Couldn't reach 'nob"),
        ("hf://datasets/nobody/nothing@main", "cannot load it as a Hugging Face data set: C"),
        ("hf://", "expected hf://organisation/name, or hf://organisation/name@revision."),
        ("hf://a/b/c", "expected hf://organisation/name, or hf://organisation/name@revision."),
    ],
)
def test_a_data_set_out_of_reach_is_a_one_line_error(path: str, expected: str):
    with pytest.raises(DataError) as caught:
        find_parts(SourceConfig(path=path))
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_holds_no_data_set_or_a_broken_one_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=f"^{tmp_path}/empty: cannot load it as a Hugging Face data set: "
    ):
        find_parts(SourceConfig(path=str(tmp_path / "empty"), format="huggingface"))
    # which the library writes, and cannot read
    save(tmp_path / "broken", train=pairs("a"), test=pairs())
    with pytest.raises(
        DataError, match=f"^{tmp_path}/broken: cannot load it as a Hugging Face data set: "
    ):
        find_parts(SourceConfig(path=str(tmp_path / "broken")))
    with pytest.raises(StorageError, match=f"^{tmp_path}/none: no such folder.$"):
        find_parts(SourceConfig(path=str(tmp_path / "none"), format="huggingface"))
