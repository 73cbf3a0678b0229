"""Draw the samples from elsewhere on which a checkpoint must not lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.sets import RetentionSet
from medembed.evaluation.sample import Sample
from medembed.schema import fingerprint


@dataclass(frozen=True)
class RetentionSamples:
    """A sample of each retention set by name, and how much may be lost there."""

    by_name: Mapping[str, Sample] = field(default_factory=dict)
    config: RetentionConfig = field(default_factory=RetentionConfig)

    def inputs(self) -> dict[str, Any]:
        """Return what a checkpoint depends on besides the inputs of any training."""
        if not self.by_name:
            return {}
        texts = {
            name: fingerprint([sample.queries, sample.documents, sample.qrels])
            for name, sample in self.by_name.items()
        }
        return {"retention": [texts, self.config.tolerance, self.config.confidence]}


def draw_retention_samples(
    sets: Sequence[RetentionSet], config: RetentionConfig
) -> RetentionSamples:
    """Return the samples of these sets by which checkpoints are compared."""
    return RetentionSamples({each.name: each.draw(config) for each in sets}, config)
