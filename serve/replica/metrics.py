"""What Prometheus reads, through Ray's own metrics: Ray puts `ray_` in front of these names.

Every label has few values: those that a served model, the routes or HTTP define, never one that a
caller made up.
"""

from collections.abc import Sequence

from ray.serve.metrics import Counter, Gauge, Histogram
from starlette.types import Scope

from medembed.encoding.batching import count_padding
from serve.http.access_log import facts_of
from serve.replica.compute import Part, count_tokens, find_fitting
from serve.replica.protocol import Model

# Where a route leaves the model that stood behind its answer.
_MODEL = "medembed.model"
_OTHER, _NONE = "other", "none"
_MILLISECONDS = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000)
_PERCENT = (5, 10, 25, 50, 75, 90, 100)


def served_by(scope: Scope, model: Model) -> None:
    """Says which model a request is counted for."""
    scope[_MODEL] = model


class RequestMetrics:
    """Counts requests and their tokens, and times them."""

    def __init__(self) -> None:
        labels = ("model", "route", "status")
        self.requests = Counter(
            "medembed_requests", description="Requests answered.", tag_keys=(*labels, "dimensions")
        )
        self.latency_ms = Histogram(
            "medembed_request_latency_ms",
            description="From a request's first byte to the end of its answer.",
            boundaries=list(_MILLISECONDS),
            tag_keys=labels,
        )
        self.tokens = Counter(
            "medembed_tokens", description="Tokens that models read.", tag_keys=("model", "route")
        )

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts a request that has ended."""
        facts, model = facts_of(scope), scope.get(_MODEL)
        own = {
            "model": model["name"] if model else _OTHER,
            "route": getattr(scope.get("route"), "path", _OTHER),
        }
        labels = {**own, "status": str(status)}
        self.requests.inc(
            tags={**labels, "dimensions": _dimensions(facts.get("dimensions"), model)}
        )
        self.latency_ms.observe(seconds * 1000, tags=labels)
        if facts.get("tokens"):
            self.tokens.inc(facts["tokens"], tags=own)


class ReplicaMetrics:
    """What a replica computes, how full its batches are, and which model it serves."""

    def __init__(self, batch_tokens: int) -> None:
        """`batch_tokens` is what a full batch has."""
        self.batch_tokens = batch_tokens
        self.served: dict[str, str] | None = None
        self.fill_percent = Histogram(
            "medembed_batch_fill_percent",
            description="Tokens of a batch of requests, in percent of batch_tokens.",
            boundaries=list(_PERCENT),
        )
        self.computed = Counter(
            "medembed_batch_tokens", description="Tokens that forward passes computed."
        )
        self.padding = Counter(
            "medembed_padding_tokens",
            description="Tokens that forward passes computed to fill up short inputs.",
        )
        self.model = Gauge(
            "medembed_model_info",
            description="1 for the model that a replica serves, 0 for those that it served before.",
            tag_keys=("model", "version", "fingerprint", "table_version"),
        )

    def serve(self, model: Model) -> None:
        """From now on this model is the one that is served."""
        if self.served is not None:
            self.model.set(0, tags=self.served)
        table = model["table"]
        self.served = {
            "model": model["name"],
            "version": model["version"],
            "fingerprint": model["fingerprint"],
            "table_version": str(table["version"]) if table else _NONE,
        }
        self.model.set(1, tags=self.served)

    def count_batch(self, parts: Sequence[Part]) -> None:
        """A batch of requests was computed."""
        tokens = count_tokens(parts)
        self.fill_percent.observe(100 * tokens / self.batch_tokens)
        self.computed.inc(tokens)
        padding = 0
        for numbers in find_fitting(parts):
            lengths: list[int] = []
            for number in numbers:
                lengths += parts[number].tokens.lengths
            padding += count_padding(lengths, parts[numbers[0]].encoder.tokens_of_batch(lengths))
        if padding:
            self.padding.inc(padding)


def _dimensions(asked: int | None, model: Model | None) -> str:
    """Those that the model is made for by their number, any others together: callers choose
    them.
    """
    if asked is None:
        return _NONE
    known = (model["width"], *model["dimensions"]) if model else ()
    return str(asked) if asked in known else _OTHER
