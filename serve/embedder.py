"""The replica that holds the model: requests that arrive together share forward passes."""

import asyncio
import logging
import math
import time
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from ray import serve

from medembed.encoding.config import EncodingConfig
from medembed.schema import fingerprint
from serve.answer import Part, Served, answer, compute_together, count_tokens, load_served
from serve.errors import RequestError, hide_places, log_line
from serve.extras import Extras
from serve.logs import Target, start_logs
from serve.loopback import stay_on_loopback
from serve.metrics import ReplicaMetrics
from serve.openapi import ReplicaEntry
from serve.search import search
from serve.search_work import Found, SearchWork
from serve.tokens import read_tokens
from serve.work import Embedded, Model, Refused, Tokenized, Work, find_name

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 15.0  # between two tries to load a model


class Replica:
    """Encodes inputs, and searches the model's table. `user_config`, see `load_served`, chooses both.

    `reconfigure` loads and warms the new pair while the old one answers, so that a change of `user_config`
    swaps models without a pause.
    """

    def __init__(
        self, encoding: dict[str, Any], batch_tokens: int, most_extras: int = 1, log: Target | None = None
    ) -> None:
        """`log`: where the access log goes, and with it what went wrong; None leaves this process's logging."""
        stay_on_loopback()
        if log is not None:
            start_logs(log)
        self.config, self.batch_tokens = EncodingConfig.model_validate(encoding), batch_tokens
        self.extras = Extras(self.config, most_extras)
        self.current: Served | None = None
        self.metrics = ReplicaMetrics(batch_tokens)
        self.longest = batch_tokens
        self.serves = ""  # fingerprint of the user_config
        self.refused: str | None = None  # and of the one that could not be loaded
        self.reason: str | None = None  # why
        self.again: asyncio.Task[None] | None = None  # loads the first model, which could not be loaded
        self.next_try = 0.0

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve another pair from now on; one that cannot be loaded leaves the old one, and a line in the log.

        Without an old one, this raises what went wrong while the application is deployed: the deployment fails. A
        replica that Serve starts later, as another died or load grew, stays, answers 503 and tries again: Serve would
        start the next one at once, and for ever.
        """
        is_first = self.current is None and self.again is None
        if self.again is not None:
            self.again.cancel()
        try:
            await self._load(user_config)
        except Exception as error:
            if is_first and await asyncio.to_thread(is_deploying):
                raise
            self._refuse(user_config, error)
            if self.current is None:
                self.again = asyncio.create_task(self._load_later(user_config))

    async def _load(self, user_config: dict[str, Any]) -> None:
        entries = user_config.get("models", {})
        loaded = await asyncio.to_thread(load_served, user_config, self.config)
        extras = await self.extras.reload(entries)
        self._make_room(loaded)
        self.current, self.serves = loaded, fingerprint(user_config)
        self.refused, self.reason = None, None
        self.extras.swap(entries, extras)
        self.metrics.serve(loaded.model)

    def _refuse(self, user_config: dict[str, Any], error: Exception) -> None:
        """Keep, and log unless it was logged already, why this pair is not served."""
        reason = log_line(error)
        told = hide_places(reason, user_config)
        is_known = (self.refused, self.reason) == (fingerprint(user_config), told)
        self.refused, self.reason = fingerprint(user_config), told
        if is_known:
            return
        if self.current is None:
            logger.error("no model is loaded: %s; requests get a 503, and it is tried again", reason)
        else:
            version = self.current.model["version"]
            logger.error("not swapped: %s; version %s goes on serving", reason, version)

    async def _load_later(self, user_config: dict[str, Any]) -> None:
        """Load the pair as soon as that works, with pauses that grow."""
        pause_s = 1.0
        while self.current is None:
            self.next_try = time.monotonic() + pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._load(user_config)
            except Exception as error:
                self._refuse(user_config, error)
        logger.warning("version %s is loaded after all, and serves", self._serving().model["version"])

    async def describe(self) -> Model:
        """The served model, as clients see it."""
        return self._serving().model

    async def describe_all(self) -> list[Model]:
        """The served model, then those beside it, of which less is known until they are loaded."""
        return [self._serving().model, *cast(list[Model], list(self.extras.describe()))]

    async def report(self) -> ReplicaEntry:
        """What this replica serves, for `serve.replicas`."""
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

    # No wait: an idle replica computes at once, and what comes while it computes is the next batch.
    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0, batch_size_fn=count_tokens)
    async def _compute(self, parts: list[Part]) -> list[npt.NDArray[np.float32]]:
        rows = await asyncio.to_thread(compute_together, parts)
        self.metrics.count_batch(parts)
        return rows

    async def _choose(self, name: str | None) -> Served:
        """The model that a request means; the main one refuses the names that nobody bears."""
        main = self._serving()
        meant = find_name(name, {main.model["name"], *self.extras.entries})
        if meant not in self.extras.entries:
            return main
        served = await self.extras.get(meant)
        self._make_room(served)
        return served

    def _make_room(self, served: Served) -> None:
        """Lets a batch hold the longest input of this model: one input always fits."""
        self.longest = max(self.longest, served.model["max_input_tokens"])
        self._compute.set_max_batch_size(self.longest)

    def _serving(self) -> Served:
        """The pair that answers. Raises RequestError 503 while there is none."""
        if self.current is None:
            wait_s = max(1, math.ceil(self.next_try - time.monotonic()))
            raise RequestError(
                503,
                f"no model is loaded here now, the server's log says why; try again in {wait_s} s.",
                code="no_model",
                headers={"retry-after": str(wait_s)},
            )
        return self.current


def is_deploying() -> bool:
    """Whether this replica belongs to an application that is being deployed, and may still fail to be."""
    app = serve.status().applications.get(serve.get_replica_context().app_name)
    return app is None or app.status in ("NOT_STARTED", "DEPLOYING")


ONGOING = 64  # requests in the hands of a replica
Embedder = serve.deployment(name="Embedder", max_ongoing_requests=ONGOING, health_check_period_s=5)(Replica)
