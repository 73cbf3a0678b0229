"""The replica that holds the encoder: requests that arrive together share forward passes."""

import asyncio
from typing import Any, cast

from ray import serve

from serve.http.openapi import ReplicaEntry
from serve.logs import Target
from serve.replica.compute import Served, answer, load_served
from serve.replica.extra_models import Extras
from serve.replica.model_holder import ONGOING, Holder
from serve.replica.protocol import Embedded, Model, Refused, Tokenized, Work, find_name
from serve.replica.search import search
from serve.replica.search_protocol import Found, SearchWork
from serve.replica.tokens import read_tokens


class Replica(Holder[Served]):
    """Encodes inputs, and searches the model's table. `user_config`, see `load_served`, chooses
    both.
    """

    def __init__(
        self,
        encoding: dict[str, Any],
        batch_tokens: int,
        most_extras: int = 1,
        log: Target | None = None,
    ) -> None:
        super().__init__(encoding, batch_tokens, log)
        self.extras = Extras(self.config, most_extras)

    async def _load(self, user_config: dict[str, Any]) -> None:
        entries = user_config.get("models", {})
        loaded = await asyncio.to_thread(load_served, user_config, self.config)
        extras = await self.extras.reload(entries)
        self._serve(loaded, user_config)
        self.extras.swap(entries, extras)

    async def describe(self) -> Model:
        """The served model, as clients see it."""
        return self._serving().model

    async def describe_all(self) -> list[Model]:
        """The served model, then those beside it, of which less is known until they are loaded."""
        return [self._serving().model, *cast(list[Model], list(self.extras.describe()))]

    async def report(self) -> ReplicaEntry:
        """What this replica serves, for `serve.http.replicas`."""
        model = self.current.model if self.current else None
        table = model["table"] if model else None
        return {
            "replica": serve.get_replica_context().replica_id.unique_id,
            "version": model["version"] if model else None,
            "fingerprint": model["fingerprint"] if model else None,
            "table_version": table["version"] if table else None,
            "config": self.serves,
            "refused": self.refused,
            "reason": self.reason,
        }

    async def embed(self, work: Work) -> Embedded | Refused:
        """The embeddings of one request, or why it was refused."""
        return await answer(work, await self._choose(work.model), self._compute, self.batch_tokens)

    async def tokenize(self, work: Work) -> Tokenized | Refused:
        """The tokens of one request's inputs, or why it was refused."""
        return await asyncio.to_thread(read_tokens, work, await self._choose(work.model))

    async def search(self, work: SearchWork) -> Found | Refused:
        """What the table has near a query, or why it was refused."""
        return await search(work, self._serving, self.embed)

    async def _choose(self, name: str | None) -> Served:
        """The model that a request means; the main one refuses the names that nobody bears."""
        main = self._serving()
        meant = find_name(name, {main.model["name"], *self.extras.entries})
        if meant not in self.extras.entries:
            return main
        served = await self.extras.get(meant)
        self._make_room(served.model)
        return served


Embedder = serve.deployment(name="Embedder", max_ongoing_requests=ONGOING, health_check_period_s=5)(
    Replica
)
