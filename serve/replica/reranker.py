"""The replica that holds the cross-encoder, a deployment of its own.

One request costs as much as hundreds of embeddings. With cores and replicas of its own it takes
none from those, and no embedder holds its weights. It costs one more process, and some milliseconds
of a request that takes tenths of a second.
"""

import asyncio
from typing import Any

from ray import serve

from serve.replica.model_holder import ONGOING, ModelHolder
from serve.replica.protocol import Refused
from serve.replica.rerank import Ranked, Ranker, RankerSettings, RerankCall, load_ranker, rerank


class RankingReplica(ModelHolder[Ranker]):
    """Rank documents. `RankerSettings` chooses the model."""

    async def _load(self, user_config: dict[str, Any]) -> None:
        settings = RankerSettings.model_validate(user_config)
        self._serve(await asyncio.to_thread(load_ranker, settings, self.encoding), user_config)

    async def rerank(self, call: RerankCall) -> Ranked | Refused:
        """Return the documents of one request, best first, or why it was refused."""
        return await rerank(call, self._serving(), self._compute, self.batch_tokens)


Reranker = serve.deployment(name="Reranker", max_ongoing_requests=ONGOING, health_check_period_s=5)(
    RankingReplica
)
