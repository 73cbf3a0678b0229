"""Say what a distillation adds to a training: where the teacher's vectors are, what measures."""

from dataclasses import dataclass
from typing import Any

from medembed.encoding.table import Table
from medembed.evaluation.sample import Sample
from medembed.lineage import Source
from medembed.schema import fingerprint


@dataclass(frozen=True)
class Lesson:
    """The teacher's `table` of the corpus, and what checkpoints are measured on.

    The texts `left_out` are not learned, since `dev` or a test has them. `parent` is the model that
    the student is, or whose layers it has.
    """

    table: Table
    dev: Sample
    left_out: frozenset[str]
    parent: Source

    def inputs(self) -> dict[str, Any]:
        """Return what a checkpoint depends on besides the inputs of any training."""
        sample = [self.dev.queries, self.dev.documents, self.dev.qrels]
        return {"dev": fingerprint(sample), "left_out": fingerprint(sorted(self.left_out))}
