"""Recommend a dimension for each use (best, balanced, light) from the measured quality. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from medembed.evaluation.compare import Comparison, compare_evaluations
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import (
    BYTES_PER_VALUE,
    NO_VECTORS,
    Evaluation,
    Measured,
)
from medembed.evaluation.words import format_columns, label, listed, slice_title, thousands
from medembed.language import to_translate, tr

_BALANCED_LOSS = 0.01  # points of the objective that `balanced` may lose, surely
_LIGHT_KEPT = 0.95  # share of the best quality that `light` keeps
_NONE_LOSES_LESS = to_translate(
    "none narrower surely loses at most {limit}; the nearest is {dimension} ({shown})"
)
_NONE_KEEPS_MORE = to_translate(
    "none narrower keeps {limit} of the quality; the nearest is {dimension} ({shown})"
)
_USES = {
    "best": to_translate("best"),
    "balanced": to_translate("balanced"),
    "light": to_translate("light"),
}
_SLICE_KEPT = 0.90  # a language or tag that surely keeps less is named: the mean does not show it


@dataclass(frozen=True)
class SliceLoss:
    """A language or tag with its objective at the best dimension and at a narrower one."""

    name: str
    units: int
    before: float
    after: float

    @property
    def kept(self) -> float:
        return self.after / self.before


@dataclass(frozen=True)
class Option:
    """What a dimension offers.

    `quality` is the objective's mean and `kept` its share of the best dimension's; `low` and `high`
    are the paired 95% interval of its difference to the best dimension (0 and 0 for the best).
    `worst` is the slice that surely keeps least of its own quality, if that is too little.
    """

    dimension: int
    quality: float
    kept: float
    low: float
    high: float
    worst: SliceLoss | None = None

    @property
    def bytes_per_vector(self) -> int:
        return self.dimension * BYTES_PER_VALUE


@dataclass(frozen=True)
class Choice:
    """The dimension for a use, and why in one sentence."""

    use: Literal["best", "balanced", "light"]
    option: Option
    reason: str

    @property
    def title(self) -> str:
        """The use in the user's language."""
        return tr(_USES[self.use])


@dataclass(frozen=True)
class Recommendation:
    """What each dimension offers by the `objective`, widest first, and a choice per use."""

    objective: str
    options: tuple[Option, ...]
    choices: tuple[Choice, ...]

    @property
    def warnings(self) -> list[str]:
        """Name for each chosen dimension the language or tag that pays too much for it."""
        lines = []
        for option in dict.fromkeys(choice.option for choice in self.choices):
            if option.worst:
                lines.append(self._warn(option, option.worst))
        return lines

    def _warn(self, option: Option, worst: SliceLoss) -> str:
        return tr(
            "{dimension} dimensions keep {kept} in the mean, but {worst} of {slice}: {metric} "
            "{before:.3f} -> {after:.3f} in {units:,}",
            dimension=option.dimension,
            kept=share(option.kept),
            worst=share(worst.kept),
            slice=slice_title(*worst.name.split(" ", 1)),
            metric=label(self.objective),
            before=worst.before,
            after=worst.after,
            units=worst.units,
        )


def recommend(evaluation: Evaluation, config: EvaluationConfig) -> Recommendation | None:
    """Choose among the measured dimensions; None with fewer than two, or without any quality.

    best: the highest quality. balanced: the narrowest whose loss stays within 0.01 at the lower end
    of its interval. light: the narrowest that keeps 95% of the quality. One dimension may serve
    several uses.
    """
    metrics = {d: row for d, row in evaluation.metrics.items() if d != NO_VECTORS}
    names = principal_metrics(evaluation.metric_names)
    if len(metrics) < 2 or not names:
        return None
    quality = {d: row[names[0]] for d, row in metrics.items() if names[0] in row}
    if max(quality.values()) <= 0:
        return None
    options = weigh(evaluation, names[0], quality, config)
    return Recommendation(names[0], options, choose(options))


def weigh(
    evaluation: Evaluation, objective: str, quality: Mapping[int, float], config: EvaluationConfig
) -> tuple[Option, ...]:
    """Return an option for each dimension of `quality`, widest first.

    Intervals come from the paired bootstrap of the evaluation against itself at the best dimension.
    """
    best = max(quality, key=lambda d: (quality[d], -d))
    at_best = _only(evaluation, objective, dict.fromkeys(quality, best))
    alone = _only(evaluation, objective, {d: d for d in quality})
    compared = compare_evaluations(at_best, alone, config)
    options = []
    for d in sorted(quality, reverse=True):
        row = compared.differences[objective][d]
        options.append(
            Option(
                dimension=d,
                quality=quality[d],
                kept=quality[d] / quality[best],
                low=0.0 if d == best else row.low,
                high=0.0 if d == best else row.high,
                worst=_find_worst(compared, d),
            )
        )
    return tuple(options)


def _find_worst(compared: Comparison, dimension: int) -> SliceLoss | None:
    """Return the slice that keeps least, of those whose loss is sure among all differences."""
    losses = []
    for (kind, name), differences in compared.slices.items():
        row = differences[dimension]
        if row.sure_high < 0 and 0 <= row.after < _SLICE_KEPT * row.before:
            losses.append(SliceLoss(f"{kind} {name}", row.units, row.before, row.after))
    return min(losses, key=lambda loss: loss.kept, default=None)


