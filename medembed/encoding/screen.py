"""Lines for people about embedding tables: what an encoding did, which versions there are."""

import shlex
from collections.abc import Sequence

from medembed.encoding.changes import describe_counts
from medembed.encoding.encode import Encoded
from medembed.encoding.index import find_index
from medembed.encoding.maintain import TableVersion


def describe_encoded(encoded: Encoded, seconds: float, workers: int) -> list[str]:
    """Return lines on the table, what changed, and how the time was spent."""
    table = encoded.table
    counts = describe_counts(encoded.counts)
    if encoded.resumed:
        counts += f"; {encoded.resumed:,} of them by an earlier run"
    size = f"{table.rows:,} rows x {table.info.width}"
    lines = [f"embedding table: {table.uri} version {table.version}, {size}", counts]
    if encoded.tokens:
        share = encoded.padding / (encoded.tokens + encoded.padding)
        busy = min(encoded.seconds / (workers * seconds), 1.0)
        lines.append(
            f"{encoded.tokens:,} tokens, {encoded.tokens / seconds:,.0f} tokens/s with start; "
            f"padding {share:.1%}; workers busy {busy:.0%} of the time"
        )
    if encoded.beyond:
        lines.append(
            f"{encoded.beyond:,} vectors have values beyond the int8 ranges, which a sample gave, "
            "and keep their ends; `medembed table verify` with the model says how near they are"
        )
    index = find_index(table)
    if index and index.rows < table.rows:
        lines.append(
            f"vector index: {table.rows - index.rows:,} rows not in it, compared exactly; renew it "
            f"by: medembed table index {shlex.quote(f'table={table.uri}')} kind={index.kind}"
        )
    return lines


def describe_versions(versions: Sequence[TableVersion]) -> list[str]:
    """Return the log of a table: a line for each version, and its encoder."""
    lines = [
        f"{'version':<10}{'rows':<13}{'fragments':<12}{'data set':<19}{'made':<19}{'index':<25}tags"
    ]
    for version in versions:
        index = "none"
        if version.index is not None:
            missing = version.rows - version.index.rows
            index = version.index.kind + (f", {missing:,} rows not in it" if missing else "")
        tags = [*version.tags, "unseen"] if version.is_unseen else version.tags
        lines.append(
            f"{version.version:>7}   {version.rows:<11,}  {version.fragments:<9,}   "
            f"{version.dataset:<17}  {version.made:%Y-%m-%d %H:%M}   {index:<23}  "
            f"{', '.join(tags)}".rstrip()
        )
    return [*lines, f"encoder {versions[-1].encoder}"]
