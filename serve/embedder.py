"""The replica that holds the model: requests that arrive together share forward passes."""

import asyncio
from typing import Any

from ray import serve

from medembed.encoding.config import EncodingConfig
from serve.answer import Served, answer, load_served
from serve.search import search
from serve.search_work import Found, SearchWork
from serve.work import Embedded, Model, Refused, Work


@serve.deployment(max_ongoing_requests=64, health_check_period_s=5)
class Embedder:
    """Encodes inputs, and searches the model's table. `user_config`, see `load_served`, chooses both.

    `reconfigure` loads and warms the new pair while the old one answers, so that a change of `user_config`
    swaps models without a pause.
    """

    def __init__(self, encoding: dict[str, Any]) -> None:
        self.config = EncodingConfig.model_validate(encoding)
        self.current: Served | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serves another model from now on. Raises a MedEmbedError if it cannot be loaded."""
        self.current = await asyncio.to_thread(load_served, user_config, self.config)

    async def describe(self) -> Model:
        """The served model, as clients see it."""
        return self._serving().model

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def embed(self, work: list[Work]) -> list[Embedded | Refused]:
        """One result per request, in order; what arrived together is encoded together, by one model."""
        return await asyncio.to_thread(answer, self._serving(), work)

    async def search(self, work: SearchWork) -> Found | Refused:
        """What the table has near a query, or why it was refused."""
        return await search(work, self._serving, self.embed)

    def check_health(self) -> None:
        self._serving()

    def _serving(self) -> Served:
        if self.current is None:
            raise RuntimeError("no model was configured; deploy with user_config {model, name, version}.")
        return self.current
