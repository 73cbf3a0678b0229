"""API and model in one replica, for HAProxy in front: a request crosses no other process.

Measured against an API of its own that asks replicas over Serve's handles, see docs/serving.md.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from fastapi import FastAPI
from ray import serve
from ray.serve.exceptions import BackPressureError

from serve.access import start_access_log
from serve.api import make_app
from serve.embedder import Replica
from serve.guard import LimitsConfig

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Method(Generic[Given, Answer]):
    """A method of this process, called as that of a handle: `method.remote(...)`.

    Raises BackPressureError where `most` calls are in work or waiting already.
    """

    def __init__(self, call: Callable[Given, Awaitable[Answer]], most: int) -> None:
        self.call, self.most, self.begun = call, most, 0

    async def remote(self, *arguments: Given.args, **named: Given.kwargs) -> Answer:
        if self.begun >= self.most:
            raise BackPressureError(num_queued_requests=self.begun, max_queued_requests=self.most)
        self.begun += 1
        try:
            return await self.call(*arguments, **named)
        finally:
            self.begun -= 1


class Here:
    """A replica of this process in the place of a handle to one; `broadcast` asks all replicas."""

    def __init__(self, replica: Replica, most: int) -> None:
        self.embed, self.search = Method(replica.embed, most), Method(replica.search, most)
        self.describe_all = Method(replica.describe_all, most)

    def options(self, **_: Any) -> "Here":
        """Itself: behind HAProxy no other replica can be chosen for a model that it has loaded."""
        return self

    def broadcast(self, method: str) -> Any:
        """The answers of all replicas of this deployment."""
        context = serve.get_replica_context()
        return serve.get_deployment_handle(context.deployment, context.app_name).broadcast(method)


# More than the queue takes, so that it is the queue in here that refuses, in OpenAI's shape.
@serve.deployment(name="Embedder", max_ongoing_requests=4096, health_check_period_s=5)
@serve.ingress()
class Whole(Replica):
    """The Embedder that takes HTTP itself. Its app is built in the replica, so that nothing of it is pickled."""

    def __init__(
        self,
        encoding: dict[str, Any],
        batch_tokens: int,
        most_extras: int,
        limits: dict[str, Any],
        hashes: Sequence[str],
        access_log: bool,
        has_page: bool,
        extras: Sequence[str],
    ) -> None:
        super().__init__(encoding, batch_tokens, most_extras)
        self.limits, self.hashes = LimitsConfig.model_validate(limits), hashes
        self.has_page, self.names = has_page, extras
        if access_log:
            start_access_log()

    def __serve_build_asgi_app__(self) -> FastAPI:
        most = self.limits.max_queued_requests
        here = Here(self, most)
        return make_app(here, self.limits, self.hashes, has_page=self.has_page, extras=self.names, most=most)
