"""A dimension for each use (best, balanced, light, fastest) from measured quality, bytes and search
time. Pure.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from medembed.config import Config
from medembed.errors import DataError
from medembed.evaluation.compare import Comparison, compare_evaluations
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, principal_metrics
from medembed.evaluation.screen import listed

Use = Literal["best", "balanced", "light", "fastest"]
_FLOAT32_BYTES = 4
_SLICE_KEPT = 0.90  # a language or tag that surely keeps less is named: the mean does not show it
_INK, _MUTED, _TEAL = "#0f172a", "#475569", "#0f766e"


class RecommendConfig(Config):
    """What each use may give up, and how search is timed."""

    balanced_loss: float = Field(
        default=0.01,
        ge=0,
        description="what `balanced` may lose against the best, in points of the objective (0.01 "
        "of an NDCG from 0 to 1), at the lower end of the 95% interval",
    )
    light_kept: float = Field(
        default=0.95, gt=0, le=1, description="share of the best quality that `light` keeps"
    )
    fastest_kept: float = Field(
        default=0.90, gt=0, le=1, description="share of the best quality that `fastest` keeps"
    )
    same_time: float = Field(
        default=0.1,
        ge=0,
        description="search times that differ by no more than this share count as the same",
    )
    search_vectors: int = Field(
        default=100_000, ge=1, description="at most so many documents are searched when timed"
    )
    search_queries: int = Field(default=50, ge=1, description="at most so many queries are timed")
    repeats: int = Field(default=5, ge=1, description="how often all dimensions are timed in turn")


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
    are the paired 95% interval of its difference to the best dimension (0 and 0 for the best);
    `search_ms` is one query's exact search. `worst` is the slice that surely keeps least of its own
    quality, if that is too little.
    """

    dimension: int
    quality: float
    kept: float
    low: float
    high: float
    bytes_per_vector: int
    search_ms: float
    worst: SliceLoss | None = None


@dataclass(frozen=True)
class Choice:
    """The dimension for a use, and why in one sentence."""

    use: Use
    option: Option
    reason: str


def weigh(
    evaluation: Evaluation, search_ms: Mapping[int, float], config: EvaluationConfig
) -> list[Option]:
    """An option per measured dimension, widest first; `search_ms` {dimension: ms} has all of them.

    Quality is the first of `principal_metrics`. Its intervals come from the paired bootstrap of the
    evaluation against itself at the best dimension. Raises DataError if nothing was measured, or
    nothing above 0.
    """
    metrics = {d: row for d, row in evaluation.metrics.items() if d != NO_VECTORS}
    names = principal_metrics([name for row in metrics.values() for name in row])
    if not names:
        raise DataError(
            f"{evaluation.uri}: no quality was measured at any dimension; there is nothing to "
            "choose from."
        )
    objective = names[0]
    quality = {d: row[objective] for d, row in metrics.items() if objective in row}
    best = max(quality, key=lambda d: (quality[d], -d))
    if quality[best] <= 0:
        raise DataError(
            f"{evaluation.uri}: {objective} is at most {quality[best]:.3f} at all dimensions; "
            "train or take another model before choosing a dimension."
        )
    alone = _only(evaluation, objective, {d: d for d in quality})
    compared = compare_evaluations(
        _only(evaluation, objective, dict.fromkeys(quality, best)), alone, config
    )
    rows = compared.differences
    return [
        Option(
            dimension=d,
            quality=quality[d],
            kept=quality[d] / quality[best],
            low=0.0 if d == best else rows[objective][d].low,
            high=0.0 if d == best else rows[objective][d].high,
            bytes_per_vector=d * _FLOAT32_BYTES,
            search_ms=search_ms[d],
            worst=_find_worst(compared, d),
        )
        for d in sorted(quality, reverse=True)
    ]


def _find_worst(compared: Comparison, dimension: int) -> SliceLoss | None:
    """The slice that keeps least, of those whose loss is sure among all differences compared at
    once.
    """
    losses = []
    for (kind, name), differences in compared.slices.items():
        row = differences[dimension]
        if row.sure_high < 0 and 0 <= row.after < _SLICE_KEPT * row.before:
            losses.append(SliceLoss(f"{kind} {name}", row.units, row.before, row.after))
    return min(losses, key=lambda loss: loss.kept, default=None)


