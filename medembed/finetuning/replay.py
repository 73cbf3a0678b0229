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
    """Any `count` of the queries by chance: those whose hash comes first, the same ones for a
    seed.
    """
    return sorted(sorted(old), key=lambda name: content_hash(f"{seed}\n{name}"))[:count]


def choose_hardest(margins: Mapping[str, float], count: int) -> list[str]:
    """The `count` queries with the smallest margin, ties to smaller ids: what the model knows least
    well.
    """
    return sorted(margins, key=lambda name: (margins[name], name))[:count]


def choose_at_risk(old: Sequence[str], vectors: Vectors, new: Vectors, count: int) -> list[str]:
    """The `count` old queries nearest to any new one, ties to smaller ids: training pulls most on
    what is near.

    vectors [old, D] and new [n, D] have unit rows. A cheap stand-in for the loss after a trial
    step, by which Aljundi et al. (2019, arXiv:1908.04742) find the samples that an update
    interferes with most.
    """
    if not len(new):
        return sorted(old)[:count]
    nearest = np.concatenate(
        [
            (vectors[start : start + _ROWS] @ new.T).max(axis=1)
            for start in range(0, len(vectors), _ROWS)
        ]
        or [np.zeros(0, np.float32)]
    )
    order = np.lexsort((np.array(old, dtype=np.str_), -nearest))
    return [old[place] for place in order[:count].tolist()]
