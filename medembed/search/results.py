"""What people get of a search: a table of all documents found, and lines for the first queries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed.language import tr
from medembed.privacy import show_id
from medembed.search.find import Way
from medembed.search.quality import SearchQuality
from medembed.search.ranking import Ranking

_QUERIES_SHOWN = 5
_CHARACTERS_SHOWN = 100
_COLUMNS = pa.schema(
    [
        ("query_id", pa.string()),
        ("rank", pa.int32()),
        ("document_id", pa.string()),
        ("row_id", pa.string()),
        ("score", pa.float32()),
    ]
)


def to_table(names: Sequence[str], ranking: Ranking) -> pa.Table:
    """Return a row per document found: query_id, rank from 1, document_id, row_id, score.

    `names` are the queries' ids; row_id is the document's best chunk, or itself.
    """
    ids = ranking.ids
    row_ids = ranking.row_ids
    rows: list[dict[str, Any]] = []
    for line, name in enumerate(names):
        for column, document in enumerate(ids[line].tolist()):
            if document:
                rows.append(
                    {
                        "query_id": name,
                        "rank": column + 1,
                        "document_id": document,
                        "row_id": str(row_ids[line, column]),
                        "score": float(ranking.scores[line, column]),
                    }
                )
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def show_results(table: pa.Table, names: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    """Return rank, cosine, id and text of the documents of the first queries, from `to_table`."""
    lines: list[str] = []
    shown = list(names[:_QUERIES_SHOWN])
    is_shown = pc.is_in(table["query_id"], value_set=pa.array(shown, pa.string()))
    results = table.filter(is_shown).to_pylist()
    for name in shown:
        if len(names) > 1:
            lines.append(f"{show_id(name)}:")
        for row in results:
            if row["query_id"] == name:
                text = " ".join(texts.get(row["row_id"], "").split())[:_CHARACTERS_SHOWN]
                line = f"{row['rank']:>4}  {row['score']:.4f}  {show_id(row['row_id'])}  {text}"
                lines.append(line.rstrip())
    return lines


def show_rest(queries: int, file: str | None) -> list[str]:
    """Return where the results of further queries are, if there are further ones."""
    hidden = queries - _QUERIES_SHOWN
    if hidden <= 0:
        return []
    if file is None:
        return [tr("... and {hidden:,} more queries; output=<folder> keeps all", hidden=hidden)]
    return [tr("... and {hidden:,} more queries; all are in {file}", hidden=hidden, file=file)]


def describe_way(way: Way, index_kind: str, rows_without_index: int) -> str:
    """Return a phrase that says how documents are found."""
    if way.by_index:
        if not rows_without_index:
            return tr("index {kind}", kind=index_kind)
        return tr(
            "index {kind}; {rows:,} rows not in it, compared exactly",
            kind=index_kind,
            rows=rows_without_index,
        )
    if way.funnel is not None and way.funnel.first_codes:
        return tr(
            "{candidates:,} candidates by {first_codes} codes of {first_dimensions} dimensions, "
            "ranked by {dimensions}",
            **asdict(way.funnel),
        )
    if way.funnel is not None:
        return tr(
            "{candidates:,} candidates by {first_dimensions} dimensions, ranked by {dimensions}",
            **asdict(way.funnel),
        )
    return tr("exact search at {dimensions} dimensions", dimensions=way.dimensions)


def describe_quality(quality: SearchQuality, k: int, way: Way) -> str:
    """Return a sentence that compares a search with exact search."""
    return tr(
        "the {way} finds {recall:.1%} of exact search's best {k} ({queries:,} queries), in "
        "{seconds:.1f} s against {exact_seconds:.1f} s, workers' start included",
        way=tr("index") if way.by_index else tr("funnel"),
        k=k,
        **asdict(quality),
    )
