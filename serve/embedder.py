"""The replica that holds the model: requests that arrive together share forward passes."""

import asyncio
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from ray import serve

from medembed.encoding.config import EncodingConfig
from medembed.errors import MedEmbedError
from serve.answer import Part, Served, answer, compute_together, count_tokens, load_served
from serve.metrics import ReplicaMetrics
from serve.search import search
from serve.search_work import Found, SearchWork
from serve.work import Embedded, Model, Refused, Work

logger = logging.getLogger(__name__)


class Replica:
    """Encodes inputs, and searches the model's table. `user_config`, see `load_served`, chooses both.

    `reconfigure` loads and warms the new pair while the old one answers, so that a change of `user_config`
    swaps models without a pause.
    """

    def __init__(self, encoding: dict[str, Any], batch_tokens: int) -> None:
        self.config, self.batch_tokens = EncodingConfig.model_validate(encoding), batch_tokens
        self.current: Served | None = None
        self.metrics = ReplicaMetrics(batch_tokens)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serves another pair from now on; one that cannot be loaded leaves the old one, and a line in the log.

        Without an old one raises a MedEmbedError: there is nothing to serve.
        """
        try:
            loaded = await asyncio.to_thread(load_served, user_config, self.config)
        except MedEmbedError as error:
            if self.current is None:
                raise
            serving = self.current.model
            logger.error("not swapped: %s; version %s goes on serving", error, serving["version"])
            return
        # One input always fits, however long the model lets it be.
        self._compute.set_max_batch_size(max(self.batch_tokens, loaded.model["max_input_tokens"]))
        self.current = loaded
        self.metrics.serve(loaded.model)

    async def describe(self) -> Model:
        """The served model, as clients see it."""
        return self._serving().model

    async def embed(self, work: Work) -> Embedded | Refused:
        """The embeddings of one request, or why it was refused."""
        return await answer(work, self._serving(), self._compute, self.batch_tokens)

    async def search(self, work: SearchWork) -> Found | Refused:
        """What the table has near a query, or why it was refused."""
        return await search(work, self._serving, self.embed)

    def check_health(self) -> None:
        self._serving()

    # No wait: an idle replica computes at once, and what comes while it computes is the next batch.
    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0, batch_size_fn=count_tokens)
    async def _compute(self, parts: list[Part]) -> list[npt.NDArray[np.float32]]:
        rows = await asyncio.to_thread(compute_together, parts)
        self.metrics.count_batch(parts)
        return rows

    def _serving(self) -> Served:
        if self.current is None:
            raise RuntimeError("no model was configured; deploy with user_config {model, name, version}.")
        return self.current


Embedder = serve.deployment(name="Embedder", max_ongoing_requests=64, health_check_period_s=5)(Replica)
