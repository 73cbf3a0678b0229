"""Count what a replica computes, for Prometheus, through Ray's own metrics.

Ray puts `ray_` in front of these names.
"""

from collections.abc import Sequence

from ray.serve.metrics import Counter, Gauge, Histogram

from medembed.encoding.batching import count_padding
from serve.replica.compute import RequestPart, count_tokens, group_fitting
from serve.replica.protocol import Model


class ReplicaMetrics:
    """What a replica computes, how full its batches are, and which model it serves."""

    def __init__(self, batch_tokens: int) -> None:
        """`batch_tokens` is what a full batch has."""
        self.batch_tokens = batch_tokens
        self.served: dict[str, str] | None = None
        self.fill_percent = Histogram(
            "medembed_batch_fill_percent",
            description="Tokens of a batch of requests, in percent of batch_tokens.",
            boundaries=[5, 10, 25, 50, 75, 90, 100],
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
        """Count this model as the one that is served from now on."""
        if self.served is not None:
            self.model.set(0, tags=self.served)
        table = model["table"]
        self.served = {
            "model": model["name"],
            "version": model["version"],
            "fingerprint": model["fingerprint"],
            "table_version": str(table["version"]) if table else "none",
        }
        self.model.set(1, tags=self.served)

    def count_batch(self, parts: Sequence[RequestPart]) -> None:
        """Count a batch of requests that was computed."""
        tokens = count_tokens(parts)
        self.fill_percent.observe(100 * tokens / self.batch_tokens)
        self.computed.inc(tokens)
        for numbers in group_fitting(parts):
            lengths: list[int] = []
            for number in numbers:
                lengths += parts[number].tokens.lengths
            encoder = parts[numbers[0]].encoder
            padding = count_padding(lengths, encoder.tokens_of_batch(lengths))
            if padding:
                self.padding.inc(padding)
