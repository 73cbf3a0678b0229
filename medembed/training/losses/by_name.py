"""Make the loss that a training config names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.sentence_transformer import losses as stock
from torch import nn

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model
from medembed.encoding.reading import ROLES
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.losses.distill import distill
from medembed.training.losses.guide import Guide
from medembed.training.losses.hold import Hold
from medembed.training.losses.prefix_loss import EmbeddingLoss, MatryoshkaPrefixLoss
from medembed.training.losses.ranking_loss import MatryoshkaRankingLoss
from medembed.training.model.precision import choose_precision, find_device


def make_loss(
    config: TrainingConfig,
    model: Any,
    known: Sequence[Sequence[int]] | None = None,
    documents: Sequence[str] = (),
    vectors: npt.NDArray[np.float32] | None = None,
) -> nn.Module:
    """Return the loss `config.loss` of a SentenceTransformer, called as loss(features, labels).

    Its `by_dimension` is the last loss of each dimension. `known` begins with (query id, document
    id) in each entry, as `known_pairs` gives them: every positive that the ranking loss must not
    take for a negative; None: it knows those of the batch. `documents` are those that `loss.hold`
    joins; the model still has the weights of the start, of which the loss keeps a copy. `vectors`
    are what a teacher gives the texts. Raises ModelError if a guide does not load.
    """
    weights = config.weight_by_dimension
    if config.loss.traits.is_taught:
        assert vectors is not None, "a taught model's texts come with vectors"
        learnt = distill(vectors, config.loss.targets, config.temperature)
        return MatryoshkaPrefixLoss(model, learnt, weights)
    if config.loss.name != "multiple_negatives":
        return MatryoshkaPrefixLoss(model, _loss_of_embeddings(config.loss, model), weights)

    return MatryoshkaRankingLoss(
        model,
        weights,
        config.temperature,
        symmetric=config.loss.symmetric,
        mini_batch_size=config.loss.mini_batch_size,
        guide=_load_guide(config, model) if config.loss.guide else None,
        pairs=None if known is None else torch.tensor([entry[:2] for entry in known]),
        hold=_make_hold(config, model, documents) if config.loss.hold and documents else None,
    )


def _loss_of_embeddings(config: LossConfig, model: Any) -> EmbeddingLoss:
    """Return a loss of a prefix's embeddings; stock losses ask for the model and do not use it."""
    loss: Any
    match config.name:
        case "triplet":
            distance = stock.TripletDistanceMetric.COSINE
            loss = stock.TripletLoss(model, distance, config.margin_or_default)
        case "contrastive":
            loss = stock.ContrastiveLoss(model, margin=config.margin_or_default)
        case "cosine_similarity":
            loss = stock.CosineSimilarityLoss(model)
        case "batch_hard":
            cosine_distance = stock.BatchHardTripletLossDistanceFunction.cosine_distance
            loss = stock.BatchHardTripletLoss(model, cosine_distance, config.margin_or_default)
        case _:
            raise NotImplementedError(f"loss {config.name}")
    return loss.compute_loss_from_embeddings


def _make_hold(config: TrainingConfig, model: Any, documents: Sequence[str]) -> Hold:
    encoder = Encoder(model, EncodingConfig(cpus_per_worker=config.cpus_per_worker))
    return Hold(
        encoder,
        documents,
        config.loss.hold,
        max_length=config.max_length,
        seed=config.seed,
        precision=choose_precision(config.precision, find_device(config.use_gpu)),
    )


def _load_guide(config: TrainingConfig, model: Any) -> Guide:
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    guide = load_model(fetch_model(str(config.loss.guide)), encoding, str(model.device))
    student = Encoder(model, encoding)
    own = Encoder(guide, encoding)
    return Guide(
        guide,
        model,
        {role: student.prompt(role) for role in ROLES},
        {role: own.prompt(role) for role in ROLES},
    )
