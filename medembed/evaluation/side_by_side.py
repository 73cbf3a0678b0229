"""Any number of models on one data set, measured alike, compared with the first, and shown on one
page.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset, format_counts
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.model_files import fetch_model, model_width
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.evaluation.compare import Comparison, compare_all
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.corpus_sample import look_at
from medembed.evaluation.evaluate import BM25, check_measurable, evaluate, evaluate_bm25
from medembed.evaluation.files import nest_slices, to_json
from medembed.evaluation.must_rank import Case, DocumentId, load_cases
from medembed.evaluation.plots import PLOTS, draw_plots
from medembed.evaluation.report import Page, render_report
from medembed.evaluation.result import Evaluation, baseline_dimensions
from medembed.evaluation.retained import Retention
from medembed.matryoshka import check_dimensions
from medembed.privacy import show_id, without_passwords

logger = logging.getLogger(__name__)

# the last step of many places, as a version's number is
_NO_NAMES = {"model", "models", "checkpoint", "main", BM25}


@dataclass(frozen=True)
class Contender:
    """A model as people call it, where it lies for workers, its embedding table, and its evaluation
    if there is one.
    """

    name: str
    model: str
    table: Table
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class SideBySide:
    """The evaluations, the one of the model judged first, its comparison with each of the others,
    and the page.
    """

    evaluations: tuple[Evaluation, ...]
    comparisons: tuple[Comparison, ...]
    page: Page
    # the page, plots and numbers, by file name
    files: dict[str, str | bytes] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, Any]:
        """The model's metrics {dimension: {metric: mean}}, those of the baselines, and the
        differences, by name.
        """
        retention = {"retention": self.page.retention.numbers} if self.page.retention else {}
        return retention | {
            "metrics": {str(d): row for d, row in self.evaluations[0].metrics.items()},
            "baselines": {
                one.name: {str(d): row for d, row in one.metrics.items()}
                for one in self.evaluations[1:]
            },
            "differences": {one.baseline: differences_of(one) for one in self.comparisons},
        }

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name: ndcg@10_dim_64, difference_ndcg@10_dim_64_low, ..."""
        found = {
            f"{metric}_dim_{dimension}": value
            for dimension, row in self.evaluations[0].metrics.items()
            for metric, value in row.items()
        }
        for number, comparison in enumerate(self.comparisons):
            suffix = "" if number == 0 else f"_{number + 1}"
            for metric, rows in comparison.differences.items():
                for dimension, row in rows.items():
                    for part in ("before", "after", "mean", "low", "high", "sure_low", "sure_high"):
                        name = f"difference{suffix}_{metric}_dim_{dimension}_{part}"
                        found[name] = getattr(row, part)
        return found | (self.page.retention.metrics if self.page.retention else {})

    @property
    def measured(self) -> dict[str, int]:
        """How many queries, labelled documents and scored pairs the numbers are about."""
        one = self.evaluations[0]
        families = {"queries": one.queries, "documents": one.documents, "pairs": one.pairs}
        return {
            name: len(family.units.ids) for name, family in families.items() if family is not None
        }

    def write(self, output: str) -> None:
        """Writes page, plots and numbers to a folder; plots of an earlier page that this one has
        not are removed.
        """
        for name in PLOTS:
            if name not in self.files:
                storage.delete_file(storage.join(output, name))
        for name, content in self.files.items():
            data = content.encode() if isinstance(content, str) else content
            storage.write_bytes(storage.join(output, name), data)


def name_models(references: Sequence[str]) -> list[str]:
    """A name for people for each reference: as few of its last steps as tell them apart and say
    something.
    """
    plain = [without_passwords(reference).rstrip("/") for reference in references]
    steps = [re.sub(r"^([a-z0-9]+:)?/+", "", reference).split("/") for reference in plain]
    longest = max(map(len, steps))
    for depth in range(1, longest + 1):
        names = ["/".join(row[-depth:]) for row in steps]
        says_something = not any(name in _NO_NAMES or name.isdecimal() for name in names)
        if len(set(names)) == len(names) and (says_something or depth == longest):
            return names
    return [f"{reference} ({number})" for number, reference in enumerate(plain, start=1)]


def check_request(config: EvaluationConfig, models: Sequence[str]) -> None:
    """Finds out before anything is encoded what `compare_models` would find out afterwards.

    Raises ModelError for a model that is not there and for a dimension that the first one lacks,
    the errors of `load_cases` for must-rank cases.
    """
    widths = [model_width(fetch_model(model)) for model in models]
    if widths[0] is not None:
        check_dimensions(config.dimensions, widths[0])
    _cases(config)


