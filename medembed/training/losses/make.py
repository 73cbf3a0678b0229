"""A training config -> the loss that the trainer calls."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from sentence_transformers.sentence_transformer import losses as stock
from torch import nn

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model
from medembed.encoding.reading import Role
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import RANKING
from medembed.training.losses.guide import Guide
from medembed.training.losses.hold import Hold
from medembed.training.losses.nested import Nested
from medembed.training.losses.prefixes import EmbeddingLoss, MatryoshkaPrefixLoss, margin_mse, mse
from medembed.training.losses.ranking import MatryoshkaRankingLoss
from medembed.training.model.precision import choose_precision, find_device

_ROLES: tuple[Role, ...] = ("query", "document")


def make_loss(
    config: TrainingConfig,
    model: Any,
    known: Sequence[Sequence[int]] | None = None,
    documents: Sequence[str] = (),
) -> nn.Module:
    """The loss `config.loss` of a SentenceTransformer, called as loss(features, labels).

    It has `step`, to be set to the trainer's global step, and `by_dimension`, the last loss of each
    dimension. `known` begins with (query id, document id) in each entry, as `known_pairs` gives
    them: every positive that a ranking loss must not take for a negative. None: it knows those of
    the batch. `documents` are those that `loss.hold` joins; the model has the weights of the start
    still, of which it keeps a copy. Raises ModelError if a guide does not load.
    """
    loss = config.loss
    nested = Nested.of(config.dimensions, config.weights, loss.dimensions_per_step, config.seed)
    if loss.name in RANKING:
        return MatryoshkaRankingLoss(
            model,
            nested,
            config.temperature,
            symmetric=loss.symmetric,
            mini_batch_size=loss.cached_rows,
            guide=_load_guide(loss.guide, model, config) if loss.guide else None,
            guide_margin=loss.guide_margin,
            pairs=None if known is None else torch.tensor([entry[:2] for entry in known]),
            hold=_make_hold(config, model, documents) if loss.hold and documents else None,
        )
    return MatryoshkaPrefixLoss(model, _PREFIX_LOSSES[loss.name](config, model), nested)


def _stock(made: Any) -> EmbeddingLoss:
    """What a stock loss makes of embeddings; its model takes no part."""
    return made.compute_loss_from_embeddings


_PREFIX_LOSSES: dict[str, Callable[[TrainingConfig, Any], EmbeddingLoss]] = {
    "triplet": lambda config, model: _stock(
        stock.TripletLoss(model, stock.TripletDistanceMetric.COSINE, config.loss.margin_or_default)
    ),
    "contrastive": lambda config, model: _stock(
        stock.ContrastiveLoss(model, margin=config.loss.margin_or_default)
    ),
    "online_contrastive": lambda config, model: _stock(
        stock.OnlineContrastiveLoss(model, margin=config.loss.margin_or_default)
    ),
    "cosine_similarity": lambda config, model: _stock(stock.CosineSimilarityLoss(model)),
    "cosent": lambda config, model: _stock(stock.CoSENTLoss(model, scale=1 / config.temperature)),
    "angle": lambda config, model: _stock(stock.AnglELoss(model, scale=1 / config.temperature)),
    "batch_hard": lambda config, model: _stock(
        stock.BatchHardTripletLoss(
            model,
            stock.BatchHardTripletLossDistanceFunction.cosine_distance,
            config.loss.margin_or_default,
        )
    ),
    "margin_mse": lambda config, model: margin_mse,
    "mse": lambda config, model: mse,
}


def _make_hold(config: TrainingConfig, model: Any, documents: Sequence[str]) -> Hold:
    prompt = Encoder(model, EncodingConfig(cpus_per_worker=config.cpus_per_worker)).prompt(
        "document"
    )
    precision = choose_precision(config.precision, find_device(config.use_gpu))
    return Hold(
        model, documents, config.loss.hold, prompt=prompt, seed=config.seed, precision=precision
    )


def _load_guide(uri: str, model: Any, config: TrainingConfig) -> Guide:
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    guide = load_model(fetch_model(uri), encoding, str(model.device))
    student, own = Encoder(model, encoding), Encoder(guide, encoding)
    return Guide(
        guide,
        model,
        {role: student.prompt(role) for role in _ROLES},
        {role: own.prompt(role) for role in _ROLES},
    )
