"""What a model keeps elsewhere, in words and as tables for a terminal. Pure."""

from collections.abc import Iterable, Iterator

from medembed.evaluation.retained import METRIC, Retained, Retention
from medembed.evaluation.screen import counted, format_columns, label, listed, number


def format_retention(retention: Retention | None) -> list[str]:
    """A table against each baseline, or of the model alone, the sentence, and what to know of the
    sets.
    """
    if retention is None:
        return []
    lines: list[str] = []
    for entry in retention.against:
        models = [entry.baseline, retention.model]
        head = ["elsewhere", "queries", "dimensions", *models, "difference", "each side 95%", ""]
        rows = [_row(row) for row in entry.rows]
        lines += [
            "",
            f"{label(METRIC)} on what was not trained on",
            *format_columns([head, *_once(rows)]),
        ]
    if not retention.against:
        lines += [
            "",
            f"{label(METRIC)} on what was not trained on",
            *format_columns(list(_alone(retention))),
        ]
    return [*lines, retention_headline(retention), *(f"note: {note}" for note in retention.notes)]


def retention_headline(retention: Retention) -> str:
    """What is surely lost elsewhere, or that nothing is, in a sentence for each baseline."""
    return (
        " ".join(
            explain_losses(entry.lost, retention.model, entry.baseline, retention.tolerance)
            or f"Elsewhere ({listed(list(retention.means))}) {retention.model} has no sure "
            "loss of more than "
            f"{retention.tolerance:g} against {entry.baseline}, at any dimension."
            for entry in retention.against
        )
        or f"Elsewhere {retention.model} stands alone: name a baseline, to see what it lost."
    )


def lost_to(retention: Retention | None) -> str | None:
    """What the model surely lost against its first baseline, in a sentence, empty if nothing; None
    if not measured.
    """
    if retention is None or not retention.against:
        return None
    entry = retention.against[0]
    return explain_losses(entry.lost, retention.model, entry.baseline, retention.tolerance)


def explain_losses(lost: Iterable[Retained], model: str, baseline: str, tolerance: float) -> str:
    """A sentence that names each set with its dimensions and its largest loss; empty where nothing
    is lost.
    """
    by_set: dict[str, list[Retained]] = {}
    for row in lost:
        by_set.setdefault(row.set, []).append(row)
    if not by_set:
        return ""
    told = []
    for name, rows in by_set.items():
        worst = min(rows, key=lambda row: row.mean)
        dimensions = listed([row.dimension for row in rows])
        told.append(
            f"{name} at {dimensions} dimensions ({worst.before:.3f} -> {worst.after:.3f} at "
            f"{worst.dimension})"
        )
    return (
        f"{model} surely loses more than {tolerance:g} elsewhere against {baseline}: "
        f"{listed(told)}."
    )


def _row(row: Retained) -> list[str]:
    return [
        row.set,
        f"{row.queries:,}",
        str(row.dimension),
        number(row.before),
        number(row.after),
        number(row.mean, "+.3f"),
        f"[{row.low:+.3f}, {row.high:+.3f}]",
        "LOST" if row.is_lost else "",
    ]


def _once(rows: list[list[str]]) -> Iterator[list[str]]:
    """The name and the size of a set in its first row alone."""
    before = ""
    for row in rows:
        yield row if row[0] != before else ["", "", *row[2:]]
        before = row[0]


def _alone(retention: Retention) -> Iterator[list[str]]:
    for number_of, (name, models) in enumerate(retention.means.items()):
        means = models[retention.model]
        if not number_of:
            yield ["elsewhere", "size", *map(str, means)]
        queries, documents = retention.sizes[name]
        size = f"{counted(queries, 'queries')}, {counted(documents, 'documents')}"
        yield [name, size, *(number(value) for value in means.values())]
