"""What was measured, compared and seen, as one self-contained HTML page to show in a meeting. Pure.

Holds ids and numbers; a row's text only where `Page.texts` has it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medembed.evaluation import screen
from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.corpus_sample import Look
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import Outcome
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, principal_metrics
from medembed.evaluation.retained import Retention
from medembed.evaluation.retention_screen import explain_losses, retention_headline
from medembed.evaluation.screen import GAIN, LOSS, label, listed, verdict
from medembed.privacy import show_id

BYTES_PER_VALUE = 4
GIB_PER_MILLION = 1e6 / 2**30  # times the bytes of one vector
MANY_CUT = 0.1  # share of texts longer than the model reads, from which the page warns
LISTED = 10  # gains and losses shown with their ids
_NAMED = 5  # losses named in a warning; the tables have them all
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True)
class Page:
    """All that the report shows. `evaluations` begins with the model judged; comparison i is with
    evaluation i + 1.

    `looks` and `must_rank` are by `Evaluation.name`; a ranking without vectors has no look. `facts`
    are (name, value) lines such as fingerprints and counts. `texts` {query id: text} is filled only
    where texts may be shown.
    """

    title: str
    evaluations: Sequence[Evaluation]
    comparisons: Sequence[Comparison] = ()
    looks: Mapping[str, Look] = field(default_factory=dict)
    must_rank: Mapping[str, Mapping[int, tuple[Outcome, ...]]] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    retention: Retention | None = None

    @property
    def model(self) -> Evaluation:
        return self.evaluations[0]

    @property
    def objective(self) -> str:
        """The metric that decides; empty where nothing could be measured."""
        if self.comparisons:
            return self.comparisons[0].objective
        measured = list(dict.fromkeys(name for row in self.model.metrics.values() for name in row))
        return next(iter(principal_metrics(measured) or measured), "")


@dataclass(frozen=True)
class Gains:
    """The objective of each unit under baseline and model, largest gain first; arrays are float64
    [n].
    """

    ids: tuple[str, ...]
    before: Values
    after: Values
    dimension: int
    baseline_dimension: int

    @property
    def difference(self) -> Values:
        return self.after - self.before

    def rows(self, sign: int) -> list[tuple[str, float, float, float]]:
        """(id, before, after, difference) of the LISTED largest gains (sign 1) or losses (sign
        -1).
        """
        gain = self.difference
        order = range(len(gain)) if sign > 0 else range(len(gain) - 1, -1, -1)
        found = [n for n in order[:LISTED] if sign * gain[n] > 0]
        return [
            (self.ids[n], float(self.before[n]), float(self.after[n]), float(gain[n]))
            for n in found
        ]

    def counts(self) -> tuple[int, int, int]:
        """How many units are better, equal and worse under the model."""
        better, worse = int((self.difference > 0).sum()), int((self.difference < 0).sum())
        return better, len(self.ids) - better - worse, worse


def family_of(evaluation: Evaluation, metric: str) -> Measured | Scored | None:
    """The family of an evaluation that the metric belongs to; None if it was not measured."""
    found = (
        family
        for family in evaluation.families
        if any(metric in row for row in family.means().values())
    )
    return next(found, None)


def gains(page: Page) -> Gains | None:
    """The objective per unit at the widest dimension, model against first baseline.

    None without a baseline, and for scored pairs, whose correlation has no value per pair.
    """
    if not page.comparisons:
        return None
    before, after = (
        family_of(found, page.objective) for found in (page.evaluations[1], page.model)
    )
    if not (isinstance(before, Measured) and isinstance(after, Measured)):
        return None
    differences = page.comparisons[0].differences[page.objective]
    dimension = max(differences)
    baseline_dimension = differences[dimension].dimension
    known = dict(
        zip(
            before.units.ids,
            before.values[baseline_dimension][page.objective].tolist(),
            strict=True,
        )
    )
    ids, new = after.units.ids, after.values[dimension][page.objective]
    old = np.array([known.get(name, np.nan) for name in ids])
    kept = [
        n for n in np.argsort(old - new, kind="stable").tolist() if not np.isnan(old[n] + new[n])
    ]
    return Gains(tuple(ids[n] for n in kept), old[kept], new[kept], dimension, baseline_dimension)


def headline(shown: Page | Comparison) -> str:
    """The result in a sentence or two, no more than is sure: sure among all differences of the
    comparison at once.

    That fewer dimensions of the model beat the baseline's full width is said only where that is
    sure, and where the model is worse is always said.
    """
    if isinstance(shown, Comparison):
        return _compared(shown)
    return _compared(shown.comparisons[0]) if shown.comparisons else _alone(shown)


def warnings(page: Page) -> list[str]:
    """What a reader must know before the numbers: must-rank cases that fail, sure losses beside the
    objective and elsewhere, texts that look alike or that the model cuts."""
    found = _must_rank_failures(page)
    for comparison in page.comparisons[:1]:
        others = {
            label(m): rows
            for m, rows in comparison.differences.items()
            if m != comparison.objective
        }
        slices = {f"{kind} {name}": rows for (kind, name), rows in comparison.slices.items()}
        found += _losses("Worse in", others) + _losses(
            f"Worse in {label(comparison.objective)} for", slices
        )
    found += _lost_elsewhere(page.retention) if page.retention else []
    look = page.looks.get(page.model.name)
    if look and look.look_alike:
        found.append(
            f"Documents look alike to {page.model.name}: two different ones have a cosine of "
            f"{look.mean_cosine:.2f} on average (standard deviation {look.spread:.2f}), so that a "
            "ranking hangs on small differences."
        )
    cut = look.truncation if look else None
    if cut and cut.cut >= MANY_CUT:
        found.append(
            f"{cut.cut:.0%} of the texts are longer than the {cut.max_length:,} tokens that "
            f"{page.model.name} reads; {cut.lost:.0%} of all tokens are never seen."
        )
    return found


def render_report(page: Page, plots: Mapping[str, bytes]) -> str:
    """The page as HTML that refers to nothing outside itself; `plots` {file name: PNG}. Sections
    without content are left out."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "label": label,
        "number": screen.number,
        "interval": screen.interval,
        "verdict": verdict,
        "listed": listed,
        "counted": screen.counted,
        "shown": _shown,
        "kept": retention_headline,
    }
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        page=page,
        headlines=[_compared(found) for found in page.comparisons] or [_alone(page)],
        warnings=warnings(page),
        plots={
            name: f"data:image/png;base64,{base64.b64encode(png).decode()}"
            for name, png in plots.items()
        },
        gains=gains(page),
        counts=_slice_counts(page),
        alone=page.model.slices() if not page.comparisons else {},
        units=screen.units_of(page.objective),
        bytes_per_value=BYTES_PER_VALUE,
        gib_per_million=GIB_PER_MILLION,
        fewest_groups=FEWEST_GROUPS,
    )


