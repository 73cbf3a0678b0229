"""Models that read queries and documents differently, or have no transformer: trained as stock
trains them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import ROLES
from medembed.errors import ConfigError, ModelError
from medembed.training.config import TrainingConfig
from medembed.training.model.trainable import check_trainable
from tests.kinds import KINDS, TEXTS, pooled, save_kind, with_cnn
from tests.training.small import CONFIG, start

KIND_NAMES = (
    "pooling mean without the prompt",
    "router",
    "router behind the transformer",
    "static",
    "static queries",
)
DIMENSIONS = {"dimensions": (16, 8), "select_dimension": 8}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_checkpoint_gives_the_vectors_of_stock_for_both_roles(
    kind: str, encoder_folder: Path, tmp_path: Path
):
    folder = save_kind(tmp_path / "model", KINDS[kind](encoder_folder))
    trainer = start(folder, CONFIG.model_copy(update=DIMENSIONS), tmp_path, steps=2)
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    trainer.train()
    moved = {
        name
        for name, tensor in trainer.model.named_parameters()
        if not torch.equal(tensor, before[name])
    }
    assert {name for name in before if "pooler" not in name} <= moved, "both routes are trained"
    checkpoint = str(tmp_path / "trained")
    trainer.model.save_pretrained(checkpoint, create_model_card=False)
    stock, encoder = (
        SentenceTransformer(checkpoint, device="cpu"),
        Encoder.load(checkpoint, EncodingConfig()),
    )
    for role, encode in zip(ROLES, (stock.encode_query, stock.encode_document), strict=True):
        assert (
            np.abs(encoder.encode(TEXTS, role) - encode(TEXTS, normalize_embeddings=True)).max()
            < 1e-6
        )


def test_what_training_computes_is_what_stock_encodes(encoder_folder: Path, tmp_path: Path):
    folder = save_kind(tmp_path / "model", pooled("mean", include_prompt=False)(encoder_folder))
    trainer = start(folder, CONFIG, tmp_path)
    features, _ = trainer.collect_features(next(iter(trainer.get_train_dataloader())))
    stock = SentenceTransformer(str(folder), device="cpu")
    rows = next(iter(trainer.get_batch_sampler(trainer.train_dataset, CONFIG.batch_size, True)))
    texts = trainer.train_dataset[rows]
    trainer.model.eval()
    for column, read, encode in zip(
        ("query", "positive"), features, (stock.encode_query, stock.encode_document), strict=False
    ):
        computed = trainer.model(read)["sentence_embedding"].detach().numpy()
        assert np.abs(computed - encode(texts[column])).max() < 1e-6


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("router", {"adapter": {"kind": "lora"}}, "adapter: .* has a Router"),
        ("static", {"adapter": {"kind": "lora"}}, "adapter: .* has a StaticEmbedding"),
        ("static", {"loss": {"mini_batch_size": 4}}, "loss.mini_batch_size: .* a StaticEmbedding"),
        ("static", {"freeze_words": True}, "freeze_words: .* has a StaticEmbedding"),
        ("router", {"loss": {"guide": "g"}}, "loss.guide: .* has a Router"),
        (
            "pooling mean without the prompt",
            {"loss": {"name": "distill", "guide": "g"}},
            "distill: .* a Pooling without the",
        ),
    ],
)
def test_an_option_that_does_not_work_with_a_model_is_refused_by_its_folder_alone(
    kind: str, settings: dict[str, Any], message: str, encoder_folder: Path, tmp_path: Path
):
    folder = str(save_kind(tmp_path / "model", KINDS[kind](encoder_folder)))
    check_trainable(folder, CONFIG)
    with pytest.raises(ConfigError, match=message):
        check_trainable(folder, TrainingConfig.model_validate(CONFIG.model_dump() | settings))


def test_a_model_that_does_not_work_here_is_not_trained_either(
    encoder_folder: Path, tmp_path: Path
):
    folder = save_kind(tmp_path / "model", with_cnn(encoder_folder))
    with pytest.raises(ModelError, match="its module CNN does not work here"):
        check_trainable(str(folder), CONFIG)
