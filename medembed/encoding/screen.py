"""Lines for people about embedding tables: what an encoding did, which versions there are."""

import shlex
from collections.abc import Sequence

from medembed.encoding.changes import describe_counts
from medembed.encoding.encode import Encoded
from medembed.encoding.index import find_index
from medembed.encoding.maintain import TableVersion
from medembed.language import tr


def describe_encoded(encoded: Encoded, seconds: float, workers: int) -> list[str]:
    """Return lines on the table, what changed, and how the time was spent."""
    table = encoded.table
    counts = describe_counts(encoded.counts)
    if encoded.resumed:
        counts += tr("; {count:,} of them by an earlier run", count=encoded.resumed)
    line = tr(
        "embedding table: {uri} version {version}, {rows:,} rows x {width}",
        uri=table.uri,
        version=table.version,
        rows=table.rows,
        width=table.info.width,
    )
    lines = [line, counts]
    if encoded.tokens:
        lines.append(
            tr(
                "{tokens:,} tokens, {speed:,.0f} tokens/s with start; padding {padding:.1%}; "
                "workers busy {busy:.0%} of the time",
                tokens=encoded.tokens,
                speed=encoded.tokens / seconds,
                padding=encoded.padding / (encoded.tokens + encoded.padding),
                busy=min(encoded.seconds / (workers * seconds), 1.0),
            )
        )
    if encoded.beyond:
        lines.append(
            tr(
                "{count:,} vectors have values beyond the int8 ranges, which a sample gave, and "
                "keep their ends; `medembed table verify` with the model says how near they are",
                count=encoded.beyond,
            )
        )
    index = find_index(table)
    if index and index.rows < table.rows:
        lines.append(
            tr(
                "vector index: {rows:,} rows not in it, compared exactly; renew it by: medembed "
                "table index {table} kind={kind}",
                rows=table.rows - index.rows,
                table=shlex.quote(f"table={table.uri}"),
                kind=index.kind,
            )
        )
    return lines


def describe_versions(versions: Sequence[TableVersion]) -> list[str]:
    """Return the log of a table: a line for each version, and its encoder."""
    lines = [
        f"{tr('version'):<10}{tr('rows'):<13}{tr('fragments'):<12}{tr('data set'):<19}"
        f"{tr('made'):<19}{tr('index'):<25}{tr('tags')}"
    ]
    for version in versions:
        index = tr("none")
        if version.index is not None:
            missing = version.rows - version.index.rows
            index = version.index.kind
            index += tr(", {rows:,} rows not in it", rows=missing) if missing else ""
        tags = [*version.tags, tr("unseen")] if version.is_unseen else version.tags
        line = tr(
            "{version:>7}   {rows:<11,}  {fragments:<9,}   {dataset:<17}  {made:%Y-%m-%d %H:%M}   "
            "{index:<23}  {tags}",
            version=version.version,
            rows=version.rows,
            fragments=version.fragments,
            dataset=version.dataset,
            made=version.made,
            index=index,
            tags=", ".join(tags),
        )
        lines.append(line.rstrip())
    return [*lines, tr("encoder {encoder}", encoder=versions[-1].encoder)]
