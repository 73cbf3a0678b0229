"""Score a model in training: on the dev sample, less what it lost elsewhere since the start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.evaluation.metrics import Values
from medembed.evaluation.retention.judge import METRIC, Scores, how_far_lost, judge_retained
from medembed.evaluation.sample import Sample, Vectors, score_sample
from medembed.training.collective import encode_in_shares, from_rank_zero, world
from medembed.training.config import TrainingConfig
from medembed.training.model.average import Average
from medembed.training.record.history import ELSEWHERE, SCORE, SHARE
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.trial import Rungs

# more than a score can be: what surely loses elsewhere stands behind all that does not
_BROKEN = 1.0
# What weights without an average must be better by where nothing from elsewhere is measured: they
# lose out of sight.
_UNSEEN = 0.03


def has_choice(config: TrainingConfig, steps: int, rungs: Rungs | None) -> bool:
    """Return whether a run of so many steps measures more than one set of weights.

    Samples from elsewhere serve the choice among them alone: jobs measure their model whole.
    """
    return rungs is not None or len(config.shares) > 1 or steps > config.checkpoint_steps


class Scorer:
    """Measures the model in training, averaged with its start as it will be published.

    All ranks call it together. Rank 0 alone decides: machines that round differently might not
    agree on when to stop.
    """

    def __init__(
        self,
        encoder: Encoder,
        dev: Sample,
        elsewhere: RetentionSamples,
        config: TrainingConfig,
        device: torch.device,
        average: Average,
    ) -> None:
        """Measure the start elsewhere: `encoder` still has its weights."""
        self.encoder = encoder
        self.dev = dev
        self.elsewhere = elsewhere
        self.config = config
        self.device = device
        self.average = average
        # by dimension, of each query: of the share that counted last
        self.dev_values: Mapping[int, Values] = {}
        self._by_share: dict[float, Mapping[int, Values]] = {}
        self._start = self._measure_elsewhere()

    def measure(self, rungs: Rungs | None = None) -> dict[str, float]:
        """Return {"score": ..., "average": share, "ndcg@10/64": ..., "elsewhere/tico/64": ...}.

        It is the same on all ranks. The score is that of the dev sample at `select_dimension`, or
        what `rungs` make of all dimensions, less what is lost elsewhere. Of the shares that the
        config asks for it is the better one's. A loss only lowers a score, so elsewhere is measured
        from the best dev score down, until no other share can win.
        """
        best: dict[str, float] | None = None
        measured = [self._measure_dev(share, rungs) for share in self.config.shares]
        for metrics in sorted(measured, key=self._value, reverse=True):
            if best is None or self._value(metrics) > self._value(best):
                less = self._less_losses(metrics)
                best = less if best is None else max(best, less, key=self._value)
        assert best is not None, "a config asks for one share at least"
        self.dev_values = self._by_share[best[SHARE]]
        return best

    def _value(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Return by what averages are compared: unseen losses count, too.

        Of equals the one nearer to the start is better.
        """
        is_unseen = not self.elsewhere.by_name and metrics[SHARE] == 1
        return metrics[SCORE] - (_UNSEEN if is_unseen else 0.0), -metrics[SHARE]

    def _measure_dev(self, share: float, rungs: Rungs | None) -> dict[str, float]:
        """Return what `measure` says of this share, as if nothing were lost elsewhere."""
        with self.average.applied(share):
            dev = self._score(self.dev, self.config.select_by)
        self._by_share[share] = dev.values
        means = {dimension: float(values.mean()) for dimension, values in dev.values.items()}
        score = rungs.score(means) if rungs else means[self.config.select_dimension]
        metrics = {SCORE: score, SHARE: share}
        metrics |= {
            f"{self.config.select_by}/{dimension}": mean for dimension, mean in means.items()
        }
        return self._agree(metrics)

    def _less_losses(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return a share's metrics with those from elsewhere, whose losses lower the score."""
        with self.average.applied(metrics[SHARE]):
            elsewhere = self._measure_elsewhere()
        complete = {**metrics, SCORE: metrics[SCORE] - self._lost(elsewhere)}
        for name, scores in elsewhere.items():
            for dimension, values in scores.values.items():
                complete[f"{ELSEWHERE}{name}/{dimension}"] = float(values.mean())
        return self._agree(complete)

    def _agree(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics as rank 0 has them."""
        return dict(zip(metrics, from_rank_zero(list(metrics.values()), self.device), strict=True))

    def _lost(self, elsewhere: Mapping[str, Scores]) -> float:
        """Return what is taken from the score: what the worst set lost.

        A sure loss takes more than any score can be.
        """
        config = self.elsewhere.config
        rows = judge_retained(self._start, elsewhere, config, seed=self.config.seed)
        is_sure = any(row.is_lost for row in rows)
        return how_far_lost(rows, config.tolerance) + (_BROKEN if is_sure else 0.0)

    def _measure_elsewhere(self) -> dict[str, Scores]:
        samples = self.elsewhere.by_name
        return {name: self._score(sample, METRIC) for name, sample in samples.items()}

    def _score(self, sample: Sample, metric: str) -> Scores:
        """Score each query at each dimension; zeros on ranks that do not decide."""
        with _still(self.encoder.model):
            queries = self._encode([text for _, text in sample.queries], "query")
            documents = self._encode([text for _, text in sample.documents], "document")
        if world()[0] == 0:
            values = score_sample(sample, queries, documents, self.config.dimensions, metric)
        else:
            zeros = np.zeros(len(queries))
            values = dict.fromkeys(self.config.dimensions, zeros)
        return Scores(values, sample.groups)

    def _encode(self, texts: list[str], role: Role) -> Vectors:
        return encode_in_shares(self.encoder.encode, texts, role, self.device)


@contextmanager
def _still(model: Any) -> Iterator[None]:
    """Switch the model's dropout off inside the `with` block."""
    is_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(is_training)
