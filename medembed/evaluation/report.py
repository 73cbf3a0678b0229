"""Before against after, as one self-contained HTML page and a plot. Holds ids and numbers, no row text."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment

from medembed.evaluation.compare import Difference, compare
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import Evaluation

METRICS = ("ndcg@10", "recall@10")
BYTES_PER_VALUE = 4


@dataclass(frozen=True)
class Comparison:
    """{metric: {dimension: difference}} of two evaluations of the same queries."""

    differences: Mapping[str, Mapping[int, Difference]]
    queries: int
    groups: int


def compare_evaluations(before: Evaluation, after: Evaluation, config: EvaluationConfig) -> Comparison:
    """Differences with 95% intervals, per metric of METRICS and per dimension. Both must hold the same queries."""
    assert before.query_ids == after.query_ids
    differences = {
        metric: {
            dimension: compare(
                before.per_query[dimension][metric],
                after.per_query[dimension][metric],
                after.groups,
                samples=config.bootstrap_samples,
                seed=config.seed,
            )
            for dimension in after.metrics
        }
        for metric in METRICS
    }
    return Comparison(differences, len(after.query_ids), len(set(after.groups)))


def format_table(comparison: Comparison) -> str:
    """The comparison for a terminal, one line per dimension."""
    lines = [
        "dimensions   NDCG@10 before  after   difference [95% interval]     recall@10 before  after   difference [95%]"
    ]
    for dimension in comparison.differences["ndcg@10"]:
        cells = [_terminal_cell(comparison.differences[metric][dimension]) for metric in METRICS]
        lines.append(f"{dimension:>10}   " + "   ".join(cells))
    lines.append(f"({comparison.queries} queries of {comparison.groups} groups; intervals resample groups)")
    return "\n".join(lines)


def draw_curve(comparison: Comparison) -> bytes:
    """PNG of NDCG@10 over dimensions, before and after, with the interval of the difference as a band."""
    from matplotlib.figure import Figure

    rows = comparison.differences["ndcg@10"]
    dimensions = sorted(rows)
    before = [rows[d].before for d in dimensions]
    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    low, high = [rows[d].before + rows[d].low for d in dimensions], [rows[d].before + rows[d].high for d in dimensions]
    axes.fill_between(dimensions, low, high, color="#0f766e", alpha=0.15, linewidth=0, label="95% interval of the gain")
    axes.plot(dimensions, [rows[d].after for d in dimensions], "o-", color="#0f766e", label="after fine-tuning")
    axes.plot(dimensions, before, "o--", color="#94a3b8", label="before")
    axes.set_xscale("log", base=2)
    axes.set_xticks(dimensions, [f"{d}\n{d * BYTES_PER_VALUE} B" for d in dimensions])
    axes.minorticks_off()
    axes.set(xlabel="dimensions, and bytes per float32 vector", ylabel="NDCG@10")
    axes.grid(axis="y", color="#e2e8f0")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def render_report(title: str, comparison: Comparison, curve: bytes, facts: Sequence[tuple[str, str]]) -> str:
    """The page; `facts` are (name, value) lines such as fingerprints and counts."""
    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        title=title,
        headline=headline(comparison),
        rows=[
            (dimension, dimension * BYTES_PER_VALUE, *(comparison.differences[metric][dimension] for metric in METRICS))
            for dimension in comparison.differences["ndcg@10"]
        ],
        comparison=comparison,
        curve=base64.b64encode(curve).decode(),
        facts=facts,
    )


def headline(comparison: Comparison) -> str:
    """The result in one sentence: how the smaller dimensions after compare with the full width before."""
    rows = comparison.differences["ndcg@10"]
    full = max(rows)
    better = [dimension for dimension in rows if dimension < full and rows[dimension].after > rows[full].before]
    if better:
        small = min(better)
        return (
            f"{small} dimensions after ({rows[small].after:.3f}) beat {full} before ({rows[full].before:.3f}): "
            f"{full / small:.0f} times less to store and search."
        )
    return f"NDCG@10 at {full} dimensions: {rows[full].before:.3f} before, {rows[full].after:.3f} after."


def _terminal_cell(row: Difference) -> str:
    return f"{row.before:>14.3f} {row.after:>6.3f}   {row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; color: #0f172a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
 h1 { font-size: 1.5rem; margin-bottom: .25rem } .headline { font-size: 1.15rem; color: #0f766e }
 img { width: 100%; height: auto } .scroll { overflow-x: auto }
 table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
 th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #e2e8f0; white-space: nowrap }
 th { color: #475569; font-weight: 600 } .gain { color: #0f766e } .loss { color: #b91c1c }
 dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; overflow-wrap: anywhere }
 dt { color: #475569 } dd { margin: 0 } .note { color: #475569; font-size: .9rem }
</style></head><body>
<h1>{{ title }}</h1>
<p class="headline">{{ headline }}</p>
<img alt="NDCG@10 over dimensions, before and after" src="data:image/png;base64,{{ curve }}">
<div class="scroll"><table>
<tr><th>dimensions</th><th>bytes</th><th>NDCG@10 before</th><th>after</th><th>difference [95%]</th>
<th>recall@10 before</th><th>after</th><th>difference [95%]</th></tr>
{% for dimension, bytes, ndcg, recall in rows %}<tr><td>{{ dimension }}</td><td>{{ bytes }}</td>
{% for row in (ndcg, recall) %}<td>{{ "%.3f"|format(row.before) }}</td><td>{{ "%.3f"|format(row.after) }}</td>
<td class="{{ 'gain' if row.low > 0 else 'loss' if row.high < 0 }}">{{ "%+.3f"|format(row.mean) }}
[{{ "%+.3f"|format(row.low) }}, {{ "%+.3f"|format(row.high) }}]</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="note">{{ comparison.queries }} queries of {{ comparison.groups }} groups, ranked against the whole corpus.
Intervals: paired bootstrap that resamples groups.</p>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</body></html>
"""