def check_data(dataset: Dataset, config: EvaluationConfig, *, bm25: bool) -> None:
    """Finds out before anything is encoded whether the data has what is to be measured. Raises
    DataError.
    """
    has_queries = check_measurable(dataset, config)
    if bm25 and not has_queries:
        raise DataError(
            f"{dataset.uri}: bm25 ranks documents for queries, and no query has a positive; "
            "leave it out."
        )
    named = {
        side.id
        for case in _cases(config)
        for side in (case.above, case.below)
        if isinstance(side, DocumentId)
    }
    missing = named - set(dataset.document_ids().to_pylist()) if named else set()
    if missing:
        raise DataError(
            f"{config.must_rank}: document id {show_id(min(missing))!r} is not in the corpus; "
            "name one that is."
        )


def enter(
    dataset: Dataset, name: str, model: str, output: str, encoding: EncodingConfig
) -> Contender:
    """The model with its embedding table of the corpus, made under `output` or found there."""
    place = storage.join(output, "tables", "{key}.lance")
    return Contender(
        name,
        model,
        encode_corpus(dataset.corpus_files(), dataset.fingerprint, model, place, encoding),
    )


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
) -> SideBySide:
    """Measures each contender, and BM25 if asked for, compares the first with the others, and draws
    the page.

    `plots` {file name: PNG} join those that are drawn here; the page shows curves.png, a training's
    course, and what is kept elsewhere, if `retention` was measured. A baseline that is narrower
    than a dimension stands with its own widest. Raises the errors of `evaluate`.
    """
    evaluations = _measure(dataset, contenders, output, config, encoding, bm25=bm25)
    comparisons = compare_all(evaluations[1:], evaluations[0], config) if evaluations[1:] else []
    page = Page(
        title,
        evaluations,
        comparisons,
        looks={one.name: look_at(dataset, one.table, one.model) for one in contenders},
        must_rank={one.name: one.must_rank for one in evaluations if one.must_rank},
        facts=[
            (name, without_passwords(value))
            for name, value in [*describe_data(dataset, config), *facts]
        ],
        texts=_texts(dataset, config) if config.show_text and evaluations[0].queries else {},
        retention=retention,
    )
    plots = draw_plots(page) | dict(plots or {})
    result = SideBySide(tuple(evaluations), tuple(comparisons), page)
    numbers = result.numbers
    more = [*(["differences"] if comparisons else []), *(["retention"] if retention else [])]
    metrics = numbers["metrics"] | {name: numbers[name] for name in more}
    result.files.update(
        {
            "report.html": render_report(page, plots),
            **plots,
            "metrics.json": to_json(metrics),
            "slices.json": to_json({one.name: nest_slices(one) for one in evaluations}),
        }
    )
    return result


def _measure(
    dataset: Dataset,
    contenders: Sequence[Contender],
    output: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
    *,
    bm25: bool,
) -> list[Evaluation]:
    """The evaluation of each contender, those after the first at its dimensions, and of BM25 if
    asked for.
    """
    place = storage.join(output, "evaluations", "{key}")
    evaluations: list[Evaluation] = []
    for one in contenders:
        settings = config
        if evaluations:
            same = baseline_dimensions(evaluations[0].dimensions, one.table.info.width)
            settings = config.model_copy(update={"dimensions": same})
        found = one.evaluation or evaluate(
            dataset, one.table, one.model, place, settings, encoding, name=one.name
        )
        evaluations.append(found)
    if bm25:
        evaluations.append(evaluate_bm25(dataset, place, config))
    return evaluations


def describe_data(dataset: Dataset, config: EvaluationConfig) -> list[tuple[str, str]]:
    """(name, value) lines about what was measured on."""
    about = dataset.manifest
    return [
        ("data set", f"{dataset.fingerprint}, {format_counts(about.counts)}"),
        ("source", about.source),
        ("licence", about.licence or "not named"),
        ("measured on", f"split {config.split or 'all'}, tag {config.tag or 'any'}"),
    ]


def differences_of(comparison: Comparison) -> dict[str, dict[str, dict[str, Any]]]:
    """{metric: {dimension: before, after, mean, low, high, ...}} as JSON has it."""
    return {
        metric: {str(dimension): asdict(row) for dimension, row in rows.items()}
        for metric, rows in comparison.differences.items()
    }


def _texts(dataset: Dataset, config: EvaluationConfig) -> dict[str, str]:
    rows = dataset.queries(config.split, config.tag)
    return dict(zip(rows["query_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def _cases(config: EvaluationConfig) -> tuple[Case, ...]:
    return load_cases(config.must_rank) if config.must_rank else ()
