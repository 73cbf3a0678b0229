"""What is kept elsewhere, as it stands in a terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.judge import Against, Retention, Scores, judge_retained
from medembed.evaluation.retention.words import (
    format_retention,
    lost_to,
    retention_headline,
)

LOST = (
    "new surely loses more than 0.005 elsewhere against base: clinic at 384 and 64 dimensions "
    "(0.800 -> 0.770 at 64)."
)
GROUPS = [str(n) for n in range(40)]


def make_retention(losses: Mapping[str, Mapping[int, float]], **more: Any) -> Retention:
    """40 queries of each set at 0.8 before; {set: {dimension: loss}}."""
    before = {
        name: Scores({d: np.full(40, 0.8) for d in rows}, GROUPS) for name, rows in losses.items()
    }
    after = {
        name: Scores({d: np.full(40, 0.8 - loss) for d, loss in rows.items()}, GROUPS)
        for name, rows in losses.items()
    }
    rows = judge_retained(before, after, RetentionConfig())
    means = {
        name: {"new": {d: 0.8 - loss for d, loss in rows.items()}} for name, rows in losses.items()
    }
    sizes = dict.fromkeys(losses, (40, 1200))
    return Retention("new", 0.005, means, (Against("base", rows),), sizes, **more)


def test_each_set_has_a_line_per_dimension_and_sure_losses_are_marked():
    kept = make_retention(
        {"clinic": {384: 0.02, 64: 0.03}, "french": {384: 0.0, 64: -0.01}}, notes=("look at it",)
    )
    assert format_retention(kept) == [
        "",
        "NDCG@10 on what was not trained on",
        "elsewhere   queries   dimensions    base     new   difference      each side 95%",
        "   clinic        40          384   0.800   0.780       -0.020   [-0.020, -0.020]   LOST",
        "                              64   0.800   0.770       -0.030   [-0.030, -0.030]   LOST",
        "   french        40          384   0.800   0.800       +0.000   [+0.000, +0.000]",
        "                              64   0.800   0.810       +0.010   [+0.010, +0.010]",
        LOST,
        "note: look at it",
    ]
    assert lost_to(kept) == retention_headline(kept)


def test_where_nothing_is_lost_the_sets_are_named():
    kept = make_retention({"clinic": {64: 0.0}, "french": {64: 0.004}})
    said = "Elsewhere (clinic and french) new has no sure loss of more than 0.005 against base, at any dimension."
    assert retention_headline(kept) == said
    assert lost_to(kept) == ""


def test_a_model_alone_is_shown_with_the_sizes_of_sets():
    kept = Retention(
        "new", 0.005, {"clinic": {"new": {384: 0.8, 64: 0.7}}}, (), {"clinic": (40, 1200)}
    )
    assert format_retention(kept)[2:] == [
        "elsewhere                          size     384      64",
        "   clinic   40 queries, 1,200 documents   0.800   0.700",
        "Elsewhere new stands alone: name a baseline, to see what it lost.",
    ]
