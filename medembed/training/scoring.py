"""What a model in training is worth: its score on the dev sample, less what it lost elsewhere since the start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.evaluation.retained import METRIC, Scores, how_far_lost, judge_retained
from medembed.evaluation.sample import Sample, Vectors, score_sample
from medembed.training.average import Average
from medembed.training.collective import encode_in_shares, from_rank_zero, world
from medembed.training.config import TrainingConfig
from medembed.training.history import ELSEWHERE, SCORE, SHARE
from medembed.training.samples import Samples
from medembed.training.trial import Rungs

_BROKEN = 1.0  # more than a score can be: what surely loses elsewhere stands behind all that does not
# What weights without an average must be better by where nothing from elsewhere is measured: they lose out of sight.
_UNSEEN = 0.03


class Scorer:
    """Measures the model in training, averaged with its start as it will be published. All ranks call it together.

    Rank 0 alone decides: machines that round differently might not agree on when to stop.
    """

    def __init__(
        self, encoder: Encoder, samples: Samples, config: TrainingConfig, device: torch.device, average: Average
    ) -> None:
        """`encoder` has the weights of the start still, by which losses elsewhere are judged."""
        self.encoder = encoder
        self.samples = samples
        self.config = config
        self.device = device
        self.average = average
        self._start = self._measure_elsewhere()

    def measure(self, rungs: Rungs | None = None) -> dict[str, float]:
        """{"score": value, "average": share, "ndcg@10/64": value, "elsewhere/tico/64": value, ...}, as on all ranks.

        The score is that of the dev sample at `select_dimension`, or what `rungs` make of all dimensions, less what is
        lost elsewhere. Of the shares that the config asks for it is the better one's.
        """
        measured = [self._measure(share, rungs) for share in self.config.shares]
        best = max(measured, key=self._value)
        return dict(zip(best, from_rank_zero(list(best.values()), self.device), strict=True))

    def _value(self, metrics: Mapping[str, float]) -> float:
        """By what averages are compared: unseen losses count, too."""
        is_unseen = not self.samples.elsewhere.samples and metrics[SHARE] == 1
        return metrics[SCORE] - (_UNSEEN if is_unseen else 0.0)

    def _measure(self, share: float, rungs: Rungs | None) -> dict[str, float]:
        with self.average.applied(share):
            dev = self._score(self.samples.dev, self.config.select_by)
            elsewhere = self._measure_elsewhere()
        means = {dimension: float(values.mean()) for dimension, values in dev.values.items()}
        score = rungs.score(means) if rungs else means[self.config.select_dimension]
        metrics = {SCORE: score - self._lost(elsewhere), SHARE: share}
        metrics |= {f"{self.config.select_by}/{dimension}": mean for dimension, mean in means.items()}
        for name, scores in elsewhere.items():
            metrics |= {f"{ELSEWHERE}{name}/{d}": float(values.mean()) for d, values in scores.values.items()}
        return metrics

    def _lost(self, elsewhere: Mapping[str, Scores]) -> float:
        """What is taken from the score: what the worst set lost, and more than any score where a loss is sure."""
        config = self.samples.elsewhere.config
        rows = judge_retained(self._start, elsewhere, config, seed=self.config.seed)
        is_sure = any(row.is_lost for row in rows)
        return how_far_lost(rows, config.tolerance) + (_BROKEN if is_sure else 0.0)

    def _measure_elsewhere(self) -> dict[str, Scores]:
        return {name: self._score(sample, METRIC) for name, sample in self.samples.elsewhere.samples.items()}

    def _score(self, sample: Sample, metric: str) -> Scores:
        """Of each query at each dimension; zeros on ranks that do not decide."""
        with _still(self.encoder.model):
            queries = self._encode([text for _, text in sample.queries], "query")
            documents = self._encode([text for _, text in sample.documents], "document")
        if world()[0] == 0:
            values = score_sample(sample, queries, documents, self.config.dimensions, metric)
        else:
            values = {dimension: queries[:, 0].astype(float) * 0 for dimension in self.config.dimensions}
        return Scores(values, sample.groups)

    def _encode(self, texts: list[str], role: Role) -> Vectors:
        return encode_in_shares(self.encoder.encode, texts, role, self.device)


@contextmanager
def _still(model: Any) -> Iterator[None]:
    """The model without dropout inside, and as it was again after it."""
    is_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(is_training)
