"""Texts, judgments and user keys -> the split of every text, and what no split may use. Pure."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.config import SplitConfig
from medembed.data.duplicates import (
    ABSENT,
    Bounds,
    Flags,
    Ints,
    Texts,
    bounds,
    encode,
    mark,
    positions,
    ranks,
)
from medembed.data.judgments import Judged, Staged
from medembed.data.kinds import Kinds
from medembed.data.memory import Memory
from medembed.data.splits import DOCUMENT, KEY, QUERY, UNKNOWN, Graph, assign_splits, components
from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.privacy import show_id
from medembed.schema import ALL_SPLITS, GROUPS, HELD_BACK, SPLITS, content_hash

JOINS = "joins groups of different splits"
LEAK = "shares a text with another of the source's own splits"
WEAK_TEST = "weak query in the test split"
HELD = "of a kind that is held back from training"
# what manifests count: queries that are held out, by their reason
_HELD_OUT = {
    JOINS: to_translate("held out: query, joins groups of different splits"),
    LEAK: to_translate("held out: query, shares a text with another of the source's own splits"),
    WEAK_TEST: to_translate("held out: query, weak query in the test split"),
    HELD: to_translate("held out: query, of a kind that is held back from training"),
}
_JUDGMENT_HELD_OUT = to_translate("held out: judgment, joins groups of different splits")
_SHOWN = 5


@dataclass(frozen=True)
class Placement:
    """Splits (positions in ALL_SPLITS, below 0 for none) of texts, and what is held out of all.

    `group_ids` name each query's group by its smallest document id; `groups` is the memory for the
    next data set.
    """

    query_split: Ints
    document_split: Ints
    query_held: Flags
    judgment_held: Flags
    reasons: dict[int, str]
    group_ids: pa.Array
    groups: pa.Table
    held: Counter[str]


@dataclass(frozen=True)
class _Nodes:
    """The graph's nodes by the query text, document text and keyed row that they stand for."""

    names: pa.Array
    memory_names: pa.Array
    query: Ints
    document: Ints
    keyed: Ints  # edges [K, 2]: text node, key node
    query_keys: Ints  # edges [K', 2]: query, key node


def place_texts(
    staged: Staged,
    queries: Texts,
    documents: Texts,
    judged: Judged,
    config: SplitConfig,
    memory: Memory,
    kinds: Kinds,
) -> Placement:
    """Assign splits to groups, and hold out what would straddle them.

    Queries that are held back stay where they would be in test, and are held out elsewhere.

    Raises DataError if the source's own splits leak into each other or contradict `memory`.
    """
    nodes = _name_nodes(staged, queries, documents)
    links = judged.links
    pairs = np.stack(
        [nodes.query[judged.query[links]], nodes.document[judged.document[links]]], axis=1
    )
    edges = np.concatenate([pairs, nodes.keyed])
    own = _own_splits(staged, queries, config)
    labelled = (
        _codes(staged.documents["split"]) if config.own else np.full(len(documents.of_row), UNKNOWN)
    )

    touched = _touched(own, labelled, judged, documents, nodes)
    leaked = _check_leaks(touched, own, judged, queries, nodes, config)
    known = _remembered(memory, nodes)
    has_own = touched.high >= 0
    moved = (known >= 0) & has_own & (known != touched.high)
    if moved.any():
        raise DataError(
            "splits: {count:,} texts stand in another split than in splits.previous; keep them "
            "there, or set splits.own=false.",
            count=int(moved.sum()),
        )
    known = np.where(has_own, touched.high, known)
    assigned = assign_splits(Graph(nodes.names, edges, known), config)
    return _hold_out(assigned, nodes, queries, documents, judged, edges, leaked, kinds)


