"""The processes that hold models: they load, swap and warm them, and batch requests for them.

Embeddings and the cross-encoder have replicas apart, as one rerank costs as much as hundreds of
embeddings: so it takes no cores from those, and no embedder holds its weights.
"""

import asyncio
import logging
import math
import time
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from ray import serve

from medembed.encoding.config import EncodingConfig
from medembed.language import use_language
from medembed.schema import fingerprint
from serve.errors import RequestError, hide_places, log_line
from serve.http.api import HttpSettings, make_app
from serve.logs import Target, start_logs
from serve.operate.safety import check_serve_host
from serve.ray_internals import stay_on_loopback
from serve.replica.compute import RequestPart, answer, compute_together, count_tokens, read_tokens
from serve.replica.metrics import ReplicaMetrics
from serve.replica.protocol import (
    EmbedCall,
    Embedded,
    Model,
    Refused,
    ReplicaEntry,
    RerankCall,
    Tokenized,
)
from serve.replica.rerank import Ranked, Ranker, RankerSettings, load_ranker, rerank
from serve.replica.search import SearchCall, SearchResult, search
from serve.replica.served_model import ModelSettings, ServedModel, load_served

logger = logging.getLogger(__name__)

_REPORT_TIMEOUT_S = 10
_LONGEST_PAUSE_S = 15.0  # between two tries to load a model


Loaded = TypeVar("Loaded", bound=ServedModel | Ranker)


def is_deploying() -> bool:
    """Return whether this replica's application is being deployed, and may still fail to be."""
    app = serve.status().applications.get(serve.get_replica_context().app_name)
    return app is None or app.status in ("NOT_STARTED", "DEPLOYING")


