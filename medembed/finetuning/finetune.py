"""The whole loop: prepare, encode, measure, mine, train, encode, measure again, report, register,
promote.

Each stage leaves an output named by the fingerprint of its inputs; the same call finds it again, so
a second run, or one after Ctrl-C, does only what is not done.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset, describe, format_counts, require_queries
from medembed.data.prepare import prepare
from medembed.encoding.encode import encode_corpus
from medembed.encoding.model_files import fetch_model, model_width, read_tokenizer
from medembed.encoding.table import Table
from medembed.evaluation.compare import Comparison
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.elsewhere import Model, measure_retention
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.report import headline
from medembed.evaluation.result import Evaluation, baseline_dimensions, principal_metrics
from medembed.evaluation.retained import Retention
from medembed.evaluation.retention import RetentionSet, open_retention
from medembed.evaluation.retention_screen import lost_to
from medembed.evaluation.screen import label
from medembed.evaluation.side_by_side import (
    Contender,
    SideBySide,
    check_data,
    check_request,
    compare_models,
    differences_of,
)
from medembed.finetuning.config import FinetuneConfig
from medembed.matryoshka import check_dimensions
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.progress import stage
from medembed.registry.champion import make_champion, name_loss, read_champion
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.loss_config import ON_EXAMPLES
from medembed.training.model.trainable import check_trainable
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.curves import CURVES
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.register import register_checkpoint
from medembed.training.record.samples import Elsewhere, draw_elsewhere
from medembed.training.run.enough import check_enough
from medembed.training.train import train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finetuned:
    """All that a run made."""

    dataset: Dataset
    tables: tuple[Table, Table]  # of the base model and of the new one
    examples: Examples | None  # None where the loss reads none
    checkpoint: Checkpoint
    before: Evaluation
    after: Evaluation
    compared: SideBySide
    version: Version
    is_promoted: bool
    report: str
    seconds: dict[str, float]

    @property
    def comparison(self) -> Comparison:
        """The new model against the base model."""
        return self.compared.comparisons[0]


def finetune(config: FinetuneConfig, registry: Registry) -> Finetuned:
    """Runs the loop; `config.model` must be a reference that workers can load.

    Raises the rooms' errors; whatever was finished before stays and is found again.
    """
    run = Run(config, storage.absolute(config.output))
    dimensions = (*config.training.dimensions, *run.measurement.dimensions)
    check_trainable(config.model, config.training)
    check_dimensions(dimensions, model_width(fetch_model(config.model)) or max(dimensions))
    check_request(run.measurement, [config.model])
    with run.stage("prepare"):
        dataset = prepare(
            config.source, config.splits, run.place("data/{key}"), read_tokenizer(config.model)
        )
        for line in describe(dataset):
            logger.info("%s", line)
        check_queries(dataset, config)
        sets = open_retention(config.retention, run.root, dataset, config.model)
    with run.stage("encode with the base model"):
        base_table = run.encode(dataset, config.model)
        check_dimensions(dimensions, base_table.info.width)
    with run.stage("measure before"):
        measured = run.measurement.dimensions
        same = run.measurement.model_copy(
            update={"dimensions": baseline_dimensions(measured, base_table.info.width)}
        )
        before = run.measure(dataset, base_table, config.model, same, "base model")
    examples, checkpoint, table = run.improve(
        dataset, base_table, draw_elsewhere(sets, config.retention)
    )
    with run.stage("measure after"):
        after = run.measure(dataset, table, checkpoint.uri, run.measurement, "fine-tuned")
    with run.stage("measure elsewhere"):
        retention = run.look_elsewhere(sets, checkpoint)
        lost = lost_to(retention)
    with run.stage("report and register"):
        compared = run.compare(dataset, checkpoint, (base_table, before), (table, after), retention)
        lineage = Lineage(
            dataset=dataset.as_source,
            examples=examples.as_source if examples else None,
            base=base_table.info.encoder,
            table=table.as_source,
            output=run.root,
            lost_elsewhere=name_loss(lost),
        )
        report, version, is_new = run.publish(registry, checkpoint, compared, lineage)
        comparison = compared.comparisons[0]
        gain = comparison.differences[comparison.objective][config.training.select_dimension]
        is_promoted = (
            config.promote
            and gain.low > 0
            and not lost
            and (is_new or read_champion(registry, version.name) is None)
        )
        if is_promoted:
            make_champion(registry, version, read_champion(registry, version.name))
    tables = (base_table, table)
    return Finetuned(
        dataset,
        tables,
        examples,
        checkpoint,
        before,
        after,
        compared,
        version,
        is_promoted,
        report,
        run.seconds,
    )


def check_queries(dataset: Dataset, config: FinetuneConfig) -> None:
    """Raises DataError if a split lacks what a later stage needs: now rather than after an hour."""
    measured = config.evaluation
    wanted = (("train", None), ("dev", config.training.dev_tag), (measured.split, measured.tag))
    require_queries(
        dataset, wanted, "fine-tuning trains, chooses checkpoints and measures on queries"
    )
    check_enough(dataset, config.mining, config.training)
    check_data(dataset, config.evaluation, bm25=False)
    draw_dev_sample(dataset, config.training)


class Run:
    """One run of the loop: its config, its folder, and the seconds that each stage took."""

    def __init__(self, config: FinetuneConfig, root: str) -> None:
        self.config, self.root = config, root
        self.seconds: dict[str, float] = {}
        dimensions = config.evaluation.dimensions or config.training.dimensions
        self.measurement = config.evaluation.model_copy(update={"dimensions": dimensions})

    def place(self, name: str) -> str:
        return storage.join(self.root, name)

    def stage(self, name: str) -> AbstractContextManager[None]:
        return stage(name, self.seconds)

    def encode(self, dataset: Dataset, model: str) -> Table:
        place = self.place("tables/{key}.lance")
        table = encode_corpus(
            dataset.corpus_files(), dataset.fingerprint, model, place, self.config.encoding
        )
        logger.info(
            "embedding table: %d rows x %d, encoder %s",
            table.rows,
            table.info.width,
            table.info.encoder,
        )
        return table

    def improve(
        self, dataset: Dataset, base_table: Table, elsewhere: Elsewhere
    ) -> tuple[Examples | None, Checkpoint, Table]:
        """The best round's examples and checkpoint, and the embedding table of that checkpoint."""
        model, table, mining, rounds = (
            self.config.model,
            base_table,
            self.config.mining,
            self.config.rounds,
        )
        best: tuple[Examples | None, Checkpoint, Table] | None = None
        examples = None
        for number in range(1, rounds + 1):
            which = f", round {number} of {rounds}" if rounds > 1 else ""
            if self.config.training.loss.name in ON_EXAMPLES:
                with self.stage("mine hard negatives" + which):
                    place = self.place("examples/{key}")
                    examples = mine(dataset, table, model, place, mining, self.config.encoding)
                    logger.info("examples: %s", format_counts(examples.manifest.counts))
            with self.stage("train" + which):
                place = self.place("models/{key}")
                checkpoint = train(
                    dataset, examples, model, place, self.config.training, elsewhere=elsewhere
                )
                logger.info("best checkpoint: %s", checkpoint.describe_score())
            if best and checkpoint.manifest.score <= best[1].manifest.score:
                logger.info(
                    "round %d has no higher dev score; the model of round %d is kept",
                    number,
                    number - 1,
                )
                break
            with self.stage("encode with the new model" + which):
                model, table = checkpoint.uri, self.encode(dataset, checkpoint.uri)
            mining = mining.model_copy(update={"previous": None})  # it was another model's
            best = examples, checkpoint, table
        assert best is not None
        return best

    def measure(
        self, dataset: Dataset, table: Table, model: str, measurement: EvaluationConfig, name: str
    ) -> Evaluation:
        place = self.place("evaluations/{key}")
        result = evaluate(
            dataset, table, model, place, measurement, self.config.encoding, name=name
        )
        objective = principal_metrics([name for row in result.metrics.values() for name in row])[0]
        scores = ", ".join(
            f"{dimension}: {values[objective]:.3f}" for dimension, values in result.metrics.items()
        )
        logger.info(
            "%s on the %s split, by dimension: %s", label(objective), self.measurement.split, scores
        )
        return result

    def compare(
        self,
        dataset: Dataset,
        checkpoint: Checkpoint,
        before: tuple[Table, Evaluation],
        after: tuple[Table, Evaluation],
        retention: Retention | None,
    ) -> SideBySide:
        """The new model beside the base model, both measured already."""
        facts = [
            ("base model", f"{self.config.model} ({before[0].info.encoder})"),
            ("new model", f"{checkpoint.uri} ({checkpoint.fingerprint})"),
        ]
        contenders = [
            Contender("fine-tuned", checkpoint.uri, *after),
            Contender("base model", self.config.model, *before),
        ]
        return compare_models(
            dataset,
            contenders,
            self.root,
            self.measurement,
            self.config.encoding,
            title="Before and after fine-tuning",
            facts=facts,
            plots=checkpoint.read(CURVES),
            retention=retention,
        )

    def look_elsewhere(
        self, sets: Sequence[RetentionSet], checkpoint: Checkpoint
    ) -> Retention | None:
        """What the new model keeps of what the base model could, on retention sets."""
        models = (Model("fine-tuned", checkpoint.uri), Model("base model", self.config.model))
        dimensions = self.measurement.dimensions
        return measure_retention(
            sets, models, self.root, dimensions, self.config.retention, self.config.encoding
        )

    def publish(
        self, registry: Registry, checkpoint: Checkpoint, compared: SideBySide, lineage: Lineage
    ) -> tuple[str, Version, bool]:
        """Writes the report, registers the checkpoint with it: (the report's place, the version,
        whether it is new).

        `lineage` says where the model comes from and where its table lies.
        """
        compared.write(self.root)
        version, is_new = register_checkpoint(
            registry,
            checkpoint,
            self.config,
            metrics=compared.metrics,
            lineage=lineage,
            artifacts=compared.files,
        )
        return self.place("report.html"), version, is_new