def _name_nodes(staged: Staged, queries: Texts, documents: Texts) -> _Nodes:
    """Return one node for each text, by its words and signs, and for each user key."""
    words = [
        staged.documents["words"].take(pa.array(documents.row)),
        staged.queries["words"].take(pa.array(queries.row)),
    ]
    chunks = [*words[0].chunks, *words[1].chunks]
    node, distinct = encode(pa.chunked_array(chunks, pa.string()))
    document = node[: len(documents.row)]
    query = node[len(documents.row) :]
    keys: dict[str, int] = {}
    keyed: list[tuple[int, int]] = []
    query_keys: list[tuple[int, int]] = []
    for rows, texts, node_of in (
        (staged.documents, documents, document),
        (staged.queries, queries, query),
    ):
        has_key = np.flatnonzero(pc.is_valid(rows["group"]).to_numpy())
        for position, key in zip(
            has_key.tolist(), rows["group"].take(pa.array(has_key)).to_pylist(), strict=True
        ):
            number = len(distinct) + keys.setdefault(content_hash(key), len(keys))
            text = int(texts.of_row[position])
            keyed.append((int(node_of[text]), number))
            if texts is queries:
                query_keys.append((text, number))
    is_document = mark(document, len(distinct))
    kinds = pa.array(np.where(is_document, DOCUMENT, QUERY))
    named = pa.array(list(keys), pa.string())
    names = pa.concat_arrays([_prefixed(kinds, distinct), _prefixed(KEY, named)])
    # A text that is a document today may be a query tomorrow: the memory knows it by its words
    # alone.
    memory_names = pa.concat_arrays([_prefixed("text:", distinct), _prefixed("key:", named)])
    return _Nodes(names, memory_names, query, document, _pairs(keyed), _pairs(query_keys))


