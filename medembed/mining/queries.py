"""Encode the queries that are mined, and search the documents nearest to each."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from medembed.encoding.delta import NO_DELTA
from medembed.encoding.texts import encode_queries
from medembed.mining.examples import open_examples
from medembed.mining.inputs import MiningInputs
from medembed.mining.nearest import Scope, find_nearest
from medembed.mining.previous_search import PreviousSearch, QuerySearch, open_previous
from medembed.schema import content_hash
from medembed.search.float64_scores import Vectors

_AT_ONCE = 65_536  # in the driver's memory together


def search_queries(
    queries: Mapping[str, str],
    known: Mapping[str, Collection[str]],
    inputs: MiningInputs,
    scratch: Path,
) -> QuerySearch:
    """Search the queries {id: text}: `window` documents for each, its `known` positives aside."""
    config = inputs.config
    previous = None
    if config.previous is not None:
        examples = open_examples(config.previous)
        previous = open_previous(examples, inputs.table, inputs.dimensions, scratch)
    vectors = _find_vectors(queries, inputs, previous, scratch)
    scope = Scope(inputs.table, inputs.dimensions, inputs.encoding, inputs.records, scratch)
    needs = [config.window + len(known[query_id]) for query_id in queries]
    lists = previous.find_lists(queries) if previous else {}
    delta = previous.delta if previous else NO_DELTA
    return QuerySearch(vectors, find_nearest(vectors, needs, config.window, scope, lists, delta))


def _find_vectors(
    queries: Mapping[str, str],
    inputs: MiningInputs,
    previous: PreviousSearch | None,
    scratch: Path,
) -> Vectors:
    """Return float32 [Q, width], mapped from a file in `scratch`: they may fill the memory.

    A vector is the previous search's, or recorded by a run that died, or encoded. The width is the
    table's: of a longer vector its first numbers, which `truncate` makes a unit row.
    """
    texts = list(queries.values())
    width = inputs.table.info.width
    vectors = np.lib.format.open_memmap(
        scratch / "queries.npy", mode="w+", dtype=np.float32, shape=(len(texts), width)
    )
    remembered = previous.find_vectors(queries) if previous else {}
    for line, vector in remembered.items():
        vectors[line] = vector
    missing = sorted(set(range(len(texts))) - remembered.keys())
    for start in range(0, len(missing), _AT_ONCE):
        lines = missing[start : start + _AT_ONCE]
        encoded = _encode([texts[line] for line in lines], inputs)
        vectors[lines] = encoded[:, :width]
    return vectors


def _encode(texts: Sequence[str], inputs: MiningInputs) -> Vectors:
    name = f"queries-{content_hash(repr(texts))}"
    recorded = inputs.records.once(
        name,
        lambda: {"vectors": encode_queries(texts, inputs.model, inputs.encoding, steadily=True)},
    )
    return recorded["vectors"]
