"""Between the passes: which staged texts stay, in which split, and how they are judged. Pure.

Works on keys alone, a few hundred bytes a row: texts stay where they were staged.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.config import SplitConfig
from medembed.data.dataset import format_rules
from medembed.data.duplicates import (
    Flags,
    Ints,
    Place,
    Texts,
    bounds,
    distinct_texts,
    mark,
    positions,
)
from medembed.data.grouping import Placement, place_texts
from medembed.data.judgments import Judged, Staged, join_judgments
from medembed.data.kinds import check_held_back, find_kinds, has_tag
from medembed.data.memory import Memory
from medembed.errors import DataError
from medembed.language import to_translate
from medembed.schema import ALL_SPLITS, HELD_OUT, QRELS, WEAK


@dataclass(frozen=True)
class Resolved:
    """What the second pass writes.

    `documents` and `queries` have a line per staged row: keep (bool), split, and for queries
    group_id and tags. `absent` are the staged judgments of a document that is not there.
    """

    documents: pa.Table
    queries: pa.Table
    qrels: pa.Table
    held_out: pa.Table
    groups: pa.Table
    splits: dict[str, int]
    dropped: Counter[str]
    absent: Ints


def resolve(
    staged: Staged,
    config: SplitConfig,
    memory: Memory,
    places: tuple[Place, Place] | None,
    left_out: Counter[str] | None = None,
    *,
    is_listing: bool,
) -> Resolved:
    """Merge duplicates, join judgments, assign splits. `is_listing`: each row is one document.

    `places` name staged document and query rows for errors; None counts faults instead. `left_out`
    counts what was left out before. Raises DataError for an id with two texts, a leak in the
    source's own splits, or a source without a usable row.
    """
    dropped = Counter(left_out)
    documents, queries = _merge(staged, memory, places or (None, None), dropped)
    if is_listing:
        dropped[to_translate("document repeated")] += staged.documents.num_rows - len(documents.met)
    several = _several_labels(staged.documents, documents)
    dropped[to_translate("text with several classes")] += int(several.sum())
    judged = join_judgments(staged.judgments, queries, documents, dropped)

    kinds = find_kinds(staged.queries, queries, config.hold_back)
    placed = place_texts(staged, queries, documents, judged, config, memory, kinds)
    dropped.update(placed.held)

    asked = mark(judged.query[judged.links], len(queries.ids))
    dropped[to_translate("query without a positive")] += int((~asked).sum())
    keep_queries = asked & ~placed.query_held
    positive = (judged.score > 0) & ~placed.judgment_held
    has_positive = mark(judged.query[positive], len(queries.ids))
    check_held_back(
        kinds, placed.query_split, keep_queries, keep_queries & has_positive, config.hold_back
    )

    keep_documents = ~several
    if not keep_documents.any():
        raise DataError("no usable row found; left out: {rules}.", rules=format_rules(+dropped))
    return Resolved(
        _document_lines(documents, keep_documents, placed),
        _query_lines(staged.queries, queries, keep_queries, placed),
        _qrels(judged, queries, documents, keep_queries, keep_documents, placed),
        _held_out(judged, queries, documents, placed),
        placed.groups,
        _count_splits(placed.query_split[keep_queries]),
        +dropped,
        judged.absent,
    )


def _merge(
    staged: Staged,
    memory: Memory,
    places: tuple[Place | None, Place | None],
    dropped: Counter[str],
) -> tuple[Texts, Texts]:
    """Return (the distinct documents, the distinct queries); queries of people come first."""
    weak = has_tag(staged.queries["tags"], WEAK)
    none = np.zeros(staged.documents.num_rows, dtype=bool)
    documents, merged = distinct_texts(
        staged.documents, to_translate("document"), memory.document_ids, none, places[0]
    )
    dropped.update(merged)
    queries, merged = distinct_texts(
        staged.queries, to_translate("query"), memory.query_ids, weak, places[1]
    )
    dropped.update(merged)
    return documents, queries


def _several_labels(rows: pa.Table, documents: Texts) -> Flags:
    """Return [D] whether a text comes with different classes: nobody can learn from it."""
    labels = positions(rows["label"], pc.drop_null(pc.unique(rows["label"])))
    of_text = bounds(documents.of_row, labels, len(documents.ids))
    return np.asarray(of_text.high > of_text.low)


def _document_lines(documents: Texts, keep: Flags, placed: Placement) -> pa.Table:
    stays = mark(documents.row[keep], len(documents.of_row))
    return pa.table({"keep": stays, "split": _split_names(placed.document_split[documents.of_row])})


def _query_lines(rows: pa.Table, queries: Texts, keep: Flags, placed: Placement) -> pa.Table:
    stays = mark(queries.row[keep], len(queries.of_row))
    return pa.table(
        {
            "keep": stays,
            "split": _split_names(placed.query_split[queries.of_row]),
            "group_id": placed.group_ids.take(pa.array(queries.of_row)),
            "tags": _tags(rows["tags"], queries),
        }
    )


def _tags(tags: pa.ChunkedArray, queries: Texts) -> pa.Array:
    """Return every row's tags, with those of other rows of the same query."""
    shared = np.flatnonzero(
        np.bincount(queries.of_row, minlength=len(queries.ids))[queries.of_row] > 1
    )
    own = [set(row) for row in tags.take(pa.array(shared)).to_pylist()]
    union: dict[int, set[str]] = {}
    asked: set[int] = set()
    for text, row in zip(queries.of_row[shared].tolist(), own, strict=True):
        union.setdefault(text, set()).update(row)
        if WEAK not in row:
            asked.add(text)
    merged = [
        sorted(union[text] - ({WEAK} if text in asked else set()))
        for text in queries.of_row[shared].tolist()
    ]
    source = np.arange(len(tags))
    source[shared] = len(tags) + np.arange(len(shared))
    both = pa.concat_arrays([*tags.chunks, pa.array(merged, tags.type)])
    return both.take(pa.array(source))


def _qrels(
    judged: Judged,
    queries: Texts,
    documents: Texts,
    keep_queries: Flags,
    keep_documents: Flags,
    placed: Placement,
) -> pa.Table:
    stays = keep_queries[judged.query] & keep_documents[judged.document] & ~placed.judgment_held
    similarity = judged.similarity[stays]
    return pa.table(
        {
            "query_id": queries.ids.take(pa.array(judged.query[stays])),
            "document_id": documents.ids.take(pa.array(judged.document[stays])),
            "score": pa.array(judged.score[stays], pa.float32()),
            "similarity": pa.array(similarity, pa.float32(), mask=np.isnan(similarity)),
        },
        schema=QRELS,
    )


def _held_out(judged: Judged, queries: Texts, documents: Texts, placed: Placement) -> pa.Table:
    rows = np.flatnonzero(placed.judgment_held)
    return pa.table(
        {
            "query_id": queries.ids.take(pa.array(judged.query[rows])),
            "document_id": documents.ids.take(pa.array(judged.document[rows])),
            "score": pa.array(judged.score[rows], pa.float32()),
            "reason": pa.array([placed.reasons[i] for i in rows.tolist()], pa.string()),
        },
        schema=HELD_OUT,
    )


def _split_names(codes: Ints) -> pa.Array:
    names = pa.array(ALL_SPLITS)
    return names.take(pa.array(codes, mask=codes < 0))


def _count_splits(codes: Ints) -> dict[str, int]:
    return {
        name: int((codes == code).sum())
        for code, name in enumerate(ALL_SPLITS)
        if (codes == code).any()
    }