def _only(evaluation: Evaluation, objective: str, sources: Mapping[int, int]) -> Evaluation:
    """The evaluation with the objective alone, and at each dimension the values of another,
    {dimension: source}.
    """
    pairs = evaluation.pairs if objective == "spearman" else None
    return replace(
        evaluation,
        queries=_only_measured(evaluation.queries, objective, sources),
        documents=_only_measured(evaluation.documents, objective, sources),
        pairs=pairs
        and replace(pairs, cosines={d: pairs.cosines[source] for d, source in sources.items()}),
    )


def _only_measured(
    family: Measured | None, objective: str, sources: Mapping[int, int]
) -> Measured | None:
    if family is None or not all(objective in family.values.get(d, {}) for d in sources):
        return None
    values = {d: {objective: family.values[source][objective]} for d, source in sources.items()}
    return replace(family, values=values, cosines={})


def halve(width: int, narrowest: int = 32) -> tuple[int, ...]:
    """The width and its halves down to `narrowest`: dimensions to measure for a model that names
    none.
    """
    dimensions = [width]
    while dimensions[-1] // 2 >= narrowest:
        dimensions.append(dimensions[-1] // 2)
    return tuple(dimensions)


def choose(options: Sequence[Option], config: RecommendConfig) -> tuple[Choice, ...]:
    """The choice for each use, in the order best, balanced, light, fastest; one dimension may serve
    several.

    best: the highest quality. balanced: the narrowest whose loss stays within `balanced_loss` at
    the lower end of its interval. light: the narrowest that keeps `light_kept` of the quality.
    fastest: the least search time of those that keep `fastest_kept`; among times that count as the
    same, the highest quality.
    """
    best = max(options, key=lambda option: (option.quality, -option.dimension))
    return (
        Choice("best", best, _why_best(options, best)),
        _choose_balanced(options, best, config.balanced_loss),
        _choose_light(options, best, config.light_kept),
        _choose_fastest(options, best, config),
    )


def _why_best(options: Sequence[Option], best: Option) -> str:
    narrower = [option for option in options if option.dimension < best.dimension]
    unsure = [option for option in narrower if not option.high < 0]
    if not narrower:
        return f"the highest quality, {best.quality:.3f}; nothing narrower was measured"
    if not unsure:
        return f"the highest quality, {best.quality:.3f}; every narrower one is surely worse"
    told = listed([f"{option.dimension} ({_loss(option, best)})" for option in unsure])
    return f"the highest quality, {best.quality:.3f}; not surely worse: {told}"


def _choose_balanced(options: Sequence[Option], best: Option, loss: float) -> Choice:
    chosen = min(
        (o for o in options if o.low >= -loss or o is best), key=lambda option: option.dimension
    )
    if chosen is best:
        return Choice(
            "balanced", best, _why_none(options, best, f"surely loses at most {loss:g}", "low")
        )
    return Choice(
        "balanced",
        chosen,
        f"the narrowest that surely loses at most {loss:g}: {_loss(chosen, best)}",
    )


def _choose_light(options: Sequence[Option], best: Option, kept: float) -> Choice:
    chosen = min(
        (option for option in options if option.kept >= kept), key=lambda option: option.dimension
    )
    if chosen is best:
        return Choice(
            "light", best, _why_none(options, best, f"keeps {_share(kept)} of the quality")
        )
    return Choice(
        "light",
        chosen,
        f"the narrowest that keeps {_share(kept)} of the quality: {_share(chosen.kept)}",
    )


def _choose_fastest(options: Sequence[Option], best: Option, config: RecommendConfig) -> Choice:
    good = [option for option in options if option.kept >= config.fastest_kept]
    least = min(option.search_ms for option in good)
    same = [option for option in good if option.search_ms <= least * (1 + config.same_time)]
    chosen = max(same, key=lambda option: (option.quality, -option.dimension))
    if good == [best]:
        return Choice(
            "fastest",
            best,
            _why_none(options, best, f"keeps {_share(config.fastest_kept)} of the quality"),
        )
    instead = "" if chosen is best else f" instead of {best.search_ms:.2g}"
    reason = (
        f"{chosen.search_ms:.2g} ms per query{instead}, keeps {_share(chosen.kept)} of the quality"
    )
    others = [str(option.dimension) for option in same if option is not chosen]
    if others:
        reason += (
            f"; {listed(others)} {'is' if len(others) == 1 else 'are'} not measurably "
            "faster, and no better"
        )
    return Choice("fastest", chosen, reason)


def _why_none(
    options: Sequence[Option], best: Option, wanted: str, by: Literal["low", "kept"] = "kept"
) -> str:
    """Why a use is left with the best dimension, and which narrower one came nearest."""
    narrower = [option for option in options if option.dimension < best.dimension]
    if not narrower:
        return "nothing narrower was measured"
    found = max(narrower, key=lambda option: (getattr(option, by), -option.dimension))
    shown = _loss(found, best) if by == "low" else _share(found.kept)
    return f"none narrower {wanted}; the nearest is {found.dimension} ({shown})"


def _loss(option: Option, best: Option) -> str:
    return f"{option.quality - best.quality:+.3f} [{option.low:+.3f}, {option.high:+.3f}]"


def _share(share: float) -> str:
    """Rounded down, so that nothing looks as if it had reached a limit that it missed."""
    return f"{math.floor(share * 1000 + 1e-6) / 10:.3g}%"


def format_choices(
    options: Sequence[Option], choices: Sequence[Choice], *, objective: str = "quality"
) -> list[str]:
    """Lines for a terminal: a table of the options, the choice for each use with its reason, and
    what they share.
    """
    best = next(choice.option for choice in choices if choice.use == "best")
    lines = [
        f"dimensions   bytes/vector   {objective:>10}     kept   to the best [95% interval]   "
        "search ms"
    ]
    lines += [
        f"{option.dimension:>10}   {option.bytes_per_vector:>12,}   {option.quality:>10.3f}   "
        f"{_share(option.kept):>6}   {'' if option is best else _loss(option, best):>26}   "
        f"{option.search_ms:>9.2f}"
        for option in sorted(options, key=lambda option: -option.dimension)
    ]
    lines += [
        f"{choice.use + ':':<9} {choice.option.dimension:>5}   {choice.reason}"
        for choice in choices
    ]
    named = {choice.option.dimension: choice.option for choice in choices}
    lines += [_warn(option, option.worst, objective) for option in named.values() if option.worst]
    return lines + [
        f"{dimension} dimensions serve {listed(uses)} alike."
        for dimension, uses in _uses(choices).items()
        if uses[1:]
    ]


def _warn(option: Option, worst: SliceLoss, objective: str) -> str:
    return (
        f"! {option.dimension} dimensions keep {_share(option.kept)} in the mean, but "
        f"{_share(worst.kept)} of {worst.name}: {objective} {worst.before:.3f} -> "
        f"{worst.after:.3f} in {worst.units:,}"
    )


def _uses(choices: Sequence[Choice]) -> dict[int, list[str]]:
    """{dimension: the uses that it was chosen for}."""
    found: dict[int, list[str]] = {}
    for choice in choices:
        found.setdefault(choice.option.dimension, []).append(choice.use)
    return found


def draw_tradeoff(
    options: Sequence[Option], choices: Sequence[Choice], *, objective: str = "quality"
) -> bytes:
    """PNG, 920 x 640 pixels: quality against bytes per vector, search time below it, the choices
    named.

    The bars are the paired intervals of the differences to the best dimension. The same options
    give the same bytes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.2), dpi=200, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
    options = sorted(options, key=lambda option: option.dimension)
    top = max(option.quality for option in options)
    places = range(len(options))  # evenly spaced: on a log scale the names of 768 and 1,024 meet
    upper.vlines(
        places,
        [top + o.low for o in options],
        [top + o.high for o in options],
        color=_TEAL,
        alpha=0.35,
        lw=4,
    )
    upper.plot(places, [option.quality for option in options], "o-", color=_TEAL, markersize=4)
    uses = _uses(choices)
    for place, option in enumerate(options):
        if option.dimension in uses:
            named = uses[option.dimension] if len(uses) > 1 else ["every use"]
            height = max(top + option.high, option.quality)
            upper.plot(place, option.quality, "o", color=_INK, markersize=6)
            upper.annotate(
                "\n".join(named),
                (place, height),
                (0, 6),
                textcoords="offset points",
                ha="center",
                size=9,
            )
    lower.plot(places, [option.search_ms for option in options], "s-", color=_MUTED, markersize=4)
    lower.set_xticks(
        places, [f"{option.dimension}\n{option.bytes_per_vector:,}" for option in options]
    )
    upper.set_ylabel(objective)
    lower.set(ylabel="search ms", xlabel="dimensions, and bytes per vector (float32)")
    for axes in (upper, lower):
        axes.margins(x=0.08, y=0.15)
        axes.grid(axis="y", color="#e2e8f0")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9, colors=_MUTED)
    lower.set_ylim(bottom=0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
