"""Which old training queries are trained again beside the new ones, so that the model does not
forget. Pure.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medembed.schema import content_hash

Vectors = npt.NDArray[np.float32]
_ROWS = 4096  # old queries compared at once: bounds memory


def choose_uniform(old: Sequence[str], count: int, seed: int) -> list[str]:
    """Return any `count` of the queries: those whose hash comes first, the same for a seed."""
    return sorted(sorted(old), key=lambda name: content_hash(f"{seed}\n{name}"))[:count]


def choose_hardest(margins: Mapping[str, float], count: int) -> list[str]:
    """Return the `count` queries with the smallest margin, which the model knows least well.

    Ties go to smaller ids.
    """
    return sorted(margins, key=lambda name: (margins[name], name))[:count]


def choose_at_risk(old: Sequence[str], vectors: Vectors, new: Vectors, count: int) -> list[str]:
    """Return the `count` old queries nearest to any new one: training pulls most on what is near.

    Ties go to smaller ids. vectors [old, D] and new [n, D] have unit rows. A cheap stand-in for the
    loss after a trial step, by which Aljundi et al. (2019, arXiv:1908.04742) find the samples that
    an update interferes with most.
    """
    if not len(new):
        return sorted(old)[:count]
    nearest = np.zeros(len(old), np.float32)
    for start in range(0, len(old), _ROWS):
        block = slice(start, start + _ROWS)
        nearest[block] = (vectors[block] @ new.T).max(axis=1)
    order = np.lexsort((np.array(old, dtype=np.str_), -nearest))
    return [old[place] for place in order[:count].tolist()]
