"""Which documents of a batch are known to answer a query, so that they count as no negatives.
Pure.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Known:
    """Entries of a score matrix that are known positives: rows and columns int64 [E], rows
    ascending.
    """

    rows: Tensor
    columns: Tensor
    width: int

    def mask(self, first: int, end: int) -> Tensor | None:
        """bool [end - first, width]; None if no entry lies in these rows."""
        low, high = torch.searchsorted(
            self.rows, torch.tensor([first, end], device=self.rows.device)
        ).tolist()
        if low == high:
            return None
        masked = torch.zeros(end - first, self.width, dtype=torch.bool, device=self.rows.device)
        masked[self.rows[low:high] - first, self.columns[low:high]] = True
        return masked


def find_known(own: Tensor, candidates: Tensor, pairs: Tensor, targets: Tensor) -> Known:
    """The entries (row, column) for which `pairs` has (own[row], candidates[column]), the targets
    excepted.

    own int64 [B] ids of queries and candidates int64 [N] of documents, or the other way round;
    pairs int64 [P, 2] of such ids; targets int64 [B] columns. Costs no B x N table: matches are
    found in sorted ids.
    """
    pairs = pairs[pairs[:, 0].argsort(stable=True)]
    rows, partners = _join(own, pairs[:, 0].contiguous())
    order = candidates.argsort(stable=True)
    found, places = _join(pairs[partners, 1], candidates[order])
    rows, columns = rows[found], order[places]
    other = columns != targets[rows]
    return Known(rows[other], columns[other], len(candidates))


def _join(keys: Tensor, ascending: Tensor) -> tuple[Tensor, Tensor]:
    """(numbers of keys, places in `ascending` that hold the same value), for every such match in
    order of keys.
    """
    low = torch.searchsorted(ascending, keys.contiguous())
    count = torch.searchsorted(ascending, keys.contiguous(), right=True) - low
    numbers = torch.arange(len(keys), device=keys.device).repeat_interleave(count)
    before = count.cumsum(0) - count  # matches of earlier keys
    within = torch.arange(len(numbers), device=keys.device) - before[numbers]
    return numbers, low[numbers] + within
