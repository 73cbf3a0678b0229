"""Which queries train, which choose checkpoints, which measure. Pure: arrays in, arrays out.

Texts are nodes. A query, its positive documents and the key that the user names belong together,
and so do texts with the same words and signs; such a group is never cut. Its split is a hash of the
group: of its user keys if it has any, else of its documents' words, so that further queries about
them change nothing.

Data that grows can join groups that had different splits. What is known from before (the data set
that `splits.previous` names, or splits that the source comes with) never moves; a new row that
joins groups of different splits belongs to none.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medembed.data.config import SplitConfig
from medembed.data.duplicates import Ints, bounds, ranks
from medembed.schema import SPLITS

UNKNOWN, HELD = -1, -2  # codes beside the positions in SPLITS
KEY, DOCUMENT, QUERY = "0", "1", "2"  # kinds of node, by which a group's hash prefers its members


@dataclass(frozen=True)
class Graph:
    """Texts and user keys as nodes [N], with the edges between them.

    `names` [N] are kind + hash; `edges` [E, 2] positions of nodes; `known` [N] the split that a
    node had before, UNKNOWN for a new one.
    """

    names: pa.Array
    edges: Ints
    known: Ints


def split_of(name: str, config: SplitConfig) -> int:
    """Return the position in SPLITS that a group with this hash has."""
    digest = hashlib.sha256(f"{config.salt}\n{name}".encode()).digest()
    position = int.from_bytes(digest[:7], "big") / 2**56
    if position < config.test:
        return SPLITS.index("test")
    return SPLITS.index("dev" if position < config.test + config.dev else "train")


def assign_splits(graph: Graph, config: SplitConfig) -> Ints:
    """Return [N] the position in SPLITS of every node, HELD where it joins different splits."""
    assigned = graph.known.copy()
    is_new = assigned == UNKNOWN
    inner = is_new[graph.edges].all(axis=1)
    groups = components(len(assigned), graph.edges[inner])
    # The splits that a group of new nodes touches: lowest and highest differ if there are several.
    new, old = np.concatenate([graph.edges, graph.edges[:, ::-1]]).T
    touching = is_new[new] & ~is_new[old]
    low, high = bounds(groups[new[touching]], assigned[old[touching]], len(assigned))
    low[low < high] = HELD
    fresh = np.unique(groups[is_new])
    fresh = fresh[high[fresh] < 0]
    first = _first_names(graph.names, groups, fresh)
    low[fresh] = [split_of(name, config) for name in first.to_pylist()]
    assigned[is_new] = low[groups[is_new]]
    return assigned


def components(count: int, edges: Ints) -> Ints:
    """Return [count] number of each node's connected component."""
    links = coo_array(
        (np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count)
    )
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _first_names(names: pa.Array, groups: Ints, wanted: Ints) -> pa.Array:
    """Return the smallest name of each wanted group: user keys before documents, then queries."""
    smallest = bounds(groups, ranks(names), len(names)).low
    return names.take(pc.sort_indices(names).take(pa.array(smallest[wanted])))
