"""Compare candidate and champion on the dev sample, before the whole corpus is encoded anew."""

from dataclasses import replace

import numpy as np

from medembed.data.dataset import Dataset
from medembed.encoding.reading import Role
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell, one_sided
from medembed.evaluation.metrics import Values
from medembed.evaluation.sample import Sample, Vectors, score_sample
from medembed.finetuning.gate import GateRow, Verdict, make_row
from medembed.finetuning.gate_cells import ALL
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.language import to_translate
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.dev_sample import draw_dev_sample, read_dev_values

DEV = to_translate("dev sample")


def try_out(
    dataset: Dataset, champion: str, table: Table, candidate: Checkpoint, config: RetrainConfig
) -> GateRow:
    """Return the difference of the mean of `training.select_by` over the served dimensions.

    It is "fail" if the candidate surely loses more than the gate tolerates. The champion's
    documents are looked up in its table, and the candidate was measured when it was trained: as a
    rule only the champion's queries are encoded. Where a document crashes the encoder, both rank
    the others.
    """
    sample = draw_dev_sample(dataset, config.training)
    vectors = table.find([name for name, _ in sample.documents])
    kept = [n for n, (name, _) in enumerate(sample.documents) if name in vectors]
    known = replace(sample, documents=tuple(sample.documents[n] for n in kept))

    queries = [text for _, text in sample.queries]
    documents = [text for _, text in sample.documents]
    asked = encode_texts({"query": queries}, champion, config.encoding)["query"]
    of_champion = np.stack([vectors[name] for name, _ in known.documents])
    before = _score(known, asked, of_champion, config)
    after = None
    if len(kept) == len(documents):
        after = read_dev_values(candidate, config.gate.dimensions or config.training.dimensions)
    if after is None:
        texts: dict[Role, list[str]] = {"query": queries, "document": documents}
        encoded = encode_texts(texts, candidate.uri, config.encoding)
        after = _score(known, encoded["query"], encoded["document"][kept], config)
    return _compare(before, after, sample, config)


def _score(sample: Sample, queries: Vectors, documents: Vectors, config: RetrainConfig) -> Values:
    """Return each query's mean over the served dimensions [Q]; a narrower model has its width."""
    widest = min(queries.shape[1], documents.shape[1])
    served = config.gate.dimensions or config.training.dimensions
    widths = [min(dimension, widest) for dimension in sorted(set(served), reverse=True)]
    scores = score_sample(sample, queries, documents, widths, config.training.select_by)
    return np.asarray(np.mean([scores[width] for width in widths], axis=0))


def _compare(before: Values, after: Values, sample: Sample, config: RetrainConfig) -> GateRow:
    cell = mean_cell(before, after, Grouping.of(sample.groups))
    assert cell is not None
    samples = config.evaluation.bootstrap_samples
    drawn = draw_differences([cell], samples=samples, seed=config.evaluation.seed)[:, 0]
    bound = one_sided(cell, drawn, config.gate.confidence)
    verdict: Verdict = "fail" if bound.high < -config.gate.tolerance else "pass"
    return make_row(DEV, 0, ALL, cell, bound, risk=None, verdict=verdict)