class ModelHolder(Generic[Loaded]):
    """Hold the model that `user_config` chooses; a subclass says in `load` how it is loaded.

    `reconfigure` loads and warms the new model while the old one answers, so that a change of
    `user_config` swaps models without a pause.
    """

    def __init__(self, encoding: dict[str, Any], batch_tokens: int, log: Target) -> None:
        use_language("en")  # for callers, and programs that read the log
        stay_on_loopback()
        start_logs(log)
        self.encoding = EncodingConfig.model_validate(encoding)
        self.batch_tokens = batch_tokens
        self.longest = batch_tokens
        self.metrics = ReplicaMetrics(batch_tokens)
        self.current: Loaded | None = None
        self.serves = ""  # fingerprint of the user_config
        self.refused: str | None = None  # fingerprint of the one that could not be loaded
        self.reason: str | None = None  # why it could not
        self.retrying: asyncio.Task[None] | None = None  # loads the first model, if that failed
        self.next_try = 0.0

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve another model from now on; one that cannot be loaded leaves the old one.

        The first model of a deployment must load: this raises, and the deployment fails. A replica
        that Serve starts later, as another died or load grew, stays without one, answers 503 and
        tries again: if it raised, Serve would start the next one at once, and for ever.
        """
        is_first = self.current is None and self.retrying is None
        if self.retrying is not None:
            self.retrying.cancel()
        try:
            await self._swap_to(user_config)
        except Exception as error:
            if is_first and await asyncio.to_thread(is_deploying):
                raise
            self._refuse(user_config, error)
            if self.current is None:
                self.retrying = asyncio.create_task(self._load_later(user_config))

    def load(self, user_config: dict[str, Any]) -> Loaded:
        """Return the model that this chooses, warm. Called in a thread."""
        raise NotImplementedError

    async def _swap_to(self, user_config: dict[str, Any]) -> None:
        """Load a model, and answer with it from then on."""
        loaded = await asyncio.to_thread(self.load, user_config)
        # A batch must hold the longest input, also of a request that began with the old model.
        self.longest = max(self.longest, loaded.model["max_input_tokens"])
        self._compute.set_max_batch_size(self.longest)
        self.current = loaded
        self.serves = fingerprint(user_config)
        self.refused = None
        self.reason = None
        self.metrics.serve(loaded.model)

    def _refuse(self, user_config: dict[str, Any], error: Exception) -> None:
        """Keep why this model is not served, and log it unless that was done already."""
        reason = log_line(error)
        public_reason = hide_places(reason, user_config)
        refused = fingerprint(user_config)
        if (self.refused, self.reason) == (refused, public_reason):
            return
        self.refused = refused
        self.reason = public_reason
        if self.current is None:
            logger.error(
                "no model is loaded: %s; requests get a 503, and it is tried again", reason
            )
        else:
            version = self.current.model["version"]
            logger.error("not swapped: %s; version %s goes on serving", reason, version)

    async def _load_later(self, user_config: dict[str, Any]) -> None:
        """Load the model as soon as that works, with pauses that grow."""
        pause_s = 1.0
        while self.current is None:
            self.next_try = time.monotonic() + pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._swap_to(user_config)
            except Exception as error:
                self._refuse(user_config, error)
        logger.warning("version %s is loaded after all, and serves", self.current.model["version"])

    # No wait: an idle replica computes at once, and what comes while it computes is the next batch.
    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0, batch_size_fn=count_tokens)
    async def _compute(self, parts: list[RequestPart]) -> list[npt.NDArray[np.float32]]:
        rows = await asyncio.to_thread(compute_together, parts)
        self.metrics.count_batch(parts)
        return rows

    def _serving(self) -> Loaded:
        """Return the model that answers. Raises RequestError 503 while there is none."""
        if self.current is None:
            wait_s = max(1, math.ceil(self.next_try - time.monotonic()))
            raise RequestError(
                503,
                f"no model is loaded here now, the server's log says why; try again in {wait_s} s.",
                code="no_model",
                headers={"retry-after": str(wait_s)},
            )
        return self.current


class EmbeddingReplica(ModelHolder[ServedModel]):
    """Answer HTTP by an encoder and its table, both of which `ModelSettings` chooses.

    API and model are one process, so that a request crosses no other one (docs/serving.md).
    """

    def __init__(
        self,
        encoding: dict[str, Any],
        batch_tokens: int,
        settings: HttpSettings,
        reranker: Any = None,
    ) -> None:
        """`reranker`: a handle to the replicas of the cross-encoder, if there are any."""
        super().__init__(encoding, batch_tokens, settings.config.access_log)
        # `build` checked this too, but perhaps before Serve had an address.
        check_serve_host(settings.keys.are_required, settings.config.without_keys)
        self.settings = settings
        self.reranker = reranker

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the HTTP application. Serve asks for it in the replica, so none is pickled."""
        return make_app(self, self.settings, self.reranker)

    def load(self, user_config: dict[str, Any]) -> ServedModel:
        """Return an encoder and its table."""
        return load_served(ModelSettings.model_validate(user_config), self.encoding)

    async def describe(self) -> Model:
        """Return the served model, as clients see it."""
        return self._serving().model

    async def embed(self, call: EmbedCall) -> Embedded | Refused:
        """Return the embeddings of one request, or why it was refused."""
        return await answer(call, self._serving(), self._compute, self.batch_tokens)

    async def tokenize(self, call: EmbedCall) -> Tokenized | Refused:
        """Return the tokens of one request's inputs, or why it was refused."""
        return await asyncio.to_thread(read_tokens, call, self._serving())

    async def search(self, call: SearchCall) -> SearchResult | Refused:
        """Return what the table has near the queries, or why the request was refused."""
        return await search(call, self._serving, self.embed)

    async def reports(self) -> list[ReplicaEntry]:
        """Return what each replica serves; those that do not answer in time are about to go."""
        context = serve.get_replica_context()
        replicas = serve.get_deployment_handle(context.deployment, context.app_name)
        reports = await replicas.broadcast("report").results_async(
            timeout_s=_REPORT_TIMEOUT_S, return_exceptions=True
        )
        return [report for report in reports if not isinstance(report, BaseException)]

    async def report(self) -> ReplicaEntry:
        """Return what this replica serves."""
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


class RankingReplica(ModelHolder[Ranker]):
    """Rank documents. `RankerSettings` chooses the model."""

    def load(self, user_config: dict[str, Any]) -> Ranker:
        """Return a cross-encoder."""
        return load_ranker(RankerSettings.model_validate(user_config), self.encoding)

    async def rerank(self, call: RerankCall) -> Ranked | Refused:
        """Return the documents of one request, best first, or why it was refused."""
        return await rerank(call, self._serving(), self._compute, self.batch_tokens)


# Serve takes more requests than the guard does, so that the guard refuses, in OpenAI's shape.
Embedder = serve.deployment(name="Embedder", max_ongoing_requests=4096, health_check_period_s=5)(
    serve.ingress()(EmbeddingReplica)
)
Reranker = serve.deployment(name="Reranker", max_ongoing_requests=64, health_check_period_s=5)(
    RankingReplica
)
