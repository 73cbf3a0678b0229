"""The replica that holds the model: requests that arrive together share forward passes."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ray import serve

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, Role


@dataclass(frozen=True)
class Work:
    """The texts of one request, all of one role."""

    texts: tuple[str, ...]
    role: Role


@dataclass(frozen=True)
class Embedded:
    """Full-width unit rows float32 [n, width] of one request, its real tokens, and the model that made them."""

    embeddings: npt.NDArray[np.float32]
    tokens: int
    model: dict[str, Any]


@serve.deployment(max_ongoing_requests=64, health_check_period_s=5)
class Embedder:
    """Encodes texts. `user_config` {"model": <folder URI>, "name": ..., "version": ...} chooses the model.

    `reconfigure` loads and warms the new model while the old one answers, so that a change of `user_config`
    swaps models without a pause.
    """

    def __init__(self, encoding: dict[str, Any]) -> None:
        self.config = EncodingConfig.model_validate(encoding)
        self.current: tuple[Encoder, dict[str, Any]] | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serves another model from now on. Raises ModelError if it cannot be loaded."""
        self.current = await asyncio.to_thread(self._load, user_config)

    def _load(self, user_config: dict[str, Any]) -> tuple[Encoder, dict[str, Any]]:
        encoder = Encoder.load(user_config["model"], self.config)
        encoder.encode(["warm up"], "query")
        return encoder, {
            "name": user_config["name"],
            "version": user_config["version"],
            "fingerprint": encoder.fingerprint,
            "width": encoder.width,
            "dimensions": list(encoder.dimensions),
        }

    async def describe(self) -> dict[str, Any]:
        """Name, version, fingerprint, width and trained dimensions of the served model."""
        return self._serving()[1]

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def embed(self, work: list[Work]) -> list[Embedded]:
        """One Embedded per request, in order; what arrived together is encoded together, by one model."""
        encoder, model = self._serving()
        return await asyncio.to_thread(_embed, encoder, model, work)

    def check_health(self) -> None:
        self._serving()

    def _serving(self) -> tuple[Encoder, dict[str, Any]]:
        if self.current is None:
            raise RuntimeError("no model was configured; deploy with user_config {model, name, version}.")
        return self.current


def _embed(encoder: Encoder, model: dict[str, Any], work: list[Work]) -> list[Embedded]:
    results: dict[int, Embedded] = {}
    roles: tuple[Role, ...] = ("query", "document")
    for role in roles:
        chosen = [number for number, one in enumerate(work) if one.role == role]
        texts = [text for number in chosen for text in work[number].texts]
        embeddings, tokens = encoder.encode_and_count(texts, role)
        start = 0
        for number in chosen:
            end = start + len(work[number].texts)
            results[number] = Embedded(embeddings[start:end], sum(tokens[start:end]), model)
            start = end
    return [results[number] for number in range(len(work))]
