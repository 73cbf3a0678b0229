"""The replica that holds the model: requests that arrive together share forward passes."""

import asyncio
import logging
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from ray import serve

from medembed.encoding.config import EncodingConfig
from medembed.schema import fingerprint
from serve.answer import Part, Served, answer, compute_together, count_tokens, load_served
from serve.errors import log_line
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

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serves another pair from now on; one that cannot be loaded leaves the old one, and a line in the log.

        Without an old one raises what went wrong: there is nothing to serve. With one it never raises, as Serve
        would end the replica; `report` says what was refused.
        """
        wanted, entries = fingerprint(user_config), user_config.get("models", {})
        try:
            loaded = await asyncio.to_thread(load_served, user_config, self.config)
            extras = await self.extras.reload(entries)
        except Exception as error:
            if self.current is None:
                raise
            self.refused = wanted
            version = self.current.model["version"]
            logger.error("not swapped: %s; version %s goes on serving", log_line(error), version)
            return
        self._make_room(loaded)
        self.current, self.serves, self.refused = loaded, wanted, None
        self.extras.swap(entries, extras)
        self.metrics.serve(loaded.model)

    async def describe(self) -> Model:
        """The served model, as clients see it."""
        return self._serving().model

    async def describe_all(self) -> list[Model]:
        """The served model, then those beside it, of which less is known until they are loaded."""
        return [self._serving().model, *cast(list[Model], list(self.extras.describe()))]

    async def report(self) -> ReplicaEntry:
        """What this replica serves, for `serve.replicas`."""
        model = self._serving().model
        return {
            "replica": serve.get_replica_context().replica_id.unique_id,
            "version": model["version"],
            "fingerprint": model["fingerprint"],
            "table_version": model["table"]["version"] if model["table"] else None,
            "config": self.serves,
            "refused": self.refused,
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

    def check_health(self) -> None:
        self._serving()

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
        if self.current is None:
            raise RuntimeError("no model was configured; deploy with user_config {model, name, version}.")
        return self.current


ONGOING = 64  # requests in the hands of a replica
Embedder = serve.deployment(name="Embedder", max_ongoing_requests=ONGOING, health_check_period_s=5)(Replica)
