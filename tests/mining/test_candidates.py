from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.mining.candidates import Outcome, gather_candidates, make_example
from medembed.mining.config import MiningConfig
from medembed.mining.judgments import Positive, ScoredRow
from medembed.mining.negatives import Negative
from medembed.mining.pairs import Pair
from medembed.mining.rules import (
    ABOVE_MARGIN,
    BEFORE_FIRST,
    JUDGED,
    KEPT,
    SAME_CONTENT,
    SAME_WORDS,
    take_window,
)
from medembed.mining.texts import CorpusRows
from tests.mining.corpus import corpus_rows, slow_negatives

TEXTS = {
    "p": "Heart pain.",
    "p2": "Chest pain",
    "copy": "Heart pain.",
    "words": "chest PAIN!",
    "j": "Knee",
    "k": "Elbow",
    "a": "Heart",
    "b": "Lung",
    "c": "Liver",
    "far": "Foot",
    "a2": "heart!",
    "k2": "Elbow",
}
PAIR = Pair("q", "my heart hurts", "p")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> CorpusRows:
    return corpus_rows(TEXTS, tmp_path_factory.mktemp("rows"))


def decide(
    rows: CorpusRows,
    scores: Mapping[str, float],
    positives: set[str],
    judged: list[str],
    config: MiningConfig,
    second: Mapping[str, float] | None = None,
) -> Outcome:
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    window = take_window(
        ranked, ranked, np.array([scores[name] for name in ranked]), positives, config.window
    )
    chosen = []
    if config.judged:
        chosen = [ScoredRow(name, scores[name]) for name in judged if name not in positives]
    candidates = gather_candidates(window, sorted(positives), chosen, rows)
    return make_example(PAIR, Positive("p", scores["p"]), candidates, second, config)


def test_each_candidate_is_decided_by_its_own_rule(rows: CorpusRows):
    scores = {"copy": 0.95, "p": 0.9, "words": 0.89, "j": 0.88, "a": 0.87, "b": 0.8, "p2": 0.75}
    scores |= {"c": 0.7, "far": 0.1, "k": 0.05}
    config = MiningConfig(negatives=3, margin=0.05, window=6)
    outcome = decide(rows, scores, {"p", "p2"}, ["j", "k", "copy"], config)
    assert outcome.window.documents == ["copy", "words", "j", "a", "b", "c"]
    assert outcome.verdicts.tolist() == [SAME_CONTENT, SAME_WORDS, JUDGED, ABOVE_MARGIN, KEPT, KEPT]
    assert outcome.window.positives_passed == 2
    assert outcome.example.positive == Positive("p", 0.9)
    assert outcome.example.negatives == (
        Negative("j", 0.88, 2, judged=True),
        Negative("k", 0.05, None, judged=True),
        Negative("b", 0.8, 4),
    )


def test_a_text_that_differs_from_a_positive_in_a_sign_is_a_negative_of_it(tmp_path: Path):
    texts = {
        "p": "HER2-",
        "+": "HER2+",
        "bare": "HER2",
        "same": "(her2−)",
        "j": "HER2 ±",
        "dose": "HER2 10⁹",
        "d": "HER2 109",
    }
    rows = corpus_rows(texts, tmp_path)
    scores = {name: 0.9 - place / 100 for place, name in enumerate(texts)}
    outcome = decide(rows, scores, {"p"}, ["j"], MiningConfig(negatives=9, margin=None))
    assert {negative.row_id for negative in outcome.example.negatives} == {
        "+",
        "bare",
        "j",
        "dose",
        "d",
    }
    assert outcome.verdicts.tolist() == [KEPT, KEPT, SAME_WORDS, JUDGED, KEPT, KEPT]


