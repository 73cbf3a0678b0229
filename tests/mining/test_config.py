import pytest

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.finetuning.config import FinetuneConfig
from medembed.mining.config import MiningConfig


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first_rank=30"], "first_rank: found 30, expected less than window 30"),
        (
            ["min_score=0.5", "max_score=0.4"],
            "min_score: found 0.5, expected at most max_score 0.4",
        ),
        (["choice=random"], "choice: Input should be 'hardest', 'sample' or 'spread'"),
        (["max_score=inf"], "max_score: Input should be a finite number"),
        (["margin=-0.1"], "margin: Input should be greater than or equal to 0"),
    ],
)
def test_settings_that_leave_no_negative_are_refused(arguments: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(MiningConfig, arguments)


def test_training_refuses_examples_of_one_negative_to_a_row_before_anything_is_mined():
    with pytest.raises(ConfigError, match="mining.format: found 'rows', but training reads lists"):
        load_config(FinetuneConfig, ["source.path=x.jsonl", "mining.format=rows"])
