"""API and model in one replica, for HAProxy in front: a request crosses no other process.

Measured against an API of its own that asks replicas over Serve's handles, see docs/serving.md.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from ray import serve

from serve.http.api import make_app
from serve.http.settings import HttpSettings
from serve.replica.embedder import EmbeddingReplica


class LocalMethod:
    """A method of this process, called as that of a handle: `method.remote(...)`."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


class LocalHandle:
    """A replica of this process in the place of a handle to one; `broadcast` asks all replicas."""

    def __init__(self, replica: EmbeddingReplica) -> None:
        self.embed = LocalMethod(replica.embed)
        self.search = LocalMethod(replica.search)
        self.tokenize = LocalMethod(replica.tokenize)
        self.describe = LocalMethod(replica.describe)

    def broadcast(self, method: str) -> Any:
        """Ask all replicas of this deployment."""
        context = serve.get_replica_context()
        return serve.get_deployment_handle(context.deployment, context.app_name).broadcast(method)


# Serve takes more requests than the guard does, so that the guard refuses, in OpenAI's shape.
@serve.deployment(name="Embedder", max_ongoing_requests=4096, health_check_period_s=5)
@serve.ingress()
class CombinedReplica(EmbeddingReplica):
    """The Embedder that takes HTTP itself. Serve has it build its app, so none is pickled."""

    def __init__(
        self,
        encoding: dict[str, Any],
        batch_tokens: int,
        settings: HttpSettings,
        reranker: Any = None,
    ) -> None:
        """`reranker`: a handle to the replicas of the cross-encoder, if there are any."""
        settings.check_address()
        super().__init__(encoding, batch_tokens, settings.log)
        self.settings = settings
        self.reranker = reranker

    def __serve_build_asgi_app__(self) -> FastAPI:
        most = self.settings.limits.max_queued_requests
        return make_app(LocalHandle(self), self.settings, self.reranker, most=most)
