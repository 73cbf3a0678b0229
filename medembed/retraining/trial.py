"""The cheap gate: candidate and champion on the dev sample, before the whole corpus is encoded
anew.
"""

import numpy as np

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell, one_sided
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.rank import score_rankings
from medembed.evaluation.sample import Sample, Vectors
from medembed.retraining.config import GateConfig
from medembed.retraining.gate import ALL, Row
from medembed.search.corpus import top_k
from medembed.training.config import TrainingConfig
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.dev_sample import draw_dev_sample, read_dev_values

DEV = "dev sample"


def try_out(
    dataset: Dataset,
    champion: tuple[str, Table],
    candidate: Checkpoint,
    training: TrainingConfig,
    encoding: EncodingConfig,
    gate: GateConfig,
    measured: EvaluationConfig,
) -> Row:
    """The difference of the mean of `training.select_by` over the served dimensions; "fail" if it
    surely loses more than the gate tolerates.

    The champion's documents are looked up in its table, and the candidate was measured when it was
    trained: as a rule only the champion's queries are encoded. Where a document crashes the
    encoder, both rank the others.
    """
    sample = draw_dev_sample(dataset, training)
    queries, documents = (
        [text for _, text in sample.queries],
        [text for _, text in sample.documents],
    )
    model, table = champion
    held = table.find([name for name, _ in sample.documents])  # less those that crash the encoder
    kept = [place for place, (name, _) in enumerate(sample.documents) if name in held]
    of_champion = np.stack([held[sample.documents[place][0]] for place in kept])
    dimensions = gate.dimensions or training.dimensions
    asked = encode_texts({"query": queries}, model, encoding)["query"]
    before = _score(sample, kept, asked, of_champion, dimensions, training)
    after = read_dev_values(candidate, dimensions) if len(kept) == len(documents) else None
    if after is None:
        vectors = encode_texts({"query": queries, "document": documents}, candidate.uri, encoding)
        after = _score(
            sample, kept, vectors["query"], vectors["document"][kept], dimensions, training
        )
    names, position = np.unique(sample.groups, return_inverse=True)
    cell = mean_cell(before, after, np.ones(len(before)), Grouping(position, len(names)))
    assert cell is not None
    drawn = draw_differences([cell], samples=measured.bootstrap_samples, seed=measured.seed)[:, 0]
    bound = one_sided(cell, drawn, gate.confidence)
    return Row(
        part=DEV,
        dimension=0,
        language=ALL,
        queries=cell.units,
        groups=cell.groups,
        before=cell.before,
        after=cell.after,
        mean=cell.mean,
        low=bound.low,
        high=bound.high,
        risk=None,
        verdict="fail" if bound.high < -gate.tolerance else "pass",
    )


def _score(
    sample: Sample,
    kept: list[int],
    queries: Vectors,
    documents: Vectors,
    dimensions: tuple[int, ...],
    training: TrainingConfig,
) -> Values:
    """Of each query the mean over dimensions [Q]; a narrower model stands with its own width."""
    names = [sample.documents[place][0] for place in kept]
    depth = int(training.select_by.rpartition("@")[2])
    widest = min(queries.shape[1], documents.shape[1])
    rankings = {
        dimension: top_k(queries, names, documents, depth, min(dimension, widest), by_document=True)
        for dimension in dimensions
    }
    measured = score_rankings(
        rankings, [name for name, _ in sample.queries], sample.qrels, (depth,)
    )
    return np.asarray(np.mean([values[training.select_by] for values in measured.values()], axis=0))
