"""Margins count from what the model gives random pairs, where that is high."""

from pathlib import Path

import numpy as np
import pytest

from medembed.encoding.encoder import Encoder
from medembed.mining.chance import pair_by_chance, settle_margin
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.pairs import Pair
from tests.mining.conftest import ENCODING, Minable


def test_a_query_is_paired_with_the_positive_half_the_list_away_unless_it_is_one_of_its_own():
    pairs = [Pair(f"q{number}", "", f"d{number}") for number in range(5)]
    known = {pair.query_id: {pair.positive_id} for pair in pairs} | {"q1": {"d1", "d3"}}
    drawn = [tuple(entry) for entry in pair_by_chance(pairs, known)]
    assert drawn == [("q0", "d2"), ("q2", "d4"), ("q3", "d0"), ("q4", "d1")]
    assert pair_by_chance(pairs[:1], known) == []
    many = [Pair(f"q{number}", "", f"d{number}") for number in range(1000)]
    assert len(pair_by_chance(many, {pair.query_id: set() for pair in many})) == 256


@pytest.mark.parametrize(
    ("given", "scores", "start"),
    [
        (None, [0.7, 0.9], 0.8),
        (None, [0.1, 0.3], 0.0),  # as with most models: margins as they are published
        (None, [-9.0, -11.0], 0.0),
        (None, [], 0.0),
        (0.3, [0.7, 0.9], 0.3),
    ],
)
def test_a_positive_counts_from_the_score_of_random_pairs_where_that_is_high(
    given: float | None, scores: list[float], start: float
):
    config = settle_margin(MiningConfig(margin_from=given), scores)
    assert config.margin_from == pytest.approx(start)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
@pytest.mark.parametrize("by_second", [False, True])
def test_mining_says_from_where_margins_counted_and_no_negative_is_above(
    minable: Minable, prompted_folder: Path, tmp_path: Path, *, by_second: bool
):
    judge = str(prompted_folder) if by_second else minable.model
    config = MiningConfig(
        negatives=3, margin=0.3, second_opinion=judge if by_second else None, max_pairs=60
    )
    examples = mine(*minable, str(tmp_path / "out"), config, ENCODING)
    start = examples.manifest.config["margin_from"]
    assert examples.read_counts()["margin_from"] == start
    rows = examples.read()
    encoder = Encoder.load(judge, ENCODING)
    queries = encoder.encode([row["query"] for row in rows], "query")
    positives = encoder.encode([row["positive"] for row in rows])
    scores = queries @ positives.T
    mean = scores[~np.eye(len(rows), dtype=bool)].mean()
    assert mean > 0.5  # random weights give a narrow cone, as E5's do
    assert start == pytest.approx(mean, abs=0.03)
    kind = "second_score" if by_second else "score"
    for row in rows:
        limit = row[f"positive_{kind}"] - 0.3 * abs(row[f"positive_{kind}"] - start)
        assert all(score <= limit for score in row[f"negative_{kind}s"])
