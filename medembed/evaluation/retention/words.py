"""Write what a model keeps elsewhere, in words and as tables for a terminal. Pure."""

from collections.abc import Container

from medembed.evaluation.retention.judge import METRIC, Against, Retained, Retention
from medembed.evaluation.words import counted, format_columns, label, listed, number


def format_retention(retention: Retention | None) -> list[str]:
    """Write a table against each baseline, or of the model alone, the headline, and the notes."""
    if retention is None:
        return []
    tables = [_compare(entry, retention.model) for entry in retention.against]
    lines: list[str] = []
    for table in tables or [_list_means(retention)]:
        lines += ["", f"{label(METRIC)} on what was not trained on", *format_columns(table)]
    lines.append(retention_headline(retention))
    return lines + [f"note: {note}" for note in retention.notes]


def retention_headline(retention: Retention) -> str:
    """Say in a sentence for each baseline what is surely lost elsewhere, or that nothing is."""
    model = retention.model
    if not retention.against:
        return f"Elsewhere {model} stands alone: name a baseline, to see what it lost."
    sentences = []
    for entry in retention.against:
        nothing = (
            f"Elsewhere ({listed(list(retention.means))}) {model} has no sure loss of more than "
            f"{retention.tolerance:g} against {entry.baseline}, at any dimension."
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
        dimensions = listed([row.dimension for row in rows])
        losses.append(
            f"{name} at {dimensions} dimensions ({worst.before:.3f} -> {worst.after:.3f} at "
            f"{worst.dimension})"
        )
    return (
        f"{retention.model} surely loses more than {retention.tolerance:g} elsewhere against "
        f"{against.baseline}: {listed(losses)}."
    )


def _compare(entry: Against, model: str) -> list[list[str]]:
    """Return the table against a baseline; name and size of a set stand in its first row alone."""
    table = [
        [
            "elsewhere",
            "queries",
            "dimensions",
            entry.baseline,
            model,
            "difference",
            "each side 95%",
            "",
        ]
    ]
    previous = ""
    for row in entry.rows:
        is_first = row.set != previous
        previous = row.set
        table.append(
            [
                row.set if is_first else "",
                f"{row.queries:,}" if is_first else "",
                str(row.dimension),
                number(row.before),
                number(row.after),
                number(row.mean, "+.3f"),
                f"[{row.low:+.3f}, {row.high:+.3f}]",
                "LOST" if row.is_lost else "",
            ]
        )
    return table


def _list_means(retention: Retention) -> list[list[str]]:
    """Return the table of a model alone."""
    table: list[list[str]] = []
    for name, models in retention.means.items():
        means = models[retention.model]
        if not table:
            table.append(["elsewhere", "size", *map(str, means)])
        queries, documents = retention.sizes[name]
        size = f"{counted(queries, 'queries')}, {counted(documents, 'documents')}"
        table.append([name, size, *map(number, means.values())])
    return table
