"""What clients are told of a model: from its folder, and from the model as it was loaded."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from medembed.encoding.model_files import CARD, model_fingerprint, save_card
from medembed.lineage import CheckpointManifest, Origin, Source
from serve.app import ServeConfig, resolve
from serve.replica.compute import Served
from serve.replica.facts import read_training
from serve.replica.protocol import Model
from tests.serve.conftest import PROMPTS, load
from tests.tiny import make_encoder

DEV = {"step": 400, "score": 0.5, "ndcg@10/32": 0.5, "ndcg@10/8": math.nan}


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("hf://acme/base@1", "hf://acme/base@1"),
        ("package://acme/model", "package://acme/model"),
        ("/srv/ward-7/model", None),
        ("s3://user:SECRET@bucket/model", None),
    ],
)
def test_a_card_names_the_parent_by_fingerprint_and_only_public_places(
    tmp_path: Path, reference: str, named: str | None
):
    origin = Origin(dataset=Source("d0"), parent=Source("f0", reference))
    save_card(tmp_path, CheckpointManifest(origin=origin, dev=DEV))
    expected = {"parent": "f0", "parent_model": named, "dataset": "d0", "dev": {"ndcg@10/32": 0.5}}
    assert read_training(tmp_path) == expected


@pytest.mark.parametrize("card", [None, {"dimensions": [32, 8]}, {"origin": {"parent": None}}])
def test_a_model_without_a_card_that_names_its_parent_has_no_training(tmp_path: Path, card: Any):
    if card is not None:
        (tmp_path / CARD).write_text(json.dumps(card))
    assert read_training(tmp_path) is None


def facts_of(model: Model) -> tuple[dict[str, str], bool, list[str]]:
    return model["prompts"], model["has_roles"], model["pooling"]


def test_prompts_roles_and_pooling_are_the_loaded_models(trained: Served, stock: Served):
    assert facts_of(trained.model) == (PROMPTS, True, ["mean"])
    assert facts_of(stock.model) == ({"document": "", "query": ""}, False, ["mean"])


def test_the_served_model_says_which_of_the_others_it_was_trained_from(
    encoder_folder: Path, tmp_path: Path
):
    base = model_fingerprint(encoder_folder)
    tuned = make_encoder(tmp_path / "tuned", prompts=PROMPTS)
    origin = Origin(dataset=Source("d0"), parent=Source(base, str(encoder_folder)))
    save_card(tuned, CheckpointManifest(origin=origin))
    user_config = resolve(ServeConfig(model=str(tuned), models={"base": str(encoder_folder)}))
    training = {"parent": base, "parent_model": None, "dataset": "d0", "dev": {}}
    assert user_config["training"] == training
    assert (
        user_config["models"]["base"]["fingerprint"],
        user_config["models"]["base"]["training"],
    ) == (base, None)
    assert load(tuned, training=training).model["training"] == training
