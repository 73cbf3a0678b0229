import math

import numpy as np
import pytest

from medembed.evaluation.metrics import ndcg, recall
from medembed.preflight.estimate import (
    TAIL,
    estimate,
    fit_shape,
    interval,
    ratio_interval,
    reach,
    share_above,
)
from medembed.preflight.sample import draw_corpus


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def angles(*degrees: float) -> np.ndarray:
    """Return unit vectors [n, 2]: their dot product with (1, 0) falls as the angle grows."""
    return np.array(
        [[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=np.float32
    )


def test_with_nothing_unseen_recall_and_ndcg_are_those_counted_by_hand():
    row_ids = ["b", *[f"r{number:02d}" for number in range(12)], "a"]
    rows = angles(0, *range(10, 22), 85)  # b first, twelve others, a last
    found = estimate(angles(0), rows, row_ids, 12, [{"a": 1.0, "b": 3.0}], unseen=0)
    assert found.recall.tolist() == [0.5]
    assert found.chances == ({"a": 0.0, "b": 1.0},)
    assert found.ndcg[0] == pytest.approx(3 / (3 + 1 / math.log2(3)))
    assert found.outranked.tolist() == [0.5], "all others rank before a, none before b"


def test_a_tie_goes_to_the_smaller_id_as_in_a_search():
    row_ids = [f"r{number:02d}" for number in range(12)]
    found = estimate(
        angles(0, 0), angles(*[30] * 12), row_ids, 0, [{"r09": 1.0}, {"r10": 1.0}], unseen=0
    )
    assert found.recall.tolist() == [1.0, 0.0]


def test_a_querys_own_text_does_not_stand_before_its_answer():
    row_ids = ["A15#text-fr", "A15#text-en", "r"]
    rows = angles(0, 10, 20)
    positives = [{"A15#text-en": 1.0}]
    given = estimate(angles(0), rows, row_ids, 0, positives, 0, ["A15#text-fr"])
    assert (given.ndcg.tolist(), given.outranked.tolist()) == ([1.0], [0.0])
    assert estimate(angles(0), rows, row_ids, 0, positives, 0, ["q"]).ndcg[0] < 1


def test_a_document_in_chunks_is_found_by_its_best_one_and_counts_once_against_others():
    row_ids = ["a#chunk-0", "a#chunk-1", *[f"b#chunk-{number}" for number in range(20)]]
    rows = angles(80, 10, *[5] * 20)
    found = estimate(angles(0), rows, row_ids, 0, [{"a": 1.0}], unseen=0)
    assert found.ndcg[0] == pytest.approx(1 / math.log2(3)), (
        "b is one document, and only b is nearer"
    )


def test_a_sample_that_is_the_corpus_gives_the_metrics_of_the_full_ranking():
    generator = np.random.default_rng(0)
    queries, documents = unit(generator.normal(size=(30, 8))), unit(generator.normal(size=(80, 8)))
    names = [f"d{number:03d}" for number in range(80)]
    positives = [
        {
            f"d{p:03d}": float(g)
            for p, g in zip(generator.choice(80, 4, replace=False), (1, 1, 2, 3), strict=True)
        }
        for _ in range(30)
    ]
    ranked = [[names[n] for n in np.argsort(-(documents @ query))] for query in queries]
    grades = np.array(
        [[of.get(name, 0.0) for name in row] for row, of in zip(ranked, positives, strict=True)]
    )
    judged = [list(of.values()) for of in positives]
    found = estimate(queries, documents, names, 60, positives, unseen=0)
    assert found.recall == pytest.approx(recall(grades, judged, 10))
    assert found.ndcg == pytest.approx(ndcg(grades, judged, 10))
    assert 0 < found.recall.mean() < 1


def test_from_one_document_in_ten_the_recall_of_all_is_estimated_where_the_sample_alone_overstates_it():
    generator = np.random.default_rng(1)
    documents = unit(generator.normal(size=(4000, 16)))
    queries = unit(documents[:200] + 0.22 * generator.normal(size=(200, 16)))
    names = [f"d{number:04d}" for number in range(4000)]
    positives = [{names[number]: 1.0} for number in range(200)]
    exact = estimate(queries, documents, names, 0, positives, unseen=0).recall.mean()
    rows = [(name, "", None) for name in names]
    corpus = draw_corpus(rows, 4000, set(names[:200]), set(), 600)
    kept = [row_id for row_id, _ in (*corpus.forced, *corpus.drawn)]
    chosen = documents[[names.index(name) for name in kept]]
    assert (len(corpus.drawn), corpus.unseen) == (400, 3400)
    naive = estimate(queries, chosen, kept, 400, positives, unseen=0).recall.mean()
    estimated = estimate(queries, chosen, kept, 400, positives, unseen=corpus.unseen).recall.mean()
    assert naive > exact + 0.1
    assert estimated == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(("noise", "share"), [(0.22, 0.002), (1.0, 0.25), (1000.0, 0.5)])
def test_the_share_before_a_positive_is_estimated_from_a_sample_and_is_half_by_chance(
    noise: float, share: float
):
    generator = np.random.default_rng(1)
    documents = unit(generator.normal(size=(4000, 16)))
    queries = unit(documents[:200] + noise * generator.normal(size=(200, 16)))
    names = [f"d{number:04d}" for number in range(4000)]
    positives = [{name: 1.0} for name in names[:200]]
    exact = estimate(queries, documents, names, 0, positives, unseen=0).outranked.mean()
    assert exact == pytest.approx(share, abs=0.03)
    sampled = estimate(
        queries, documents[:600], names[:600], 400, positives, unseen=3400
    ).outranked.mean()
    assert sampled == pytest.approx(exact, abs=0.01)


def test_a_positive_without_a_row_is_not_found_and_stands_behind_all_others():
    found = estimate(angles(0), angles(0, 10), ["a", "b"], 0, [{"a": 1.0, "lost": 1.0}], unseen=0)
    assert found.recall.tolist() == [0.5]
    assert found.outranked.tolist() == [0.5]


def test_the_tail_is_a_share_where_many_are_above_and_pareto_beyond():
    scores = np.linspace(0.9, 0.1, 81)  # 0.90, 0.89, ... 0.10
    assert share_above(scores, 0.5, 0.0) == pytest.approx(40 / 81)
    bend, excess = scores[TAIL], scores[:TAIL].mean() - scores[TAIL]
    assert share_above(scores, bend, 0.0) == pytest.approx(TAIL / 81)
    assert share_above(scores, bend + excess, 0.0) == pytest.approx(TAIL / 81 / math.e)
    assert share_above(scores, bend + excess, 1e-5) == pytest.approx(TAIL / 81 / math.e, rel=1e-3)
    assert share_above(scores, bend + excess, -1.0) == pytest.approx(TAIL / 81 / 2), (
        "a uniform tail ends at 2 x mean"
    )
    assert share_above(scores, bend + 2.1 * excess, -1.0) == 0


@pytest.mark.parametrize(("draw", "shape"), [("exponential", 0.0), ("uniform", -1.0)])
def test_the_shape_that_scores_were_drawn_from_is_found_again(draw: str, shape: float):
    scores = getattr(np.random.default_rng(0), draw)(size=(500, 400))
    assert fit_shape(-np.sort(-scores, axis=1)) == pytest.approx(shape, abs=0.1)


def test_the_interval_is_wilsons_over_groups():
    values = np.array([1.0, 0.0] * 10)
    found = interval(values, [f"g{number}" for number in range(20)], is_sampled=False)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.2993, 0.7007), abs=1e-4)
    wider = interval(values, [f"g{number // 2}" for number in range(20)], is_sampled=False)
    assert (wider.low, wider.high) == pytest.approx((0.2366, 0.7634), abs=1e-4), (
        "ten groups, ten trials"
    )
    sampled = interval(values, [f"g{number}" for number in range(20)], is_sampled=True)
    assert (found.low - sampled.low, sampled.high - found.high) == pytest.approx((0.03, 0.03))


def test_intervals_that_hold_together_are_as_wide_as_bonferroni_has_them():
    assert (reach(1), reach(10)) == (
        pytest.approx(1.95996, abs=1e-5),
        pytest.approx(2.80703, abs=1e-5),
    )
    found = interval(
        np.array([1.0, 0.0] * 10), list(map(str, range(20))), is_sampled=False, together=10
    )
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.2342, 0.7658), abs=1e-4)


def test_a_ratio_s_interval_is_cochran_s_over_groups():
    full, narrow = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    found = ratio_interval(narrow, full, list("abcd"))
    error = math.sqrt(4 / 3 * (1 / 9 + 4 / 9 + 1 / 9)) / 3
    assert found.value == pytest.approx(2 / 3)
    assert found.high == pytest.approx(2 / 3 + reach(1) * error)
    assert found.low == pytest.approx(max(2 / 3 - reach(1) * error, 0))
    same = ratio_interval(full, full, list("aabb"))
    assert (same.low, same.value, same.high) == (1.0, 1.0, 1.0)
