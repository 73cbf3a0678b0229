"""Write what a model keeps elsewhere, in words and as tables for a terminal. Pure."""

from collections.abc import Container

from medembed.evaluation.result import model_label
from medembed.evaluation.retention.judge import METRIC, Against, Retained, Retention
from medembed.evaluation.retention.names import set_label
from medembed.evaluation.words import (
    at_dimensions,
    count_units,
    format_columns,
    label,
    listed,
    number,
    thousands,
)
from medembed.language import tr, tr_count


def format_retention(retention: Retention | None) -> list[str]:
    """Write a table against each baseline, or of the model alone, the headline, and the notes."""
    if retention is None:
        return []
    tables = [_compare(entry, model_label(retention.model)) for entry in retention.against]
    lines: list[str] = []
    for table in tables or [_list_means(retention)]:
        heading = tr("{metric} on what was not trained on", metric=label(METRIC))
        lines += ["", heading, *format_columns(table)]
    lines.append(retention_headline(retention))
    return lines + [tr("note: {note}", note=note) for note in retention.notes]


def retention_headline(retention: Retention) -> str:
    """Say in a sentence for each baseline what is surely lost elsewhere, or that nothing is."""
    model = model_label(retention.model)
    if not retention.against:
        return tr(
            "Elsewhere {model} stands alone: name a baseline, to see what it lost.", model=model
        )
    sets = listed([set_label(name) for name in retention.means])
    sentences = []
    for entry in retention.against:
        nothing = tr(
            "Elsewhere ({sets}) {model} has no sure loss of more than {tolerance:g} against "
            "{baseline}, at any dimension.",
            sets=sets,
            model=model,
            tolerance=retention.tolerance,
            baseline=model_label(entry.baseline),
        )
        sentences.append(explain_losses(retention, entry) or nothing)
    return " ".join(sentences)


def lost_to(retention: Retention | None) -> str | None:
    """Say what the model surely lost against its first baseline; None if that was not measured."""
    if retention is None or not retention.against:
        return None
    return explain_losses(retention, retention.against[0])


def explain_losses(
    retention: Retention, against: Against, known: Container[tuple[str, int]] = ()
) -> str:
    """Name each set with its dimensions and its largest loss; empty where nothing is lost.

    Losses that are `known`, each a set and a dimension, are left out.
    """
    by_set: dict[str, list[Retained]] = {}
    for row in against.lost:
        if (row.set, row.dimension) not in known:
            by_set.setdefault(row.set, []).append(row)
    if not by_set:
        return ""
    losses = []
    for name, rows in by_set.items():
        worst = min(rows, key=lambda row: row.mean)
        losses.append(
            tr(
                "{name}{where} ({before:.3f} -> {after:.3f} at {dimension})",
                name=set_label(name),
                where=at_dimensions(*(row.dimension for row in rows)),
                before=worst.before,
                after=worst.after,
                dimension=worst.dimension,
            )
        )
    return tr(
        "{model} surely loses more than {tolerance:g} elsewhere against {baseline}: {losses}.",
        model=model_label(retention.model),
        tolerance=retention.tolerance,
        baseline=model_label(against.baseline),
        losses=listed(losses),
    )


def _compare(entry: Against, model: str) -> list[list[str]]:
    """Return the table against a baseline; name and size of a set stand in its first row alone."""
    table = [
        [
            tr("elsewhere"),
            tr("queries"),
            tr("dimensions"),
            model_label(entry.baseline),
            model,
            tr("difference"),
            tr("each side 95%"),
            "",
        ]
    ]
    previous = ""
    for row in entry.rows:
        is_first = row.set != previous
        previous = row.set
        table.append(
            [
                set_label(row.set) if is_first else "",
                thousands(row.queries) if is_first else "",
                str(row.dimension),
                number(row.before),
                number(row.after),
                number(row.mean, "+.3f"),
                f"[{row.low:+.3f}, {row.high:+.3f}]",
                tr("LOST") if row.is_lost else "",
            ]
        )
    return table


def _list_means(retention: Retention) -> list[list[str]]:
    """Return the table of a model alone."""
    table: list[list[str]] = []
    for name, models in retention.means.items():
        means = models[retention.model]
        if not table:
            table.append([tr("elsewhere"), tr("size"), *map(str, means)])
        queries, documents = retention.sizes[name]
        size = ", ".join(
            [
                count_units(METRIC, queries),
                tr_count("{count:,} document", "{count:,} documents", documents),
            ]
        )
        table.append([set_label(name), size, *map(number, means.values())])
    return table
