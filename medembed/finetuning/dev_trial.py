"""The cheap gate: candidate and champion on the dev sample, before the whole corpus is encoded
anew.
"""

from dataclasses import dataclass

import numpy as np

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell, one_sided
from medembed.evaluation.metrics import Values
from medembed.evaluation.rank import score_rankings
from medembed.evaluation.sample import Sample, Vectors
from medembed.finetuning.gate import Row, Verdict, make_row
from medembed.finetuning.gate_cells import ALL
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.search.corpus import top_k
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.dev_sample import draw_dev_sample, read_dev_values

DEV = "dev sample"


def try_out(
    dataset: Dataset, champion: str, table: Table, candidate: Checkpoint, config: RetrainConfig
) -> Row:
    """Return the difference of the mean of `training.select_by` over the served dimensions.

    It is "fail" if the candidate surely loses more than the gate tolerates. The champion's
    documents are looked up in its table, and the candidate was measured when it was trained: as a
    rule only the champion's queries are encoded. Where a document crashes the encoder, both rank
    the others.
    """
    sample = draw_dev_sample(dataset, config.training)
    dimensions = config.gate.dimensions or config.training.dimensions
    names = [name for name, _ in sample.documents]
    vectors = table.find(names)  # less those that crash the encoder
    kept = [number for number, name in enumerate(names) if name in vectors]
    trial = _Trial(sample, [names[number] for number in kept], dimensions, config)

    queries = [text for _, text in sample.queries]
    asked = encode_texts({"query": queries}, champion, config.encoding)["query"]
    before = trial.score(asked, np.stack([vectors[name] for name in trial.documents]))
    after = read_dev_values(candidate, dimensions) if len(kept) == len(names) else None
    if after is None:
        documents = [text for _, text in sample.documents]
        texts: dict[Role, list[str]] = {"query": queries, "document": documents}
        encoded = encode_texts(texts, candidate.uri, config.encoding)
        after = trial.score(encoded["query"], encoded["document"][kept])
    return _compare(before, after, sample, config)


@dataclass(frozen=True)
class _Trial:
    """What both models rank: the sample's queries, and the ids of its documents that both have."""

    sample: Sample
    documents: list[str]
    dimensions: tuple[int, ...]
    config: RetrainConfig

    def score(self, queries: Vectors, documents: Vectors) -> Values:
        """Return each query's mean over dimensions [Q]; a narrower model has its own width."""
        metric = self.config.training.select_by
        depth = int(metric.rpartition("@")[2])
        widest = min(queries.shape[1], documents.shape[1])
        rankings = {}
        for dimension in self.dimensions:
            width = min(dimension, widest)
            rankings[dimension] = top_k(
                queries, self.documents, documents, depth, width, by_document=True
            )
        names = [name for name, _ in self.sample.queries]
        measured = score_rankings(rankings, names, self.sample.qrels, (depth,))
        return np.asarray(np.mean([values[metric] for values in measured.values()], axis=0))


def _compare(before: Values, after: Values, sample: Sample, config: RetrainConfig) -> Row:
    names, position = np.unique(sample.groups, return_inverse=True)
    cell = mean_cell(before, after, np.ones(len(before)), Grouping(position, len(names)))
    assert cell is not None
    samples = config.evaluation.bootstrap_samples
    drawn = draw_differences([cell], samples=samples, seed=config.evaluation.seed)[:, 0]
    bound = one_sided(cell, drawn, config.gate.confidence)
    verdict: Verdict = "fail" if bound.high < -config.gate.tolerance else "pass"
    return make_row(DEV, 0, ALL, cell, bound, risk=None, verdict=verdict)
