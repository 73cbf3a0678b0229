"""How often the gate promotes: models that are better, alike, or worse somewhere, over the number
of test questions.

Differences of questions are made up with the spread that real ones have: a part that a question has
at all dimensions and a part of its own at each. Half the questions are French, half old. Beside the
gate stands the rule by which each cell must prove alone that it did not lose a point (Holm 1979),
on the very same questions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from scipy import special

from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.report.canvas import STYLE, draw_curve, to_png
from medembed.evaluation.result import Evaluation, Measured, Units
from medembed.finetuning.gate import Decision, decide
from medembed.finetuning.retrain_config import GateConfig

DIMENSIONS = (384, 128, 64)
SIZES = (100, 200, 300, 500, 1000, 2000)
SHARED, OWN = 0.113, 0.065  # together a spread of .13, correlated by .75 between dimensions
MEASURED = EvaluationConfig(bootstrap_samples=500)
GATE = GateConfig()


class Truth(NamedTuple):
    """The true gain everywhere, and where it is another one, {(language, dimension): gain}, of old
    questions or all.
    """

    gain: float
    except_for: Mapping[tuple[str, int], float] = {}
    of_old_alone: bool = False


def french(gain: float) -> dict[tuple[str, int], float]:
    return {("fr", dimension): gain for dimension in DIMENSIONS}


TRUTHS = {
    "2 points better": Truth(0.02),
    "1 point better": Truth(0.01),
    "alike": Truth(0.0),
    "2 better, French loses 2": Truth(0.02, french(-0.02)),
    "2 better, old French loses 2": Truth(0.02, french(-0.02), of_old_alone=True),
    "2 better, French loses 4": Truth(0.02, french(-0.04)),
    "2 better, French at 64 loses 4": Truth(0.02, {("fr", 64): -0.04}),
}
DRAWN = (
    "2 points better",
    "alike",
    "2 better, French loses 2",
    "2 better, old French loses 2",
    "2 better, French loses 4",
)


def judge(count: int, truth: Truth, seed: int) -> Decision:
    """The gate's decision on so many made-up questions."""
    names = tuple(f"q{number}" for number in range(count))
    languages = tuple("fr" if number % 2 else "en" for number in range(count))
    units = Units(names, names, languages, tuple(() for _ in names))
    noise = np.random.default_rng(seed)
    shared = noise.normal(0, SHARED, count)
    before = {}
    after = {}
    for dimension in DIMENSIONS:
        gains = np.array(
            [truth.except_for.get((language, dimension), truth.gain) for language in languages]
        )
        if truth.of_old_alone:
            gains[count // 2 :] = truth.gain
        before[dimension] = {"ndcg@10": np.full(count, 0.5)}
        after[dimension] = {"ndcg@10": 0.5 + gains + shared + noise.normal(0, OWN, count)}
    models = [
        Evaluation("m", "m", "e", Measured(units, values, {}, {})) for values in (before, after)
    ]
    return decide(models[0], models[1], set(names[: count // 2]), GATE, MEASURED)


def each_proves_it_alone(decision: Decision) -> bool:
    """Whether the same differences pass a rule without shrinkage."""
    reach = float(special.ndtri(GATE.confidence))
    objective = [row for row in decision.rows if not row.dimension]
    if not any(row.low > 0 for row in objective) or any(
        row.low < -GATE.tolerance for row in objective
    ):
        return False
    cells = [row for row in decision.rows if row.dimension]
    distances = [(row.mean + GATE.tolerance) / ((row.mean - row.low) / reach) for row in cells]
    ps = sorted(float(special.ndtr(-distance)) for distance in distances)
    return all(p <= (1 - GATE.confidence) / (len(ps) - rank) for rank, p in enumerate(ps))


def draw(shares: Mapping[str, Sequence[float]], alone: Mapping[str, Sequence[float]]) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, title, lines in zip(
            panels, ("the gate", "each cell alone"), (shares, alone), strict=True
        ):
            for place, name in enumerate(DRAWN):
                draw_curve(axes, place, name, SIZES, [100 * share for share in lines[name]])
            axes.set_title(title)
            axes.set_xscale("log")
            axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
            axes.minorticks_off()
            axes.set_xlabel("test questions")
            axes.set_ylim(-2, 102)
            axes.grid(axis="y")
        panels[0].set_ylabel("promoted, %")
        panels[1].legend(loc="upper left")
        return to_png(figure)


@click.command()
@click.option("--candidates", default=300, show_default=True, help="made up for each row and size")
@click.option("--plot", type=click.Path(path_type=Path), help="PNG to write")
def main(candidates: int, plot: Path | None) -> None:
    """Print the share of candidates that are promoted, by the gate and by the rule without
    shrinkage.
    """
    shares: dict[str, list[float]] = {name: [] for name in TRUTHS}
    alone: dict[str, list[float]] = {name: [] for name in TRUTHS}
    click.echo(
        f"{'promoted of ' + str(candidates) + ', % (each cell alone)':<34}"
        + "".join(f"{n:>12,}" for n in SIZES)
    )
    for name, truth in TRUTHS.items():
        for size in SIZES:
            decisions = [judge(size, truth, seed) for seed in range(candidates)]
            shares[name].append(
                np.mean([decision.outcome == "better" for decision in decisions]).item()
            )
            alone[name].append(
                np.mean([each_proves_it_alone(decision) for decision in decisions]).item()
            )
        cells = zip(shares[name], alone[name], strict=True)
        click.echo(
            f"{name:<34}" + "".join(f"{f'{gate:.0%} ({other:.0%})':>12}" for gate, other in cells)
        )
    if plot:
        plot.write_bytes(draw(shares, alone))


if __name__ == "__main__":
    main()