def test_a_second_opinion_judges_the_margin_and_its_scores_are_kept(rows: CorpusRows):
    scores = {"p": 0.9, "a": 0.87, "b": 0.8, "c": 0.7, "k": 0.05}
    second = {"p": 0.5, "a": 0.2, "b": 0.6, "k": 0.1}
    config = MiningConfig(negatives=2, margin=0.1, window=2, second_opinion="teacher")
    outcome = decide(rows, scores, {"p"}, ["k"], config, second)
    assert outcome.verdicts.tolist() == [KEPT, ABOVE_MARGIN], (
        "the first model's scores would refuse the other one"
    )
    assert outcome.example.positive == Positive("p", 0.9, 0.5)
    assert outcome.example.negatives == (
        Negative("k", 0.05, None, judged=True, second=0.1),
        Negative("a", 0.87, 0, second=0.2),
    )


def test_a_second_opinion_that_does_not_judge_is_only_written(rows: CorpusRows):
    scores, second = {"p": 0.9, "a": 0.87, "b": 0.8}, {"p": 0.5, "a": 0.2, "b": 0.6}
    config = MiningConfig(margin=0.1, window=2, second_opinion="teacher", judge="first")
    outcome = decide(rows, scores, {"p"}, [], config, second)
    assert outcome.verdicts.tolist() == [ABOVE_MARGIN, KEPT]
    assert outcome.example.negatives == (Negative("b", 0.8, 1, second=0.6),)


def test_a_second_opinion_is_asked_about_no_copy_and_no_rank_passed_over(rows: CorpusRows):
    scores = {"a": 0.95, "copy": 0.94, "p": 0.9, "b": 0.8, "c": 0.7}
    config = MiningConfig(window=4, first_rank=1, second_opinion="teacher")
    ranked = sorted(scores, key=lambda name: -scores[name])
    window = take_window(ranked, ranked, np.array(sorted(scores.values(), reverse=True)), {"p"}, 4)
    candidates = gather_candidates(window, ["p"], [ScoredRow("k", 0.1)], rows)
    assert candidates.to_score(config) == ["k", "b", "c"]
    outcome = make_example(
        PAIR, Positive("p", 0.9), candidates, {"p": 1.0, "k": 0.3, "b": 0.2, "c": 0.1}, config
    )
    assert outcome.verdicts.tolist() == [BEFORE_FIRST, SAME_CONTENT, KEPT, KEPT]


@st.composite
def settings(draw: st.DrawFn) -> MiningConfig:
    window = draw(st.integers(1, 8))
    return MiningConfig(
        negatives=draw(st.integers(0, 6)),
        window=window,
        first_rank=draw(st.integers(0, window - 1)),
        margin=draw(st.none() | st.sampled_from([0, 0.05, 0.5, 2])),
        margin_absolute=draw(st.none() | st.sampled_from([0, 0.25, 1])),
        max_score=draw(st.none() | st.sampled_from([0.25, 0.5])),
        min_score=draw(st.none() | st.sampled_from([-0.5, 0.25])),
        judged=draw(st.booleans()),
    )


@given(
    st.fixed_dictionaries(
        {name: st.sampled_from([-1, -0.5, 0.25, 0.5, 0.75, 1]) for name in TEXTS}
    ),
    st.sets(st.sampled_from(sorted(TEXTS))),
    st.sets(st.sampled_from(sorted(TEXTS))),
    settings(),
)
def test_the_negatives_are_those_that_every_rule_checked_by_hand_leaves(
    rows: CorpusRows,
    scores: dict[str, float],
    positives: set[str],
    judged: set[str],
    config: MiningConfig,
):
    positives = positives | {"p"}
    ranked = sorted(scores.items(), key=lambda row: (-row[1], row[0]))
    outcome = decide(rows, scores, positives, sorted(judged), config).example.negatives
    expected = slow_negatives(
        ranked, TEXTS, positives, {name: scores[name] for name in judged}, scores["p"], config
    )
    assert [(negative.row_id, negative.rank, negative.judged) for negative in outcome] == expected
    assert [negative.score for negative in outcome] == [scores[name] for name, _, _ in expected]
