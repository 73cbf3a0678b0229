from pathlib import Path

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.lineage import DatasetManifest
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import select_pairs
from medembed.schema import QRELS, QUERIES

JUDGED = {
    "several": {"good": 1.0, "best": 3.0, "refused": 0.0},
    "even": {"one": 1.0, "two": 1.0},
    "refused": {"x": 0.0},
    "lay": {"y": 1.0},
}


def write(root: Path) -> Dataset:
    queries = [
        {"query_id": name, "text": f"text of {name}", "tags": [name], "split": split}
        for name, split in [
            *((name, "train") for name in JUDGED),
            ("unjudged", "train"),
            ("held", "test"),
        ]
    ]
    qrels = [
        {"query_id": query_id, "document_id": name, "score": score}
        for query_id, grades in (JUDGED | {"held": {"z": 1.0}}).items()
        for name, score in grades.items()
    ]
    with NewOutput(str(root), "k") as output:
        output.write_parquet("queries/part-00000.parquet", to_table(queries, QUERIES))
        output.write_parquet("qrels/part-00000.parquet", to_table(qrels, QRELS))
        output.commit(DatasetManifest(fingerprint="k"))
    return open_dataset(str(root))


def chosen(dataset: Dataset, **settings: object) -> list[tuple[str, str]]:
    return [
        (pair.query_id, pair.positive_id)
        for pair in select_pairs(dataset, MiningConfig(**settings))
    ]


def test_every_positive_of_a_training_query_is_a_pair_in_an_order_that_no_cut_changes(
    tmp_path: Path,
):
    dataset = write(tmp_path)
    pairs = chosen(dataset)
    expected = {
        ("several", "good"),
        ("several", "best"),
        ("even", "one"),
        ("even", "two"),
        ("lay", "y"),
    }
    assert len(pairs) == len(expected)
    assert set(pairs) == expected
    assert chosen(dataset, max_pairs=3) == pairs[:3]
    assert chosen(dataset, prefer_tag="lay") == [
        ("lay", "y"),
        *(pair for pair in pairs if pair[0] != "lay"),
    ]


def test_best_leaves_each_query_its_highest_judged_positive(tmp_path: Path):
    pairs = chosen(write(tmp_path), positives="best")
    assert sorted(query_id for query_id, _ in pairs) == ["even", "lay", "several"]
    assert ("several", "best") in pairs
    assert pairs == [pair for pair in chosen(write(tmp_path / "again")) if pair in pairs], (
        "in the same order"
    )