def _prefixed(prefix: str | pa.Array, names: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(prefix, names, "")


def _own_splits(staged: Staged, queries: Texts, config: SplitConfig) -> Ints:
    """Return [Q, 2] lowest and highest split that the source gives each query, UNKNOWN for none."""
    if not config.own:
        return np.full((len(queries.ids), 2), UNKNOWN)
    judged = staged.judgments
    text = np.concatenate([queries.of_row, queries.find(judged["query_id"])])
    code = np.concatenate([_codes(staged.queries["split"]), _codes(judged["split"])])
    own = bounds(text[text >= 0], code[text >= 0], len(queries.ids))
    return np.stack([np.where(own.high < 0, UNKNOWN, own.low), own.high], axis=1)


def _touched(own: Ints, labelled: Ints, judged: Judged, documents: Texts, nodes: _Nodes) -> Bounds:
    """Return [N] lowest and highest of the source's own splits at each node."""
    links = judged.links
    touches = [
        (nodes.query, own),
        (nodes.document[judged.document[links]], own[judged.query[links]]),
        (nodes.query_keys[:, 1], own[nodes.query_keys[:, 0]]),
        (nodes.document[documents.of_row], np.stack([labelled, labelled], axis=1)),
    ]
    node = np.concatenate([np.repeat(node, 2) for node, _ in touches])
    splits = np.concatenate([splits.ravel() for _, splits in touches])
    return bounds(node, splits, len(nodes.names))


def _check_leaks(
    touched: Bounds,
    own: Ints,
    judged: Judged,
    queries: Texts,
    nodes: _Nodes,
    config: SplitConfig,
) -> Flags:
    """Return [Q] queries to hold out because a text of theirs is in a later split too."""
    leaks = touched.low < touched.high
    links = judged.links
    last = np.where(leaks, touched.high, UNKNOWN)
    reach = last[nodes.query]
    np.maximum.at(reach, judged.query[links], last[nodes.document[judged.document[links]]])
    np.maximum.at(reach, nodes.query_keys[:, 0], last[nodes.query_keys[:, 1]])
    touching = (reach >= 0) & (own[:, 1] >= 0)
    if leaks.any() and config.on_leak == "error":
        shown = [
            f"{show_id(queries.ids[i].as_py())!r} "
            f"({'/'.join(SPLITS[code] for code in sorted(set(own[i].tolist())))})"
            for i in np.flatnonzero(touching)[:_SHOWN].tolist()
        ]
        raise DataError(
            "the source's own splits leak: {texts:,} texts stand in several, which {queries:,} "
            "queries share, first {shown}; mend them, hold out the queries of the earlier "
            "splits with splits.on_leak=hold_out, or split anew with splits.own=false.",
            texts=int(leaks.sum()),
            queries=int(touching.sum()),
            shown=", ".join(shown) or tr("texts with classes"),
        )
    return np.asarray(touching & (own[:, 1] < reach))


def _hold_out(
    assigned: Ints,
    nodes: _Nodes,
    queries: Texts,
    documents: Texts,
    judged: Judged,
    edges: Ints,
    leaked: Flags,
    kinds: Kinds,
) -> Placement:
    """Turn the splits of nodes into those of texts, and list what straddles them."""
    query_split = assigned[nodes.query]
    document_split = assigned[nodes.document]
    keyed = nodes.query_keys[:, 0]
    key = nodes.query_keys[:, 1]
    foreign_key = mark(keyed[assigned[key] != query_split[keyed]], len(queries.ids))

    joins = (query_split < 0) | foreign_key
    measures = query_split == SPLITS.index("test")
    in_test = kinds.weak & measures & ~joins & ~leaked
    unused = kinds.is_back & ~measures & ~joins & ~leaked
    query_held = joins | leaked | in_test | unused
    straddles = judged.links & (document_split[judged.document] != query_split[judged.query])
    judgment_held = (query_held[judged.query] & judged.links) | straddles

    # A query whose every positive went is held out with them.
    left = mark(judged.query[judged.links & ~judgment_held], len(queries.ids))
    had = mark(judged.query[judged.links], len(queries.ids))
    query_held |= had & ~left

    query_reason = np.select([leaked, in_test, unused], [LEAK, WEAK_TEST, HELD], JOINS)
    reasons = {
        row: str(query_reason[judged.query[row]]) if query_held[judged.query[row]] else JOINS
        for row in np.flatnonzero(judgment_held).tolist()
    }
    held = Counter(_HELD_OUT[reason] for reason in query_reason[query_held & had].tolist())
    held[_JUDGMENT_HELD_OUT] += int((judgment_held & ~query_held[judged.query]).sum())

    query_split[kinds.is_back & measures] = ALL_SPLITS.index(HELD_BACK)
    inside = edges[(assigned[edges[:, 0]] == assigned[edges[:, 1]])]
    return Placement(
        query_split,
        document_split,
        query_held,
        judgment_held,
        reasons,
        _name_groups(components(len(assigned), inside), nodes, documents, queries),
        _memorize(assigned, nodes),
        held,
    )


def _memorize(assigned: Ints, nodes: _Nodes) -> pa.Table:
    """Return the split of every text and key that has one, columns `schema.GROUPS`."""
    is_split = assigned >= 0
    splits = pa.array(SPLITS).take(pa.array(assigned[is_split]))
    return pa.table([nodes.memory_names.filter(pa.array(is_split)), splits], schema=GROUPS)


def _name_groups(groups: Ints, nodes: _Nodes, documents: Texts, queries: Texts) -> pa.Array:
    """Return [Q] the smallest document id in each query's group; null where no document is left."""
    rank = ranks(documents.ids)
    smallest = np.full(len(nodes.names), len(rank), dtype=np.int64)
    np.minimum.at(smallest, groups[nodes.document], rank)
    of_query = smallest[groups[nodes.query]]
    in_order = documents.ids.take(pc.sort_indices(documents.ids))
    return in_order.take(pa.array(of_query, mask=of_query == len(rank)))


def _remembered(memory: Memory, nodes: _Nodes) -> Ints:
    """Return [N] the split that each node had in the earlier data set, UNKNOWN for a new one."""
    row = positions(nodes.memory_names, memory.groups["name"].combine_chunks())
    codes = _codes(memory.groups["split"])
    return np.where(row == ABSENT, UNKNOWN, codes[row] if len(codes) else UNKNOWN)


def _codes(column: pa.ChunkedArray) -> Ints:
    """Return the positions in SPLITS, UNKNOWN for null."""
    return positions(column, pa.array(SPLITS))


def _pairs(rows: list[tuple[int, int]]) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
