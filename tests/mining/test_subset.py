from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.errors import DataError
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.subset import cut_examples, pool_of
from tests.mining.conftest import ENCODING, Minable


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_cut_from_a_pool_are_the_examples_that_mining_would_have_given(
    minable: Minable, tmp_path: Path
):
    base = MiningConfig(max_pairs=60, window=20)
    pool = mine(*minable, f"{tmp_path}/pool", pool_of(base, [0.5, 0.0]), ENCODING)
    gaps = [
        1 - score / row["positive_score"] for row in pool.read() for score in row["negative_scores"]
    ]
    # which half of the pool's negatives are too near for
    middle, counts = float(np.median(gaps)), {}
    for negatives, margin in ((3, 0.0), (3, middle)):
        config = base.model_copy(update={"negatives": negatives, "margin": margin})
        mined = mine(*minable, f"{tmp_path}/{{key}}", config, ENCODING)
        cut = cut_examples(pool, f"{tmp_path}/cut/{{key}}", negatives, margin)
        assert cut.read() == mined.read()
        counts[margin] = sum(len(row["negatives"]) for row in cut.read())
        assert cut.manifest.config == mined.manifest.config
        assert cut.manifest.origin.dataset == mined.manifest.origin.dataset
        counted = "pairs with fewer negatives than asked"
        assert cut.manifest.counts[counted] == mined.manifest.counts[counted]
        assert cut_examples(pool, f"{tmp_path}/cut/{{key}}", negatives, margin) == cut
    assert counts[0.0] > counts[middle] > 0  # the margin decides about some of them


def test_a_pool_holds_all_that_the_narrowest_margin_keeps():
    config = MiningConfig(window=40, margin=0.1)
    assert (
        pool_of(config, [0.1, 0.03]).model_dump()
        == config.model_copy(update={"negatives": 40, "margin": 0.03}).model_dump()
    )
    assert pool_of(config, [0.1, None]).margin is None


@pytest.mark.parametrize("other", [{"choice": "sample"}, {"format": "rows"}])
def test_what_does_not_begin_at_the_nearest_cannot_be_cut(other: dict[str, Any]):
    with pytest.raises(DataError, match="needs choice=hardest and format=lists"):
        pool_of(MiningConfig(**other), [0.1])
