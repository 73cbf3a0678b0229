"""What retraining drop by drop gave: lines, a table, what is lost and gained, a plot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medembed.evaluation.compare import Difference, compare

DIMENSIONS = (384, 256, 128, 64, 32)


REPLAY, NEW_ONLY, FULL = "incremental with replay", "new data only", "full retraining"


@dataclass(frozen=True)
class Step:
    """One drop by one way: NDCG@10 of each test query {query: [dimensions]} by three models on the
    same corpus.

    They are the base model, the champion before the drop, and the one after it; `old` are questions
    of earlier drops.
    """

    outcome: str
    seconds: dict[str, float]
    old: frozenset[str]
    base: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]

    def scores(self, part: str, *, before: bool = False) -> Any:
        """float64 [queries of the part, dimensions], in order of ids."""
        found = self.before if before else self.after
        return np.array(
            [found[name] for name in sorted(found) if (name in self.old) == (part == "old")]
        )


def describe_step(step: Step) -> str:
    parts = []
    for part in ("old", "new"):
        after, before = step.scores(part), step.scores(part, before=True)
        if len(after):
            parts.append(f"{part} ({len(after)}) {before.mean():.3f} -> {after.mean():.3f}")
    seconds = step.seconds
    return (
        f"mean NDCG@10 {', '.join(parts)}; train {seconds['train']:.0f} s of "
        f"{sum(seconds.values()):.0f} s; gate: {step.outcome}"
    )


def print_table(found: dict[str, list[Step]]) -> None:
    """NDCG@10 by dimension after each drop, on earlier drops' test questions and on the new
    ones.
    """
    print(
        "\n| way | drop | on | "
        + " | ".join(map(str, DIMENSIONS))
        + " |\n|---|---|---|"
        + "---|" * len(DIMENSIONS)
    )
    for name, steps in found.items():
        for number, step in enumerate(steps, start=1):
            for part in ("old", "new"):
                scores = step.scores(part)
                if len(scores):
                    cells = " | ".join(f"{value:.3f}" for value in scores.mean(axis=0))
                    print(f"| {name} | {number} | {part} | {cells} |")


def print_summary(found: dict[str, list[Step]]) -> None:
    """What each drop took from the questions before it, the gain in the end, and the time of
    training.
    """
    print()
    gains, seconds = dict[str, float](), dict[str, float]()
    for name, steps in found.items():
        lost, last = _forgetting(steps), steps[-1]
        gains[name] = float(
            np.mean(
                [np.mean(last.after[query]) - np.mean(last.base[query]) for query in last.after]
            )
        )
        seconds[name] = sum(step.seconds["train"] for step in steps[1:])
        print(
            f"{name}: old questions lose {-100 * lost.mean:+.2f} points of NDCG@10 by a drop "
            f"[{-100 * lost.high:+.2f}, {-100 * lost.low:+.2f}]; in the end "
            f"{100 * gains[name]:+.2f} points above the base model on all {len(last.after)} "
            f"questions; {seconds[name]:.0f} s of training for drops 2 to 7"
        )
    if {REPLAY, FULL} <= found.keys():
        print(
            f"{gains[REPLAY] / gains[FULL]:.0%} of full retraining's gain for "
            f"{seconds[REPLAY] / seconds[FULL]:.0%} of its training time"
        )


def _forgetting(steps: list[Step]) -> Difference:
    """The change of each old question's mean over dimensions by each drop; all changes of a
    question are one group.
    """
    rows = [
        (name, float(np.mean(step.before[name])), float(np.mean(step.after[name])))
        for step in steps[1:]
        for name in sorted(step.old)
    ]
    names, before, after = zip(*rows, strict=True)
    return compare(np.array(before), np.array(after), list(names), samples=2000, seed=0)


def draw(found: dict[str, list[Step]], path: Path) -> None:
    """NDCG@10 at 64 dimensions after each drop: on earlier drops' questions, and on the new
    ones.
    """
    from matplotlib.figure import Figure

    column = DIMENSIONS.index(64)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for (name, steps), colour in zip(
        found.items(), ("#0f766e", "#b91c1c", "#475569"), strict=False
    ):
        for axis, part in zip(axes, ("old", "new"), strict=True):
            points = [
                (n, step.scores(part))
                for n, step in enumerate(steps, start=1)
                if len(step.scores(part))
            ]
            axis.plot(
                [n for n, _ in points],
                [rows[:, column].mean() for _, rows in points],
                "o-",
                color=colour,
                label=name,
            )
    for axis, title in zip(
        axes, ("questions of earlier drops", "questions of the newest drop"), strict=True
    ):
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("after drop")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("NDCG@10 at 64 dimensions")
    figure.legend(
        *axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.savefig(path, dpi=120)
