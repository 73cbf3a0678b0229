"""The replica that holds the encoder: requests that arrive together share forward passes."""

import asyncio
from typing import Any

from ray import serve

from serve.http.openapi import ReplicaEntry
from serve.replica.compute import answer, read_tokens
from serve.replica.model_holder import ONGOING, ModelHolder
from serve.replica.protocol import EmbedCall, Embedded, Model, Refused, Tokenized
from serve.replica.search import search
from serve.replica.search_call import SearchCall, SearchResult
from serve.replica.served_model import ModelSettings, ServedModel, load_served


class EmbeddingReplica(ModelHolder[ServedModel]):
    """Encode inputs, and search the model's table. `ModelSettings` chooses both."""

    async def _load(self, user_config: dict[str, Any]) -> None:
        settings = ModelSettings.model_validate(user_config)
        self._serve(await asyncio.to_thread(load_served, settings, self.encoding), user_config)

    async def describe(self) -> Model:
        """Return the served model, as clients see it."""
        return self._serving().model

    async def report(self) -> ReplicaEntry:
        """Return what this replica serves, for GET /health/replicas."""
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

    async def embed(self, call: EmbedCall) -> Embedded | Refused:
        """Return the embeddings of one request, or why it was refused."""
        return await answer(call, self._serving(), self._compute, self.batch_tokens)

    async def tokenize(self, call: EmbedCall) -> Tokenized | Refused:
        """Return the tokens of one request's inputs, or why it was refused."""
        return await asyncio.to_thread(read_tokens, call, self._serving())

    async def search(self, call: SearchCall) -> SearchResult | Refused:
        """Return what the table has near the queries, or why the request was refused."""
        return await search(call, self._serving, self.embed)


Embedder = serve.deployment(name="Embedder", max_ongoing_requests=ONGOING, health_check_period_s=5)(
    EmbeddingReplica
)
