"""Say what vectors cost and keep: lines for a terminal, numbers for JSON. Pure."""

from dataclasses import asdict
from typing import Any

from medembed.evaluation.footprint import Footprints, Numbers, Smallest
from medembed.evaluation.recommend import share
from medembed.evaluation.words import format_columns, label, thousands
from medembed.language import to_translate, tr

_NAMES: dict[Numbers, str] = {
    "float32": "float32",
    "int8": "int8",
    "binary": to_translate("bits"),
    "binary+int8": to_translate("bits, then int8"),
}


def numbers_label(numbers: Numbers) -> str:
    """Write a type of numbers as people do."""
    return tr(_NAMES[numbers])


def milliseconds_label(milliseconds: float) -> str:
    """Write a time of a search."""
    return tr("{milliseconds:,.2f} ms", milliseconds=milliseconds)


def describe_smallest(smallest: Smallest, objective: str) -> str:
    """Say which vectors of the fewest bytes keep a share of the quality."""
    footprint = smallest.footprint
    return tr(
        "the fewest bytes that keep {least} of {metric}: {dimension} dimensions as {numbers}: "
        "{kept} of quality, {bytes} bytes, {time}",
        least=share(smallest.share),
        metric=label(objective),
        dimension=footprint.dimension,
        numbers=numbers_label(footprint.numbers),
        kept=share(footprint.kept),
        bytes=thousands(footprint.size_bytes),
        time=milliseconds_label(footprint.milliseconds),
    )


def describe_measured(footprints: Footprints) -> str:
    """Say what was measured, and what a time is."""
    return tr(
        "{queries:,} queries over {rows:,} rows in memory; a time is the median of one query's, on "
        "this machine; bits nominate candidates, which rank by the query in float32.",
        queries=footprints.queries,
        rows=footprints.rows,
    )


def format_footprints(footprints: Footprints | None) -> list[str]:
    """Return lines for a terminal: a table of the options, and those that are recommended."""
    if footprints is None:
        return []
    heads = [
        tr("dimensions"),
        tr("numbers"),
        tr("bytes/vector"),
        label(footprints.objective),
        tr("kept"),
        tr("to the best [95%]"),
        tr("one query"),
    ]
    rows = [heads]
    for option in footprints.options:
        rows.append(
            [
                str(option.dimension),
                numbers_label(option.numbers),
                thousands(option.size_bytes),
                f"{option.quality:.3f}",
                share(option.kept),
                f"[{option.low:+.3f}, {option.high:+.3f}]",
                milliseconds_label(option.milliseconds),
            ]
        )
    lines = ["", *format_columns(rows), describe_measured(footprints)]
    for smallest in footprints.smallest:
        lines.append(describe_smallest(smallest, footprints.objective))
    return lines


def footprints_json(footprints: Footprints) -> dict[str, Any]:
    """Return the footprints as metrics.json and summary.json have them."""
    options = []
    for option in footprints.options:
        options.append(asdict(option) | {"bytes": option.size_bytes})
    smallest = {}
    for least, footprint in footprints.smallest:
        smallest[str(least)] = asdict(footprint) | {"bytes": footprint.size_bytes}
    about = {name: getattr(footprints, name) for name in ("objective", "queries", "rows")}
    return about | {"options": options, "smallest": smallest}
