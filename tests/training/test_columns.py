from pathlib import Path
from typing import Any

import pytest

from medembed.artifact import NewOutput
from medembed.config import load_config
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.errors import ConfigError, DataError
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES
from medembed.training.config import TrainingConfig
from medembed.training.rows.columns import count_rows, read_columns

PROMPTS = {"query": "q: ", "document": "d: "}
EXAMPLE: dict[str, Any] = {
    "query_id": "q1",
    "query": "one",
    "positive_id": "a",
    "positive": "A",
    "negative_ids": ["b"],
    "negatives": ["B"],
}
# document_id -> (text, class, split)
CORPUS_ROWS = {
    "a#chunk-0": ("A0", "x", "train"),
    "a#chunk-1": ("A1", "x", "train"),
    "b": ("B", "y", "train"),
    "c": ("C", "y", None),
    "t": ("T", "x", "test"),
    "n": ("N", None, "train"),
}
JUDGED = [
    ("q1", "a", 1.0, 0.8),
    ("q1", "b", 0.0, None),
    ("q2", "b", 0.7, 0.7),
    ("q3", "c", 1.0, None),
]


def write(
    folder: Path, corpus: dict[str, tuple[Any, ...]], judged: list[tuple[Any, ...]]
) -> Dataset:
    names = ("document_id", "text", "label", "split")
    documents = [dict(zip(names, (key, *row), strict=True)) for key, row in corpus.items()]
    queries = [
        {
            "query_id": key,
            "text": f"text of {key}",
            "tags": [],
            "split": "test" if key == "q3" else "train",
        }
        for key in ("q1", "q2", "q3")
    ]
    judgments = [dict(zip(QRELS.names, row, strict=True)) for row in judged]
    with NewOutput(str(folder), "key") as output:
        for name, rows, schema in (
            ("corpus", documents, CORPUS),
            ("queries", queries, QUERIES),
            ("qrels", judgments, QRELS),
        ):
            output.write_parquet(f"{name}/part-00000.parquet", to_table(rows, schema))
        output.commit(DatasetManifest(fingerprint="f"))
    return open_dataset(str(folder))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("data") / "d", CORPUS_ROWS, JUDGED)


def test_scored_pairs_are_judgments_of_training_queries_by_similarity_and_a_documents_first_chunk(
    dataset: Dataset,
):
    columns = read_columns("cosine_similarity", dataset, [])
    assert list(columns) == ["query", "document", "label"]
    assert columns["query"] == ["text of q1", "text of q1", "text of q2"]
    assert columns["document"] == ["A0", "B", "B"]
    assert columns["label"] == pytest.approx([0.8, 0.0, 0.7])


def test_contrastive_reads_whether_a_pair_is_a_positive(dataset: Dataset):
    assert read_columns("contrastive", dataset, [])["label"] == [1.0, 0.0, 1.0]


def test_a_pass_of_class_pairs_has_all_but_one_text_of_an_odd_class(tmp_path: Path):
    corpus = {f"d{number}": (f"T{number}", "xxyyyz"[number], "train") for number in range(6)}
    assert count_rows("batch_hard", write(tmp_path / "odd", corpus, []), []) == 4


def test_classes_are_numbered_and_only_training_texts_that_have_one_are_read(dataset: Dataset):
    columns = read_columns("batch_hard", dataset, [])
    assert columns == {"text": ["A0", "A1", "B", "C"], "label": [0, 0, 1, 1]}


def test_losses_on_examples_count_and_read_their_rows(dataset: Dataset):
    examples = [EXAMPLE, EXAMPLE | {"negatives": ["B", "C"], "negative_ids": ["b", "c"]}]
    assert count_rows("multiple_negatives", dataset, examples) == 2
    assert read_columns("multiple_negatives", dataset, examples)["label"][0][-1] == -1
    assert count_rows("triplet", dataset, examples) == 3
    assert len(read_columns("triplet", dataset, examples)["label"]) == 3


@pytest.mark.parametrize(
    ("name", "examples", "fault"),
    [
        ("multiple_negatives", [], "examples: none found, but loss multiple_negatives reads them"),
        (
            "triplet",
            [EXAMPLE | {"negatives": []}],
            "none has a negative, but loss triplet compares with negatives",
        ),
    ],
)
def test_examples_that_a_loss_cannot_use_are_refused(
    name: str, examples: Any, fault: str, dataset: Dataset
):
    with pytest.raises(DataError, match=fault):
        count_rows(name, dataset, examples)


def test_judgments_and_classes_that_a_loss_cannot_use_are_refused(tmp_path: Path):
    alike = write(
        tmp_path / "alike",
        {"a": ("A", "x", "train"), "b": ("B", "x", "train")},
        [("q1", "a", 1.0, None)],
    )
    for name, fault in {
        "cosine_similarity": "all 1 judged training pairs have score 1, but loss cosine_similarity "
        "needs different scores",
        "contrastive": "but loss contrastive needs pairs judged not relevant",
        "batch_hard": "found 1 classes of training texts, 1 of them with two texts or more",
    }.items():
        with pytest.raises(DataError, match=fault):
            count_rows(name, alike, [])
    graded = write(
        tmp_path / "graded",
        {"a": ("A", None, None)},
        [("q1", "a", 2.0, None), ("q2", "a", 0.0, None)],
    )
    with pytest.raises(
        DataError, match="scores from 0 to 2, but loss cosine_similarity compares them with cosines"
    ):
        count_rows("cosine_similarity", graded, [])
    with pytest.raises(DataError, match="no training text has a class"):
        count_rows("batch_hard", graded, [])
    none = write(tmp_path / "none", {}, [("q3", "a", 1.0, None)])
    with pytest.raises(DataError, match="no training query has a judgment, but loss contr"):
        count_rows("contrastive", none, [])


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["loss.name=distill"], "guide: missing; loss distill needs"),
        (["loss.margin=0.5"], "margin: loss multiple_negatives takes none; only triplet"),
        (["loss.name=triplet", "loss.mini_batch_size=2"], "mini_batch_size: loss triplet takes"),
        (["loss.name=infonce"], "loss.name"),
        (
            ["loss.name=batch_hard", "batch_size=5"],
            "batch_size: found 5, but loss batch_hard needs an even one",
        ),
        (["loss.targets.margins=1"], "targets: loss multiple_negatives takes none; only distill"),
        (
            ["loss.name=distill", "loss.targets.embeddings=0"],
            "loss.targets: all weights are 0",
        ),
        (["weights=[1,1,0,1,1]"], "weights: found .* expected numbers above 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: list[str], fault: str):
    with pytest.raises(ConfigError, match=fault):
        load_config(TrainingConfig, settings)