def summarize(result: Finetuned) -> dict[str, Any]:
    """The run as summary.json has it: inputs, outputs, fingerprints, counts, metrics, seconds."""
    parent = result.checkpoint.manifest.origin.parent
    return {
        "headline": headline(result.comparison),
        "metrics": {
            "before": {
                str(dimension): values for dimension, values in result.before.metrics.items()
            },
            "after": {str(dimension): values for dimension, values in result.after.metrics.items()},
            "differences": differences_of(result.comparison),
        },
        "retention": result.compared.page.retention and result.compared.page.retention.numbers,
        "dataset": {
            "uri": result.dataset.uri,
            "fingerprint": result.dataset.fingerprint,
            "counts": result.dataset.manifest.counts,
            "splits": result.dataset.manifest.splits,
            "dropped": result.dataset.manifest.dropped,
        },
        "examples": result.examples
        and {
            "uri": result.examples.uri,
            "fingerprint": result.examples.fingerprint,
            "counts": result.examples.manifest.counts,
        },
        "checkpoint": {
            "uri": result.checkpoint.uri,
            "fingerprint": result.checkpoint.fingerprint,
            "parent": parent and asdict(parent),
            "dev": result.checkpoint.manifest.dev,
        },
        "tables": {
            name: {"uri": table.uri, "version": table.version, "encoder": table.info.encoder}
            for name, table in zip(("before", "after"), result.tables, strict=True)
        },
        "registered": {
            "model": f"models:/{result.version.name}/{result.version.version}",
            "run_id": result.version.run_id,
            "champion": result.is_promoted,
        },
        "report": result.report,
        "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
    }