def _shown(unit: str) -> str:
    """The id of a query, or of a query and a document, as a page names it."""
    return "\t".join(show_id(name) for name in unit.split("\t"))


def _compared(comparison: Comparison) -> str:
    rows = dict(sorted(comparison.differences[comparison.objective].items(), reverse=True))
    surely = {
        word: [d for d, found in rows.items() if verdict(found) == word] for word in (GAIN, LOSS)
    }
    small = min(
        (d for d, found in comparison.narrow.items() if _is_smaller(d, found)), default=None
    )
    if small is not None:
        found = comparison.narrow[small]
        first = (
            f"{small} dimensions of {comparison.model} ({label(comparison.objective)} "
            f"{found.after:.3f}) beat {found.dimension} of {comparison.baseline} "
            f"({found.before:.3f}): {found.dimension / small:.3g} times less to store and search."
        )
    elif surely[GAIN]:
        first = _sentence(comparison, "is better than", surely[GAIN])
    elif surely[LOSS]:
        return _sentence(comparison, "is worse than", surely[LOSS])
    else:
        return _nothing_sure(comparison, rows[max(rows)])
    return (
        f"{first} {_sentence(comparison, 'is worse than', surely[LOSS])}" if surely[LOSS] else first
    )


def _is_smaller(dimension: int, found: Difference) -> bool:
    return NO_VECTORS < dimension < found.dimension and verdict(found) == GAIN


