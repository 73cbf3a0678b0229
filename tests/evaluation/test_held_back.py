"""What a data set holds back is not trained on, and becomes a retention set of its own."""

import json
import logging
from pathlib import Path

import pytest

from medembed.data.config import HoldBackConfig, SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.names import MADE
from medembed.evaluation.retention.sets import open_retention
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import select_pairs
from medembed.schema import HELD_BACK
from tests.evaluation.test_retention_sets import write_set
from tests.tiny import SIGNS, SUBJECTS


def make(root: Path, name: str, splits: SplitConfig) -> Dataset:
    """240 questions of two sources in two languages, each with an answer that has two sentences."""
    path = root / "pairs.jsonl"
    rows = [
        {
            "question": f"what is case {n} of the {SUBJECTS[n % 12]}",
            "answer": f"Case {n} is of the {SUBJECTS[n % 12]} alone. It was seen with {SIGNS[n % 10]} on many days.",
            "source": ("ward", "forum")[n % 2],
            "language": ("en", "fr")[n // 2 % 2],
        }
        for n in range(240)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = SourceConfig(
        path=str(path), columns=ColumnsConfig(tags=("source",), language=("language",))
    )
    return prepare(source, splits, str(root / name))


def hold_back(**kinds: str) -> SplitConfig:
    return SplitConfig(test=0.4, hold_back=HoldBackConfig(**kinds))


def test_a_source_that_is_held_back_is_in_no_training_pair_and_makes_a_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    dataset = make(tmp_path, "data", hold_back(tag="forum"))
    tags = {row["query_id"]: row["tags"] for row in dataset.queries().to_pylist()}
    assert {
        tag for pair in select_pairs(dataset, MiningConfig()) for tag in tags[pair.query_id]
    } == {"ward"}
    assert {tag for row in dataset.queries("dev").to_pylist() for tag in row["tags"]} == {"ward"}
    with caplog.at_level(logging.INFO):
        (kept,) = open_retention(RetentionConfig(made=False), str(tmp_path / "out"), dataset)
    back = dataset.queries(HELD_BACK)["query_id"].to_pylist()
    assert (kept.name, kept.split, kept.left_out) == ("held back tag forum", "test", frozenset())
    assert kept.dataset.query_ids().to_pylist() == back
    assert {name: len(grades) for name, grades in kept.dataset.qrels().items()} == dict.fromkeys(
        back, 1
    )
    assert (
        f"'held back tag forum': {len(back)} queries, made of the queries with the tag forum, which"
        in caplog.text
    )
    assert "not what is lost on other topics" in kept.worth
    assert open_retention(RetentionConfig(), str(tmp_path / "out"), dataset) == (kept,)


def test_each_kind_is_a_set_beside_those_that_are_given(tmp_path: Path):
    dataset = make(tmp_path, "data", hold_back(tag="forum", language="fr"))
    write_set(tmp_path / "clinic")
    config = RetentionConfig(sets={"clinic": str(tmp_path / "clinic")})
    sets = {
        kept.name: kept.dataset for kept in open_retention(config, str(tmp_path / "out"), dataset)
    }
    assert list(sets) == ["clinic", "held back tag forum", "held back language fr"]
    assert {row["language"] for row in sets["held back language fr"].queries().to_pylist()} == {
        "fr"
    }
    assert {row["language"] for row in sets["held back tag forum"].queries().to_pylist()} == {
        "en",
        "fr",
    }
    assert MADE not in sets


def test_what_is_held_back_is_part_of_what_identifies_the_data_set(tmp_path: Path):
    datasets = [
        make(tmp_path, "all", SplitConfig(test=0.4)),
        make(tmp_path, "tag", hold_back(tag="forum")),
        make(tmp_path, "language", hold_back(language="fr")),
    ]
    assert len({dataset.fingerprint for dataset in datasets}) == 3
    splits = [dataset.manifest.splits for dataset in datasets]
    assert {of["test"] + of.get(HELD_BACK, 0) for of in splits} == {splits[0]["test"]}


def test_data_that_grows_keeps_holding_back(tmp_path: Path):
    before = make(tmp_path, "before", hold_back(tag="forum"))
    again = hold_back(tag="forum").model_copy(update={"previous": before.uri})
    assert make(tmp_path, "after", again).fingerprint == before.fingerprint
    message = f"hold_back.tag: found none, but {before.uri}, .* holds back forum; set splits.hold_back.tag=forum"
    with pytest.raises(DataError, match=message):
        make(tmp_path, "other", SplitConfig(test=0.4, previous=before.uri))
