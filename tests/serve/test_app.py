"""What is wrong with a start is said in one line, before anything is up."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve import Application

from medembed.errors import MedEmbedError
from serve.app import __file__ as app_file
from serve.app import build
from serve.config import LimitsConfig, read_arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"keys.file": "nowhere/keys"}, "nowhere/keys: no such file"),
        ({"keys": {"variable": "MED_NO_KEYS"}}, "MED_NO_KEYS is not set"),
        ({"limits": {"max_item": 3}}, "nearest known key is 'limits.max_items'"),
        ({"limits.max_items": "0"}, "limits.max_items: Input should be greater than or equal to 1"),
        ({"replicas": "none"}, "replicas: "),
        ({"model": "nowhere"}, "no such folder"),
        ({"rerank": {"model": "nowhere", "name": "medembed"}}, "is the other model's name"),
    ],
)
def test_a_wrong_argument_is_one_line(encoder_folder: Path, arguments: dict[str, Any], says: str):
    with pytest.raises(MedEmbedError) as caught:
        build({"model": str(encoder_folder), **arguments})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_of_a_command_line_and_of_a_file_mean_the_same():
    dotted = read_arguments({"model": "m", "keys.variable": "K", "replicas": "[0,2]"})
    nested = read_arguments({"model": "m", "keys": {"variable": "K"}, "replicas": [0, 2]})
    assert dotted == nested
    assert dotted.keys.variable == "K"


def test_an_application_is_built_with_a_cross_encoder_beside_it(
    encoder_folder: Path, cross_folder: Path
):
    arguments = {"model": str(encoder_folder), "rerank.model": str(cross_folder)}
    assert isinstance(build(arguments), Application)


def test_serves_own_time_out_which_is_plain_text_comes_after_the_apis():
    config = yaml.safe_load((Path(app_file).parent / "config.yaml").read_text())
    limits = LimitsConfig(**config["applications"][0]["args"].get("limits", {}))
    assert config["http_options"].get("request_timeout_s", math.inf) > limits.request_timeout_s
