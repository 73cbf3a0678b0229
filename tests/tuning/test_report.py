import re

import pytest

from medembed.tuning.config import TuneConfig
from medembed.tuning.report import draw_report
from medembed.tuning.trials import Measured, State, TrialRecord
from tests.evaluation.test_retention_words import make_retention
from tests.tuning.configs import make_config

CONFIG = make_config()


def make(
    number: int, few: float, full: float, state: State = "complete", reason: str = ""
) -> TrialRecord:
    metrics = {"ndcg@10/64": few, "ndcg@10/384": full}
    course = (
        ()
        if state == "failed"
        else (Measured(300, 0.1, metrics), Measured(2400, (few + full) / 2, metrics))
    )
    point = {"training.temperature": 0.05 - number / 200, "mining.negatives": number % 5}
    return TrialRecord(number, point, state, course, reason)


RECORDS = [
    make(0, 0.5, 0.6),
    make(1, 0.7, 0.61),
    make(2, 0.6, 0.7),
    make(3, 0.4, 0.5),
    make(4, 0.55, 0.6),
    make(5, 0.2, 0.3, "stopped"),
    make(6, 0, 0, "failed", "loss is <nan> at step 1"),
]


def draw(records: list[TrialRecord], best: TrialRecord, config: TuneConfig = CONFIG) -> str:
    return draw_report(records, best, config.axes(), config)


def test_the_page_shows_all_that_was_tried_and_loads_nothing():
    page = draw(RECORDS, RECORDS[1])
    for title in (
        "Settings and score",
        "Which settings matter",
        "Learning curves",
        "Few dimensions against full width",
    ):
        assert f"<h2>{title}" in page
    assert "7 trials: 5 complete, 1 stopped, 1 failed" in page
    assert (
        "Trial 1 has the highest dev score, 0.6550, 0.1050 above the default configuration" in page
    )
    assert "loss is &lt;nan&gt; at step 1" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


@pytest.mark.parametrize("objective", [{}, {64: 1}, {384: 1}])
def test_the_front_holds_those_that_no_other_beats_in_both(objective: dict[int, float]):
    page = draw(RECORDS, RECORDS[1], CONFIG.model_copy(update={"objective": objective}))
    front = re.search(
        r'\{[^{}]*(?:\{[^{}]*\}[^{}]*)*"name":"front"[^{}]*(?:\{[^{}]*\}[^{}]*)*\}', page
    )
    assert front is not None
    numbers = re.search(r'"x":\[([\d.,]+)\],"y":\[([\d.,]+)\]', front[0])
    assert numbers is not None
    assert (numbers[1], numbers[2]) == ("0.6,0.7", "0.7,0.61")


def test_a_search_of_one_trial_has_a_page_too():
    page = draw(RECORDS[:1], RECORDS[0])
    assert "No trial has a higher dev score than the default configuration" in page
    assert "Which settings matter" not in page


def test_what_the_winner_keeps_elsewhere_stands_on_the_page():
    kept = make_retention({"clinic <a>": {384: 0.02}})
    page = draw_report(RECORDS, RECORDS[1], CONFIG.axes(), CONFIG, kept)
    assert "<h2>Elsewhere</h2><pre class=wide>NDCG@10 on what was not trained on" in page
    assert "clinic &lt;a&gt; at 384 dimensions (0.800 -&gt; 0.780 at 384)" in page
    assert "Elsewhere" not in draw(RECORDS, RECORDS[1])
