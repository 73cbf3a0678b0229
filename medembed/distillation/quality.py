"""Say what share of its teacher's quality a student keeps; refuse one that lost too much. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from medembed.errors import ModelError
from medembed.evaluation.words import label
from medembed.language import tr


@dataclass(frozen=True)
class Quality:
    """A metric of student and teacher, {dimension: mean} of the same dimensions."""

    metric: str
    student: Mapping[int, float]
    teacher: Mapping[int, float]

    @property
    def kept(self) -> dict[int, float]:
        """{dimension: the share of the teacher's}, widest first; 1 where the teacher has none."""
        shares: dict[int, float] = {}
        for dimension in sorted(self.student, reverse=True):
            of_teacher = self.teacher[dimension]
            shares[dimension] = self.student[dimension] / of_teacher if of_teacher else 1.0
        return shares

    @property
    def metrics(self) -> dict[str, float]:
        """All shares by name: kept_ndcg@10_dim_64."""
        return {f"kept_{self.metric}_dim_{d}": share for d, share in self.kept.items()}

    def describe(self) -> list[str]:
        """Return a line for each dimension."""
        lines = []
        for dimension, share in self.kept.items():
            lines.append(
                tr(
                    "{metric} at {dimension} dimensions: {student:.3f}, the teacher's "
                    "{teacher:.3f}; {share:.1%} kept",
                    metric=label(self.metric),
                    dimension=dimension,
                    student=self.student[dimension],
                    teacher=self.teacher[dimension],
                    share=share,
                )
            )
        return lines


def check_kept(quality: Quality, keep: float) -> None:
    """Raise ModelError if the widest or the narrowest dimension keeps less than `keep`."""
    kept = quality.kept
    for dimension in (max(kept), min(kept)):
        if kept[dimension] < keep:
            raise ModelError(
                "student: it keeps {share:.1%} of its teacher's {metric} at {dimension} "
                "dimensions, expected {keep:.1%} or more; it is not registered. Take more layers "
                "or a larger student, train longer (training.epochs), or lower keep.",
                share=kept[dimension],
                metric=label(quality.metric),
                dimension=dimension,
                keep=keep,
            )
