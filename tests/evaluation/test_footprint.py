"""Which vectors are recommended for their bytes, and how that is said."""

import pytest

from medembed.evaluation.footprint import Footprint, Footprints
from medembed.evaluation.footprint_words import (
    describe_smallest,
    footprints_json,
    format_footprints,
)
from tests.evaluation.pages import FOOTPRINTS


def test_the_fewest_bytes_that_keep_a_share_of_the_best_are_recommended_in_one_line():
    better, lighter = FOOTPRINTS.smallest
    assert describe_smallest(better, "ndcg@10") == (
        "the fewest bytes that keep 99% of NDCG@10: 128 dimensions as int8: 99.1% of quality, "
        "128 bytes, 0.40 ms"
    )
    assert (lighter.share, lighter.footprint.dimension, lighter.footprint.numbers) == (
        0.95,
        384,
        "binary",
    )


def test_the_terminal_and_json_have_every_option_and_those_that_are_recommended():
    lines = format_footprints(FOOTPRINTS)
    assert lines[1].split()[:3] == ["dimensions", "numbers", "bytes/vector"]
    assert lines[3].split() == [
        "384",
        "bits",
        "48",
        "0.580",
        "96.6%",
        "[-0.030,",
        "-0.010]",
        "0.41",
        "ms",
    ]
    assert "300 queries over 16,449 rows" in lines[7]
    assert len(lines) == 10
    values = footprints_json(FOOTPRINTS)
    assert [option["bytes"] for option in values["options"]] == [1536, 48, 128, 144, 64]
    assert values["smallest"]["0.95"]["bytes"] == 48
    assert values["queries"] == 300
    assert format_footprints(None) == []


def test_of_equal_bytes_the_better_is_taken():
    worse = Footprint(32, "float32", 0.594, 0.99, -0.01, 0.0, 0.4)
    footprints = Footprints("ndcg@10", 1, 1, (worse, *FOOTPRINTS.options))
    assert worse.size_bytes == 128
    assert footprints.smallest[0].footprint.numbers == "int8"


@pytest.mark.parametrize(("dimension", "size"), [(8, 1), (384, 48), (12, 2)])
def test_a_bit_takes_an_eighth_of_a_byte(dimension: int, size: int):
    assert Footprint(dimension, "binary", 0, 0, 0, 0, 0).size_bytes == size
