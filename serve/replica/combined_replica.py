"""API and model in one replica, for HAProxy in front: a request crosses no other process.

Measured against an API of its own that asks replicas over Serve's handles, see docs/serving.md.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from ray import serve

from serve.http.api import make_app
from serve.http.settings import Front
from serve.replica.embedder import Replica


class Method:
    """A method of this process, called as that of a handle: `method.remote(...)`."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


class Here:
    """A replica of this process in the place of a handle to one; `broadcast` asks all replicas."""

    def __init__(self, replica: Replica) -> None:
        self.embed, self.search = Method(replica.embed), Method(replica.search)
        self.tokenize = Method(replica.tokenize)
        self.describe_all = Method(replica.describe_all)

    def options(self, **_: Any) -> "Here":
        """Itself: behind HAProxy no other replica can be chosen for a model that it has loaded."""
        return self

    def broadcast(self, method: str) -> Any:
        """The answers of all replicas of this deployment."""
        context = serve.get_replica_context()
        return serve.get_deployment_handle(context.deployment, context.app_name).broadcast(method)


# More than the guard lets in, so that it is the guard that refuses, in OpenAI's shape.
@serve.deployment(name="Embedder", max_ongoing_requests=4096, health_check_period_s=5)
@serve.ingress()
class Whole(Replica):
    """The Embedder that takes HTTP itself. Its app is built in the replica, so that nothing of it
    is pickled.
    """

    def __init__(
        self,
        encoding: dict[str, Any],
        batch_tokens: int,
        most_extras: int,
        front: Front,
        reranker: Any = None,
    ) -> None:
        """`reranker`: a handle to the replicas of the cross-encoder, if there are any."""
        front.check_serve()
        super().__init__(encoding, batch_tokens, most_extras, front.log)
        self.front = front
        self.reranker = reranker

    def __serve_build_asgi_app__(self) -> FastAPI:
        most = self.front.limits.max_queued_requests
        return make_app(Here(self), self.front, self.reranker, most=most)
