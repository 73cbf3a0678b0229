import pytest

from medembed.preflight.estimate import Interval
from medembed.preflight.verdict import decide

LOW, UNSURE, HIGH = Interval(0.50, 0.45, 0.55), Interval(0.68, 0.62, 0.73), Interval(0.80, 0.75, 0.84)


@pytest.mark.parametrize(
    ("pairs", "recall", "answer"),
    [
        (1000, LOW, "fine-tune"),
        (999, LOW, "marginal"),
        (500, LOW, "marginal"),
        (499, LOW, "do not"),
        (1000, UNSURE, "marginal"),
        (1000, Interval(0.72, 0.66, 0.77), "marginal"),
        (1000, Interval(0.72, 0.70, 0.77), "do not"),
        (50_000, HIGH, "do not"),
        (700, HIGH, "do not"),
        (499, UNSURE, "do not"),
        (1000, None, "marginal"),
        (0, None, "do not"),
    ],
)
def test_the_published_rules_decide(pairs: int, recall: Interval | None, answer: str):
    assert decide(pairs, recall, "dev").answer == answer


def test_the_reasons_carry_the_numbers():
    assert decide(1234, LOW, "dev").reasons == (
        "1,234 training pairs: 1,000 are enough.",
        "The base model's recall@10 on dev is 0.50 (95% interval 0.45 to 0.55): under 0.70 there is room to improve.",
    )


def test_without_a_measurement_the_reason_says_so():
    assert decide(1234, None, "test").reasons[1] == (
        "The base model cannot be measured: no test query has a positive document."
    )
