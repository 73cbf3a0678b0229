"""The replica that holds the cross-encoder, a deployment of its own.

One request costs as much as hundreds of embeddings: with cores and replicas of its own it takes
none from those, and no embedder holds its weights. It costs a process more, and some milliseconds
on the way, of a request that takes tenths of a second.
"""

import asyncio
from typing import Any

from ray import serve

from serve.replica.model_holder import ONGOING, Holder
from serve.replica.protocol import Refused
from serve.replica.rerank import Ranked, Ranker, RerankWork, load_ranker, rerank


class RankingReplica(Holder[Ranker]):
    """Ranks documents. `user_config`, see `load_ranker`, chooses the model."""

    async def _load(self, user_config: dict[str, Any]) -> None:
        self._serve(await asyncio.to_thread(load_ranker, user_config, self.config), user_config)

    async def rerank(self, work: RerankWork) -> Ranked | Refused:
        """The documents of one request, best first, or why it was refused."""
        return await rerank(work, self._serving(), self._compute, self.batch_tokens)


Reranker = serve.deployment(name="Reranker", max_ongoing_requests=ONGOING, health_check_period_s=5)(
    RankingReplica
)
