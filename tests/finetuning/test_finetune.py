from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.errors import DataError
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.finetune import check_queries, is_worthy
from medembed.finetuning.stages import Stages


@pytest.mark.parametrize(
    ("splits", "more", "missing"),
    [
        (SplitConfig(), {}, None),
        (SplitConfig(dev=0), {}, "no dev query"),
        (SplitConfig(test=0), {}, "no test query"),
        (SplitConfig(), {"evaluation": {"tag": "lay"}}, "no test query with tag lay"),
    ],
)
def test_a_split_without_queries_is_found_out_before_anything_is_encoded(
    splits: SplitConfig,
    more: dict[str, object],
    missing: str | None,
    pairs_file: Path,
    tmp_path: Path,
):
    source = SourceConfig(path=str(pairs_file))
    dataset = prepare(source, splits, str(tmp_path / "d"))
    config = FinetuneConfig(source=source, **more)
    if missing is None:
        check_queries(dataset, config, Stages(config))
    else:
        with pytest.raises(DataError, match=missing):
            check_queries(dataset, config, Stages(config))


@pytest.mark.parametrize(
    ("gain", "lost", "is_new", "has_champion", "worthy"),
    [
        (0.01, "", True, True, True),
        (0.01, None, True, True, True),
        (0.01, "It lost.", True, False, False),
        (-0.01, "", True, False, False),
        (0.01, "", False, True, False),
        (0.01, "", False, False, True),
    ],
    ids=["better", "nothing measured", "lost", "not sure", "rolled back", "no champion"],
)
def test_a_model_is_champion_if_it_surely_gains_and_loses_nothing_elsewhere(
    gain: float, lost: str | None, is_new: bool, has_champion: bool, worthy: bool
):
    assert is_worthy(gain, lost, is_new=is_new, has_champion=has_champion) is worthy
