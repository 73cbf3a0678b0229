"""Measure models on one data set, compare them with the first, and draw the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset, format_counts
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table
from medembed.evaluation.compare import Comparison, compare_all
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import evaluate, evaluate_bm25
from medembed.evaluation.files import nest_slices, to_json
from medembed.evaluation.footprint import Footprints
from medembed.evaluation.footprint_words import footprints_json
from medembed.evaluation.inspection import inspect_corpus
from medembed.evaluation.recommend import recommend
from medembed.evaluation.report.page import Page
from medembed.evaluation.report.plots import PLOTS, draw_plots
from medembed.evaluation.report.render import render_report
from medembed.evaluation.result import Evaluation, baseline_dimensions
from medembed.evaluation.retention.judge import Retention
from medembed.language import tr
from medembed.privacy import without_passwords

REPORT = "report.html"
_BOUNDS = ("before", "after", "mean", "low", "high", "sure_low", "sure_high")


@dataclass(frozen=True)
class Contender:
    """A model as people call it, where it lies for workers, its table, its evaluation if any."""

    name: str
    model: str
    table: Table
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class SideBySide:
    """The page, and the files of its report by name: HTML, plots and numbers."""

    page: Page
    files: Mapping[str, str | bytes] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name: ndcg@10_dim_64, difference_ndcg@10_dim_64_low, ..."""
        named: dict[str, float] = {}
        for dimension, row in self.page.model.metrics.items():
            for metric, value in row.items():
                named[f"{metric}_dim_{dimension}"] = value
        for number, comparison in enumerate(self.page.comparisons, start=1):
            start = "difference" if number == 1 else f"difference_{number}"
            for metric, rows in comparison.differences.items():
                for dimension, difference in rows.items():
                    for bound in _BOUNDS:
                        name = f"{start}_{metric}_dim_{dimension}_{bound}"
                        named[name] = getattr(difference, bound)
        if self.page.retention:
            named |= self.page.retention.metrics
        return named

    @property
    def measured(self) -> dict[str, int]:
        """How many queries, labelled documents and scored pairs the numbers are about."""
        families = self.page.model.families
        return {name: len(family.units.ids) for name, family in families.items()}

    def write(self, output: str) -> None:
        """Write the report to a folder, and remove plots of an earlier one that it has not."""
        for name in PLOTS:
            if name not in self.files:
                storage.delete_file(storage.join(output, name))
        for name, content in self.files.items():
            data = content.encode() if isinstance(content, str) else content
            storage.write_bytes(storage.join(output, name), data)


def compare_models(
    dataset: Dataset,
    contenders: Sequence[Contender],
    output: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
    *,
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    bm25: bool = False,
    plots: Mapping[str, bytes] | None = None,
    retention: Retention | None = None,
    footprints: Footprints | None = None,
) -> SideBySide:
    """Measure each contender, and BM25 if asked for; compare the first with the others; draw.

    `plots` {file name: PNG} join those that are drawn here; the page shows curves.png, a training's
    course, what is kept elsewhere, if `retention` was measured, and what each type of numbers
    keeps, if `footprints` were. A baseline that is narrower
    than a dimension stands with its own widest. Raises the errors of `evaluate`.
    """
    evaluations = _measure(dataset, contenders, output, config, encoding)
    if bm25:
        place = storage.join(output, "evaluations", "{key}")
        evaluations.append(evaluate_bm25(dataset, place, config))
    model = evaluations[0]
    inspections = {c.name: inspect_corpus(dataset, c.table, c.model) for c in contenders}
    about = [*_describe_data(dataset, config), *facts]
    page = Page(
        title,
        evaluations,
        compare_all(evaluations[1:], model, config),
        inspections=inspections,
        facts=[(name, without_passwords(value)) for name, value in about],
        texts=_read_texts(dataset, config) if config.show_text and model.queries else {},
        recommendation=recommend(model, config),
        retention=retention,
        footprints=footprints,
    )
    images = draw_plots(page) | dict(plots or {})
    slices = {evaluation.name: nest_slices(evaluation) for evaluation in evaluations}
    files: dict[str, str | bytes] = {
        REPORT: render_report(page, images),
        **images,
        "metrics.json": to_json(_metrics_json(page)),
        "slices.json": to_json(slices),
    }
    return SideBySide(page, files)


def _measure(
    dataset: Dataset,
    contenders: Sequence[Contender],
    output: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
) -> list[Evaluation]:
    """Evaluate each contender, those after the first at its dimensions."""
    place = storage.join(output, "evaluations", "{key}")
    evaluations: list[Evaluation] = []
    for contender in contenders:
        settings = config
        if evaluations:
            width = contender.table.info.width
            dimensions = baseline_dimensions(evaluations[0].dimensions, width)
            settings = config.model_copy(update={"dimensions": dimensions})
        evaluation = contender.evaluation
        if evaluation is None:
            evaluation = evaluate(
                dataset,
                contender.table,
                contender.model,
                place,
                settings,
                encoding,
                name=contender.name,
            )
        evaluations.append(evaluation)
    return evaluations


def _metrics_json(page: Page) -> dict[str, Any]:
    """Return {dimension: {metric: mean}}, with what else was measured: differences, retention,
    footprints.
    """
    values: dict[str, Any] = {str(d): row for d, row in page.model.metrics.items()}
    if page.comparisons:
        values["differences"] = differences_by_baseline(page)
    if page.retention:
        values["retention"] = page.retention.numbers
    if page.footprints:
        values["footprints"] = footprints_json(page.footprints)
    return values


def _describe_data(dataset: Dataset, config: EvaluationConfig) -> list[tuple[str, str]]:
    """Return (name, value) lines about what was measured on."""
    about = dataset.manifest
    return [
        (tr("data set"), f"{dataset.fingerprint}, {format_counts(about.counts)}"),
        (tr("source"), about.source),
        (tr("licence"), about.licence or tr("not named")),
        (
            tr("measured on"),
            tr(
                "split {split}, tag {tag}",
                split=config.split or tr("all"),
                tag=config.tag or tr("any"),
            ),
        ),
    ]


def differences_by_baseline(page: Page) -> dict[str, Any]:
    """Return {name of a baseline: what `differences_of` says of it}."""
    names = [evaluation.name for evaluation in page.evaluations[1:]]
    return dict(zip(names, map(differences_of, page.comparisons), strict=True))


def differences_of(comparison: Comparison) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {metric: {dimension: before, after, mean, low, high, ...}} as JSON has it."""
    values = {}
    for metric, rows in comparison.differences.items():
        values[metric] = {str(dimension): asdict(row) for dimension, row in rows.items()}
    return values


def _read_texts(dataset: Dataset, config: EvaluationConfig) -> dict[str, str]:
    rows = dataset.queries(config.split, config.tag)
    return dict(zip(rows["query_id"].to_pylist(), rows["text"].to_pylist(), strict=True))
