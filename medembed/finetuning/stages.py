"""The stages that `medembed finetune` and `medembed retrain` have in common.

Each stage leaves an output in the run's folder, named by the fingerprint of its inputs; the same
call finds it again, so a second run, or one after Ctrl-C, does only what is not done.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from medembed import storage
from medembed.data.dataset import Dataset, describe, format_counts, require_queries
from medembed.encoding.encode import encode_corpus
from medembed.encoding.table import Table
from medembed.evaluation.checks import check_data
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import Evaluation, baseline_dimensions, model_label
from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.sets import RetentionSet, open_retention
from medembed.evaluation.side_by_side import Contender, SideBySide, compare_models
from medembed.evaluation.words import label
from medembed.finetuning.config import StagesConfig
from medembed.language import to_translate, tr
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.progress import stage
from medembed.registry.models import Registry
from medembed.registry.resolve import resolve_models
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.curves import CURVES
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.run.enough import check_settings

logger = logging.getLogger(__name__)

SomeConfig = TypeVar("SomeConfig", bound=StagesConfig)


def check_run(config: SomeConfig, registry: Registry, *, on_cluster: bool) -> SomeConfig:
    """Return the config with models that any node can load.

    Raises the error of a setting, an output or a model that would show only after hours.
    """
    registry.check_output(config.output)
    config = resolve_models(config, config.registry, on_cluster=on_cluster)
    check_settings(config.training, config.mining, config.output)
    return config


@dataclass
class Stages:
    """A run: what it was asked, and the seconds that each stage took."""

    config: StagesConfig
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The folder for all that the run makes."""
        return storage.absolute(self.config.output)

    def place(self, name: str) -> str:
        return storage.join(self.root, name)

    @contextmanager
    def stage(self, name: str, number: int = 1, rounds: int = 1) -> Iterator[None]:
        """Log and time the block, of one round of several."""
        title = name
        if rounds > 1:
            title = tr(
                "{stage}, round {number} of {rounds}", stage=tr(name), number=number, rounds=rounds
            )
            name += f", round {number} of {rounds}"
        spent: dict[str, float] = {}
        with stage(title, spent):
            yield
        self.seconds[name] = spent[title]

    def announce(self, dataset: Dataset) -> None:
        """Log what was kept of the data, and what was dropped and why."""
        for line in describe(dataset):
            logger.info("%s", line)

    def check_queries(self, dataset: Dataset) -> None:
        """Raises DataError if no query can choose a checkpoint or be measured.

        Now rather than after an hour.
        """
        measured = self.config.evaluation
        needed = (("dev", self.config.training.dev_tag), (measured.split, measured.tag))
        require_queries(
            dataset, needed, to_translate("fine-tuning chooses checkpoints and measures on queries")
        )
        check_data(dataset, measured, bm25=False)
        draw_dev_sample(dataset, self.config.training)

    def open_retention(self, dataset: Dataset, model: str) -> tuple[RetentionSet, ...]:
        """Return the sets on which the new model must not lose what `model` could."""
        return open_retention(self.config.retention, self.root, dataset, model)

    def encode(
        self, dataset: Dataset, model: str, place: str | None = None, *, is_unseen: bool = False
    ) -> Table:
        """Return the corpus's embedding table by this model, at `place` or in the run's folder.

        No server that starts meanwhile finds an unseen one.
        """
        table = encode_corpus(
            dataset.corpus_files(),
            dataset.fingerprint,
            model,
            place or self.place("tables/{key}.lance"),
            self.config.encoding,
            is_unseen=is_unseen,
        )
        logger.info(
            tr(
                "embedding table: {rows} rows x {width}, encoder {encoder}",
                rows=table.rows,
                width=table.info.width,
                encoder=table.info.encoder,
            )
        )
        return table

    def mine(
        self,
        dataset: Dataset,
        table: Table,
        model: str,
        mining: MiningConfig,
        only: Collection[str] | None = None,
    ) -> Examples:
        """Return examples of the queries in `only`, or of all, with the model's hard negatives."""
        place = self.place("examples/{key}")
        examples = mine(dataset, table, model, place, mining, self.config.encoding, only=only)
        logger.info(tr("examples: {counts}", counts=format_counts(examples.manifest.counts)))
        return examples

    def measure(
        self, dataset: Dataset, table: Table, model: str, name: str, *, is_baseline: bool = False
    ) -> Evaluation:
        """Return the model's scores; a baseline may be narrower than the dimensions asked for."""
        dimensions = self.config.dimensions
        if is_baseline:
            dimensions = baseline_dimensions(dimensions, table.info.width)
        measurement = self.config.evaluation.model_copy(update={"dimensions": dimensions})
        place = self.place("evaluations/{key}")
        evaluation = evaluate(
            dataset, table, model, place, measurement, self.config.encoding, name=name
        )
        objective = principal_metrics(list(next(iter(evaluation.metrics.values()))))[0]
        scores = [f"{width}: {row[objective]:.3f}" for width, row in evaluation.metrics.items()]
        logger.info(
            tr(
                "{metric} of the {name} on the {split} split, by dimension: {scores}",
                metric=label(objective),
                name=model_label(name),
                split=measurement.split,
                scores=", ".join(scores),
            )
        )
        return evaluation

    def compare(
        self,
        dataset: Dataset,
        contenders: Sequence[Contender],
        checkpoint: Checkpoint,
        retention: Retention | None,
        title: str,
        facts: Sequence[tuple[str, str]],
    ) -> SideBySide:
        """Write the report of the new model, the first contender, beside the one before."""
        dimensions = self.config.dimensions
        compared = compare_models(
            dataset,
            contenders,
            self.root,
            self.config.evaluation.model_copy(update={"dimensions": dimensions}),
            self.config.encoding,
            title=title,
            facts=facts,
            plots=checkpoint.read(CURVES),
            retention=retention,
        )
        compared.write(self.root)
        return compared
