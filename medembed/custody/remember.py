"""Queries that were lost with erased documents, which a data set remembers by hashes after it has lost them itself.

So that what was made of it, and is found only later, loses them too. The hash of an id is one way, but whoever guesses
the id can confirm it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medembed import storage
from medembed.custody.pages import texts_of
from medembed.custody.rewrite import read_json, read_table
from medembed.custody.spots import FILE, PART, REPORT, Spot
from medembed.data.dataset import KIND as DATASET
from medembed.evaluation.files import KIND as EVALUATION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.privacy import show_id
from medembed.schema import content_hash

LOST = "erased_queries"  # entry of a data set's manifest: hashes of the queries that it has lost


def add_lost(manifest: Mapping[str, Any], queries: Iterable[str]) -> dict[str, list[str]]:
    """The entry with these queries added."""
    new = {_hash(manifest["fingerprint"], name) for name in queries}
    return {LOST: sorted(new.union(manifest.get(LOST, ())))}


def recall(spots: Iterable[Spot], pages: Iterable[bytes]) -> dict[str, frozenset[str]]:
    """{fingerprint of a data set: queries that it has lost, and that something names still}."""
    spots = list(spots)
    known: dict[str, set[str]] = {}
    for spot in spots:
        if spot.kind == DATASET and spot.manifest.get(LOST):
            known.setdefault(str(spot.manifest["fingerprint"]), set()).update(spot.manifest[LOST])
    if not known:
        return {}
    names = {name for spot in spots for name in _names_in(spot)}.union(*map(texts_of, pages))
    return {
        dataset: frozenset(name for name in names if _hash(dataset, name) in hashes)
        for dataset, hashes in known.items()
    }


def _hash(dataset: str, query_id: str) -> str:
    return content_hash(f"{dataset}\n{show_id(query_id)}")[:16]  # a page may name it so


def _names_in(spot: Spot) -> Iterator[str]:
    """Ids of queries that a place names, among others."""
    uris = (
        [storage.join(spot.uri, name) for name in spot.manifest["files"]] if spot.kind in (EXAMPLES, EVALUATION) else []
    )
    for uri in [spot.uri] if spot.kind in (FILE, REPORT) else uris:
        if uri.endswith(".html"):
            yield from texts_of(storage.read_bytes(uri))
        elif uri.endswith(".json"):
            yield from _strings(read_json(uri))
        elif uri.endswith((".parquet", ".arrow")) and not PART.search(uri):
            table = read_table(uri)
            for column in {"query_id", "id"}.intersection(table.column_names):
                yield from (str(one).partition("\t")[0] for one in table[column].to_pylist())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)
