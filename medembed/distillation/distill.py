"""Make a smaller model that does what a larger one does.

Each stage leaves an output in the run's folder, named by the fingerprint of its inputs; the same
call finds it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from medembed import storage
from medembed.data.dataset import Dataset, open_dataset
from medembed.distillation.agreement import METRIC, Row, Samples, hold_out, judge, measure_agreement
from medembed.distillation.config import DistillConfig
from medembed.distillation.cost import ModelCost, describe_costs, measure_costs
from medembed.distillation.measure import (
    STUDENT,
    TEACHER,
    Measured,
    has_judgments,
    measure_judged,
)
from medembed.distillation.pair import Pair, pair
from medembed.distillation.quality import Quality, check_kept
from medembed.encoding.encode import encode_corpus
from medembed.encoding.table import Table
from medembed.evaluation.checks import check_data, check_request
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.side_by_side import REPORT, Contender, SideBySide, compare_models
from medembed.language import to_translate, tr
from medembed.progress import stage
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.lesson import Lesson
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.curves import CURVES
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.register import register_checkpoint
from medembed.training.rows.columns import count_rows
from medembed.training.run.enough import check_filled
from medembed.training.train import train


class Costs(NamedTuple):
    """What student and teacher cost, measured side by side."""

    student: ModelCost
    teacher: ModelCost


@dataclass(frozen=True)
class Distilled:
    """All that a run made; without judged queries there is no `report`."""

    pair: Pair
    checkpoint: Checkpoint
    version: Version
    quality: Quality
    costs: Costs
    report: str | None
    seconds: dict[str, float]


def distill(config: DistillConfig, registry: Registry) -> Distilled:
    """Train the student, measure it beside its teacher, and register it if it keeps enough.

    Models must be references that workers can load. Raises ModelError for a student that keeps too
    little, and the rooms' errors; whatever was finished before stays and is found again.
    """
    dataset = open_dataset(storage.absolute(config.data))
    return _Run(config, registry, dataset, storage.absolute(config.output)).run()


@dataclass(frozen=True)
class _Run:
    """One distillation, stage by stage."""

    config: DistillConfig
    registry: Registry
    dataset: Dataset
    root: str
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Distilled:
        held = () if self._is_judged() else hold_out(self.dataset)
        left_out = frozenset(row.text for row in held)
        models = self._find_pair(left_out)
        with stage(to_translate("encode with the teacher"), self.seconds):
            table = self._encode(models.teacher)
            samples = self._draw(held, models, table)
        with stage(to_translate("train"), self.seconds):
            lesson = Lesson(table, samples.dev, left_out, models.parent)
            place = storage.join(self.root, "models", "{key}")
            checkpoint = train(
                self.dataset, None, models.student, place, models.training, lesson=lesson
            )
        with stage(to_translate("measure both"), self.seconds):
            measured = self._measure(models, table, checkpoint, samples)
            both = (checkpoint.uri, models.teacher)
            costs = Costs(*measure_costs(self.dataset, both, self.config.encoding))
        with stage(to_translate("report and register"), self.seconds):
            compared = self._report(models, checkpoint, measured, costs)
            check_kept(measured.quality, self.config.keep)
            version = self._register(models, checkpoint, measured, compared)
        report = storage.join(self.root, REPORT) if compared else None
        return Distilled(models, checkpoint, version, measured.quality, costs, report, self.seconds)

    def _is_judged(self) -> bool:
        """Return whether queries of dev, and of what is measured on, have a relevant document."""
        measured = self.config.evaluation
        wanted = (("dev", self.config.training.dev_tag), (measured.split, measured.tag))
        return all(has_judgments(self.dataset, split, tag) for split, tag in wanted)

    def _find_pair(self, left_out: Collection[str]) -> Pair:
        """Check models and data, now rather than after an hour."""
        metric = METRIC
        if not left_out:
            metric = self.config.training.select_by
            check_data(self.dataset, self.config.evaluation, bm25=False)
        models = pair(self.config, self.root, metric)
        rows = count_rows(models.training.loss.name, self.dataset, [], left_out)
        check_filled(self.dataset.uri, rows, models.training)
        check_request(self._evaluation(models), [models.student])
        if not left_out:
            draw_dev_sample(self.dataset, models.training)
        return models

    def _evaluation(self, models: Pair) -> EvaluationConfig:
        """Return what is measured: the dimensions that are trained, unless others are named."""
        measured = self.config.evaluation
        dimensions = measured.dimensions or models.training.dimensions
        return measured.model_copy(update={"dimensions": dimensions})

    def _encode(self, model: str) -> Table:
        return encode_corpus(
            self.dataset.corpus_files(),
            self.dataset.fingerprint,
            model,
            storage.join(self.root, "tables", "{key}.lance"),
            self.config.encoding,
        )

    def _draw(self, held: Sequence[Row], models: Pair, table: Table) -> Samples:
        """Return what checkpoints are measured on and, without judged queries, the student too."""
        if held:
            return judge(held, table, models.teacher, self.config.encoding)
        return Samples(draw_dev_sample(self.dataset, models.training))

    def _measure(
        self, models: Pair, table: Table, checkpoint: Checkpoint, samples: Samples
    ) -> Measured:
        config = self._evaluation(models)
        encoding = self.config.encoding
        if samples.test is not None:
            scores = []
            for model in (checkpoint.uri, models.teacher):
                found = measure_agreement(samples.test, model, config.dimensions, encoding)
                scores.append(found)
            return Measured(Quality(METRIC, *scores))
        student = Contender(STUDENT, checkpoint.uri, self._encode(checkpoint.uri))
        teacher = Contender(TEACHER, models.teacher, table)
        return measure_judged(self.dataset, student, teacher, self.root, config, encoding)

    def _report(
        self, models: Pair, checkpoint: Checkpoint, measured: Measured, costs: Costs
    ) -> SideBySide | None:
        """Write the page of both side by side; None where no query is judged."""
        if not measured.contenders:
            return None
        facts = [
            (tr(TEACHER), models.teacher),
            (tr(STUDENT), f"{checkpoint.uri} ({checkpoint.fingerprint})"),
            *describe_costs(*costs),
        ]
        compared = compare_models(
            self.dataset,
            measured.contenders,
            self.root,
            self._evaluation(models),
            self.config.encoding,
            title=tr("Student and teacher"),
            facts=facts,
            plots=checkpoint.read(CURVES),
        )
        compared.write(self.root)
        return compared

    def _register(
        self,
        models: Pair,
        checkpoint: Checkpoint,
        measured: Measured,
        compared: SideBySide | None,
    ) -> Version:
        table = measured.contenders[0].table.as_source if measured.contenders else None
        lineage = Lineage(
            job="distill", dataset=self.dataset.as_source, table=table, output=self.root
        )
        version, _ = register_checkpoint(
            self.registry,
            checkpoint,
            self.config,
            metrics=measured.quality.metrics | (compared.metrics if compared else {}),
            lineage=lineage,
            artifacts=compared.files if compared else {},
        )
        return version
