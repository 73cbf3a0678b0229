import base64
import re

import numpy as np

from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import Evaluation
from medembed.evaluation.report import compare_evaluations, draw_curve, format_table, headline, render_report


def evaluation(level: float) -> Evaluation:
    generator = np.random.default_rng(0)
    scores = {d: np.clip(generator.normal(level * d**0.1, 0.1, 50), 0, 1) for d in (64, 8)}
    per_query = {d: {"ndcg@10": values, "recall@10": values} for d, values in scores.items()}
    metrics = {d: {name: float(v.mean()) for name, v in named.items()} for d, named in per_query.items()}
    return Evaluation("", metrics, per_query, tuple(f"q{n}" for n in range(50)), tuple(f"g{n % 25}" for n in range(50)))


COMPARISON = compare_evaluations(evaluation(0.3), evaluation(0.5), EvaluationConfig())


def test_the_page_is_self_contained_escaped_and_shows_every_number():
    page = render_report("Before <and> after", COMPARISON, draw_curve(COMPARISON), [("data set", "<b>x</b>")])
    assert "<b>x</b>" not in page
    assert "Before &lt;and&gt; after" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    for row in COMPARISON.differences["ndcg@10"].values():
        assert f"{row.mean:+.3f}" in page
        assert f"{row.after:.3f}" in page


def test_the_curve_is_a_png_whose_bytes_do_not_change():
    assert draw_curve(COMPARISON) == draw_curve(COMPARISON)
    assert base64.b64encode(draw_curve(COMPARISON)).startswith(b"iVBOR")


def test_the_headline_says_when_fewer_dimensions_after_beat_the_full_width_before():
    assert headline(COMPARISON).startswith("8 dimensions after (")
    same = compare_evaluations(evaluation(0.3), evaluation(0.3), EvaluationConfig())
    assert headline(same).startswith("NDCG@10 at 64 dimensions")


def test_the_table_has_a_line_per_dimension_and_counts_queries_and_groups():
    lines = format_table(COMPARISON).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["64", "8"]
    assert lines[-1] == "(50 queries of 25 groups; intervals resample groups)"
