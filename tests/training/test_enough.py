"""Too few pairs for a batch are told by counts alone, with a batch size that makes steps."""

from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.errors import ConfigError, DataError
from medembed.mining.config import MiningConfig
from medembed.training.config import TrainingConfig
from medembed.training.run.enough import check_enough, check_enough_new, check_filled


@pytest.fixture(scope="module")
def dataset(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = str(tmp_path_factory.mktemp("enough") / "data")
    return prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), root)


def test_a_batch_that_the_pairs_fill_is_fine_and_one_more_is_not(dataset: Dataset):
    pairs = dataset.queries("train").num_rows  # each has one document
    check_enough(dataset, MiningConfig(), TrainingConfig(batch_size=pairs))
    with pytest.raises(DataError, match=f"{pairs} examples do not fill one batch of {pairs + 1}"):
        check_enough(dataset, MiningConfig(), TrainingConfig(batch_size=pairs + 1))
    check_enough(
        dataset,
        MiningConfig(negatives=2),
        TrainingConfig(batch_size=pairs + 1, loss={"name": "triplet"}),
    )
    with pytest.raises(DataError, match="8 examples do not fill"):
        check_enough(dataset, MiningConfig(max_pairs=8), TrainingConfig(batch_size=16))


def test_a_window_that_the_corpus_cannot_fill_is_told_before_anything_is_encoded(dataset: Dataset):
    rows = dataset.corpus().num_rows
    check_enough(dataset, MiningConfig(window=rows - 1), TrainingConfig(batch_size=4))
    with pytest.raises(ConfigError, match=f"mining.window: found {rows}, but .* has {rows} rows"):
        check_enough(dataset, MiningConfig(window=rows), TrainingConfig(batch_size=4))


def test_new_queries_count_with_those_that_are_replayed(dataset: Dataset):
    new = dataset.queries("train")["query_id"].to_pylist()[:3]
    check_enough_new(dataset, new, 5, MiningConfig(), TrainingConfig(batch_size=8))
    with pytest.raises(DataError, match="7 examples do not fill one batch of 8"):
        check_enough_new(dataset, new, 4, MiningConfig(), TrainingConfig(batch_size=8))


@pytest.mark.parametrize(
    ("rows", "training", "advice"),
    [
        (
            46,
            {},
            "46 examples do not fill one batch of 64; training.batch_size=8 makes some steps.",
        ),
        (
            46,
            {"workers": 2, "accumulation_steps": 2},
            "one batch of 256; training.batch_size=2 makes some steps.",
        ),
        (7, {}, "7 examples do not fill one batch of 64; add pairs."),
    ],
)
def test_the_advised_batch_size_makes_steps(rows: int, training: dict[str, int], advice: str):
    with pytest.raises(DataError) as caught:
        check_filled("d", rows, TrainingConfig(**training))
    assert str(caught.value).startswith("d: ")
    assert str(caught.value).endswith(advice)