def _sentence(comparison: Comparison, verb: str, dimensions: Sequence[int]) -> str:
    rows = comparison.differences[comparison.objective]
    found = rows[dimensions[0]]
    widths = (
        "every dimension"
        if len(dimensions) == len(rows) > 1
        else f"{listed(dimensions)} dimensions"
    )
    at = "" if dimensions[0] == NO_VECTORS else f" at {widths}"
    which = f" at {dimensions[0]}" if len(dimensions) > 1 else ""
    return (
        f"{comparison.model} {verb} {comparison.baseline}{at}: {label(comparison.objective)} "
        f"{found.after:.3f} against {found.before:.3f}{which}."
    )


def _nothing_sure(comparison: Comparison, found: Difference) -> str:
    is_few = comparison.groups < FEWEST_GROUPS
    few = (
        f" Nothing is sure with fewer than {FEWEST_GROUPS} groups (here {comparison.groups})."
        if is_few
        else ""
    )
    gap = "" if few else f", difference {found.mean:+.3f} {screen.interval(found)}"
    width = (
        ""
        if max(comparison.differences[comparison.objective]) == NO_VECTORS
        else " at the widest dimension"
    )
    return (
        f"No sure difference between {comparison.model} and {comparison.baseline}: "
        f"{label(comparison.objective)} {found.after:.3f} against "
        f"{found.before:.3f}{width}{gap}.{few}"
    )


def _alone(page: Page) -> str:
    rows = {
        d: row[page.objective] for d, row in page.model.metrics.items() if page.objective in row
    }
    if not rows:
        return f"{page.model.name}: nothing could be measured."
    wide, small = max(rows), min(rows)
    at = f" at {wide} dimensions" if wide != NO_VECTORS else ""
    kept = f" ({rows[small] / rows[wide]:.0%} of it)" if rows[wide] > 0 else ""
    rest = f", {rows[small]:.3f} at {small}{kept}" if small < wide else ""
    return f"{page.model.name}: {label(page.objective)} {rows[wide]:.3f}{at}{rest}."


def _losses(start: str, named: Mapping[str, Mapping[int, Difference]]) -> list[str]:
    """One sentence with each name whose difference is surely a loss, at the widest dimension where
    it is.
    """
    losses = []
    for name, rows in named.items():
        worse = max((d for d, found in rows.items() if verdict(found) == LOSS), default=None)
        if worse is not None:
            at = f" at {worse} dimensions" if worse != NO_VECTORS else ""
            losses.append(f"{name} ({rows[worse].after:.3f} against {rows[worse].before:.3f}{at})")
    if len(losses) > _NAMED:
        losses = [*losses[:_NAMED], f"{len(losses) - _NAMED} more"]
    return [f"{start} {listed(losses)}."] if losses else []


def _lost_elsewhere(kept: Retention) -> list[str]:
    told = (
        explain_losses(entry.lost, kept.model, entry.baseline, kept.tolerance)
        for entry in kept.against
    )
    return [sentence for sentence in told if sentence]


def _must_rank_failures(page: Page) -> list[str]:
    failing: dict[str, list[int]] = {}
    for dimension, outcomes in sorted(
        page.must_rank.get(page.model.name, {}).items(), reverse=True
    ):
        for outcome in outcomes:
            if not outcome.holds:
                failing.setdefault(outcome.name, []).append(dimension)
    return [
        f"Must-rank case “{name}” fails"
        + (f" at {listed(at)} dimensions." if at != [NO_VECTORS] else ".")
        for name, at in failing.items()
    ]


def _slice_counts(page: Page) -> dict[tuple[str, str], tuple[int, int]]:
    """{(kind, name): (units, groups)} of the family that the objective belongs to."""
    family = family_of(page.model, page.objective)
    if family is None:
        return {}
    groups = np.array(family.units.groups)
    return {
        key: (int(mask.sum()), len(set(groups[mask])))
        for key, mask in family.units.slices().items()
    }
