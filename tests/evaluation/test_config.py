import pytest

from medembed.config import Config, load_config
from medembed.errors import ConfigError
from medembed.evaluation.config import RetentionConfig


class Job(Config):
    retention: RetentionConfig = RetentionConfig()


def test_a_set_is_called_by_the_last_name_of_its_place():
    config = load_config(
        Job, ["retention=[s3://bucket/sets/clinic/,data/french]", "retention.tolerance=0.01"]
    )
    assert config.retention.sets == {"clinic": "s3://bucket/sets/clinic/", "french": "data/french"}
    assert config.retention.tolerance == 0.01
    assert load_config(Job, ["retention=data/2024"]).retention.sets == {"2024": "data/2024"}


def test_a_set_may_be_named():
    config = load_config(Job, ["retention.sets={old: a/data, new: b/data}"])
    assert config.retention.sets == {"old": "a/data", "new": "b/data"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "retention=[a/data,b/data]",
            "two sets called 'data'; name them: {one: a/data, another: b/data}",
        ),
        ("retention.sets={old: }", "retention.sets.old"),
        ("retention=[[a]]", "retention.sets"),
        ("retention=[a,'']", "found '', which has no last name to go by"),
        ("retention=/", "found '/', which has no last name to go by; name it: {clinic: /}"),
    ],
)
def test_sets_that_cannot_be_told_apart_are_refused_in_one_line(typed: str, message: str):
    with pytest.raises(
        ConfigError, match=message.replace("{", r"\{").replace("[", r"\[")
    ) as caught:
        load_config(Job, [typed])
    assert "\n" not in str(caught.value)