def _only(evaluation: Evaluation, objective: str, sources: Mapping[int, int]) -> Evaluation:
    """Keep the objective alone, and at each dimension the values of another {dimension: source}."""
    pairs = evaluation.pairs if objective == "spearman" else None
    if pairs:
        cosines = {d: pairs.cosines[source] for d, source in sources.items()}
        pairs = replace(pairs, cosines=cosines)
    return replace(
        evaluation,
        queries=_only_measured(evaluation.queries, objective, sources),
        documents=_only_measured(evaluation.documents, objective, sources),
        pairs=pairs,
    )


def _only_measured(
    family: Measured | None, objective: str, sources: Mapping[int, int]
) -> Measured | None:
    if family is None or not all(objective in family.values.get(d, {}) for d in sources):
        return None
    values = {d: {objective: family.values[source][objective]} for d, source in sources.items()}
    return replace(family, values=values, cosines={})


def choose(options: Sequence[Option]) -> tuple[Choice, ...]:
    """Return the choice for each use, in the order best, balanced, light."""
    best = max(options, key=lambda option: (option.quality, -option.dimension))
    return (
        Choice("best", best, _why_best(options, best)),
        _choose_balanced(options, best),
        _choose_light(options, best),
    )


def _why_best(options: Sequence[Option], best: Option) -> str:
    narrower = [option for option in options if option.dimension < best.dimension]
    unsure = [f"{o.dimension} ({_loss(o, best)})" for o in narrower if not o.high < 0]
    highest = tr("the highest quality, {quality:.3f}", quality=best.quality)
    if not narrower:
        return tr("{highest}; nothing narrower was measured", highest=highest)
    if not unsure:
        return tr("{highest}; every narrower one is surely worse", highest=highest)
    return tr("{highest}; not surely worse: {unsure}", highest=highest, unsure=listed(unsure))


def _choose_balanced(options: Sequence[Option], best: Option) -> Choice:
    good = [option for option in options if option.low >= -_BALANCED_LOSS or option is best]
    chosen = min(good, key=lambda option: option.dimension)
    if chosen is not best:
        reason = tr(
            "the narrowest that surely loses at most {limit:g}: {loss}",
            limit=_BALANCED_LOSS,
            loss=_loss(chosen, best),
        )
    else:
        narrower = [option for option in options if option.dimension < best.dimension]
        nearest = max(narrower, key=lambda o: (o.low, -o.dimension), default=None)
        loss = _loss(nearest, best) if nearest else ""
        reason = _why_none(_NONE_LOSES_LESS, f"{_BALANCED_LOSS:g}", nearest, loss)
    return Choice("balanced", chosen, reason)


def _choose_light(options: Sequence[Option], best: Option) -> Choice:
    good = [option for option in options if option.kept >= _LIGHT_KEPT]
    chosen = min(good, key=lambda option: option.dimension)
    if chosen is not best:
        reason = tr(
            "the narrowest that keeps {least} of the quality: {kept}",
            least=share(_LIGHT_KEPT),
            kept=share(chosen.kept),
        )
    else:
        narrower = [option for option in options if option.dimension < best.dimension]
        nearest = max(narrower, key=lambda o: (o.kept, -o.dimension), default=None)
        kept = share(nearest.kept) if nearest else ""
        reason = _why_none(_NONE_KEEPS_MORE, share(_LIGHT_KEPT), nearest, kept)
    return Choice("light", chosen, reason)


def _why_none(message: str, limit: str, nearest: Option | None, shown: str) -> str:
    """Say why a use is left with the best dimension, and which narrower one came nearest."""
    if nearest is None:
        return tr("nothing narrower was measured")
    return tr(message, limit=limit, dimension=nearest.dimension, shown=shown)


def _loss(option: Option, best: Option) -> str:
    return f"{option.quality - best.quality:+.3f} [{option.low:+.3f}, {option.high:+.3f}]"


def share(value: float) -> str:
    """Write a share in percent, rounded down, so that nothing seems to reach a limit it missed."""
    return tr("{percent:.3g}%", percent=math.floor(value * 1000 + 1e-6) / 10)


def format_recommendation(recommendation: Recommendation | None) -> list[str]:
    """Return lines for a terminal: a table of the options, the choices, and who pays for them."""
    if recommendation is None:
        return []
    best = recommendation.choices[0].option
    name = label(recommendation.objective)
    heads = [tr("dimensions"), tr("bytes/vector"), name, tr("kept"), tr("to the best [95%]")]
    rows = [heads]
    for option in recommendation.options:
        loss = "" if option is best else _loss(option, best)
        size = thousands(option.bytes_per_vector)
        quality = f"{option.quality:.3f}"
        rows.append([str(option.dimension), size, quality, share(option.kept), loss])
    lines = ["", *format_columns(rows)]
    uses = [tr("{use}:", use=choice.title) for choice in recommendation.choices]
    width = max(map(len, uses))
    for use, choice in zip(uses, recommendation.choices, strict=True):
        lines.append(f"{use:<{width}} {choice.option.dimension:>5}   {choice.reason}")
    return lines + [f"! {warning}" for warning in recommendation.warnings]
