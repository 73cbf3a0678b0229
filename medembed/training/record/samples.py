"""What checkpoints are measured on: the dev sample, and samples from elsewhere that must not be
lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.sets import RetentionSet
from medembed.evaluation.sample import Sample
from medembed.schema import fingerprint


@dataclass(frozen=True)
class Elsewhere:
    """A sample of each retention set by name, and how much may be lost there."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    config: RetentionConfig = field(default_factory=RetentionConfig)

    def inputs(self) -> dict[str, Any]:
        """What a checkpoint depends on besides those of any training."""
        if not self.samples:
            return {}
        texts = {
            name: fingerprint([one.queries, one.documents, one.qrels])
            for name, one in self.samples.items()
        }
        return {"retention": [texts, self.config.tolerance, self.config.confidence]}


@dataclass(frozen=True)
class Samples:
    """The dev sample and those from elsewhere."""

    dev: Sample
    elsewhere: Elsewhere = field(default_factory=Elsewhere)


def draw_elsewhere(sets: Sequence[RetentionSet], config: RetentionConfig) -> Elsewhere:
    """Return the samples of these sets by which checkpoints are compared."""
    return Elsewhere({one.name: one.draw(config) for one in sets}, config)
