"""Measure models on retention sets, and compare the first one with each of the others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.model_files import fetch_model, model_width
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.result import Evaluation, baseline_dimensions, model_label
from medembed.evaluation.retention.judge import METRIC, Against, Retention, Scores, judge_retained
from medembed.evaluation.retention.names import set_label
from medembed.evaluation.retention.sets import RetentionSet, place_of
from medembed.language import tr
from medembed.schema import content_hash

_DEPTH = 10
_NEAR = 0.05  # NDCG@10 above chance, under which a model is said to find nothing


class NamedModel(NamedTuple):
    """A model as people call it, and where it lies for workers."""

    name: str
    place: str


AllScores = Mapping[str, Mapping[str, Scores]]  # {model: {set: ...}}


def measure_retention(
    sets: Sequence[RetentionSet],
    models: Sequence[NamedModel],
    output: str,
    dimensions: Sequence[int],
    config: RetentionConfig,
    encoding: EncodingConfig,
) -> Retention | None:
    """Measure the first model against the others, the base model last; None without a set."""
    if not sets:
        return None
    return compare_scores(sets, score_models(sets, models, output, dimensions, encoding), config)


def score_models(
    sets: Sequence[RetentionSet],
    models: Sequence[NamedModel],
    output: str,
    dimensions: Sequence[int],
    encoding: EncodingConfig,
) -> AllScores:
    """Measure each model on all of every set; tables and evaluations lie in `output`.

    A model that is narrower than a dimension is measured at its own width in its place. Raises the
    errors of `evaluate`.
    """
    scores: dict[str, dict[str, Scores]] = {}
    for model in models:
        width = model_width(fetch_model(model.place))
        wanted = tuple(dimensions)
        if width is not None and width < max(wanted):
            wanted = baseline_dimensions(wanted, width)
        scores[model.name] = {}
        for retention_set in sets:
            evaluation = _evaluate(retention_set, model, output, wanted, encoding)
            scores[model.name][retention_set.name] = _scores(retention_set, evaluation)
    return scores


def compare_scores(
    sets: Sequence[RetentionSet], scores: AllScores, config: RetentionConfig
) -> Retention:
    """Compare the first model of `scores` with each of the others, the base model last."""
    model, *baselines = scores
    base = baselines[-1] if baselines else model
    against = tuple(
        Against(name, judge_retained(scores[name], scores[model], config)) for name in baselines
    )
    means: dict[str, dict[str, dict[int, float]]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    notes: list[str] = []
    for retention_set in sets:
        name = retention_set.name
        means[name] = {of: _means(of_model[name]) for of, of_model in scores.items()}
        documents = retention_set.dataset.manifest.document_count
        sizes[name] = (_count(scores[model][name]), documents)
        chance = note_chance(name, base, max(means[name][base].values()), documents)
        worth = retention_set.worth and tr(
            "{name} is {worth}", name=set_label(name), worth=retention_set.worth
        )
        notes += [note for note in (worth, retention_set.unread, chance) if note]
    return Retention(model, config.tolerance, means, against, sizes, tuple(notes))


def note_chance(name: str, model: str, mean: float, documents: int) -> str:
    """Warn of a set on which a model's NDCG@10 is hardly better than chance; empty else.

    By chance the one relevant document stands at each of the first ten ranks once in so many
    documents.
    """
    ranks = np.arange(1, min(_DEPTH, documents) + 1)
    chance = float(np.sum(1 / np.log2(ranks + 1))) / documents
    if mean >= chance + _NEAR:
        return ""
    return tr(
        "{name}: {model} finds next to nothing there (NDCG@10 {mean:.3f}, {chance:.3f} by chance), "
        "and what it cannot do it cannot lose; is the set in a language that it reads?",
        name=set_label(name),
        model=model_label(model),
        mean=mean,
        chance=chance,
    )


def _evaluate(
    retention_set: RetentionSet,
    model: NamedModel,
    output: str,
    dimensions: tuple[int, ...],
    encoding: EncodingConfig,
) -> Evaluation:
    """Evaluate on the whole set, left-out queries too, so that others find the numbers again."""
    dataset = retention_set.dataset
    # One that is made anew shares most texts with the last.
    name = (
        f"made-{content_hash(retention_set.name)[:8]}"
        if retention_set.worth
        else dataset.fingerprint
    )
    place = place_of(output, f"tables/{name}-{{key}}.lance")
    table = encode_corpus(dataset.corpus_files(), dataset.fingerprint, model.place, place, encoding)
    measured = EvaluationConfig(dimensions=dimensions, split=retention_set.split, k=(_DEPTH,))
    evaluations = place_of(output, "evaluations/{key}")
    return evaluate(dataset, table, model.place, evaluations, measured, encoding, name=model.name)


def _scores(retention_set: RetentionSet, evaluation: Evaluation) -> Scores:
    """Return the scores, NaN where a query is left out."""
    measured = evaluation.queries
    assert measured is not None, "a set without a relevant document was refused"
    is_left_out = np.array(
        [name in retention_set.left_out for name in measured.units.ids], dtype=np.bool_
    )
    values = {
        d: np.where(is_left_out, np.nan, named[METRIC]) for d, named in measured.values.items()
    }
    return Scores(values, measured.units.groups)


def _means(scores: Scores) -> dict[int, float]:
    return {
        d: float(np.nanmean(values)) for d, values in sorted(scores.values.items(), reverse=True)
    }


def _count(scores: Scores) -> int:
    return int((~np.isnan(next(iter(scores.values.values())))).sum())
