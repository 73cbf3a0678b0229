"""Find the documents of a batch that are known to answer a query, so that they are no negatives."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PositiveMask:
    """The known positives among the entries of a score matrix.

    rows and columns int64 [E], rows ascending; `width` is the number of columns of the matrix.
    """

    rows: Tensor
    columns: Tensor
    width: int

    def of_rows(self, first: int, end: int) -> Tensor | None:
        """Return bool [end - first, width]; None if these rows have no known positive."""
        ends = torch.tensor([first, end], device=self.rows.device)
        low, high = torch.searchsorted(self.rows, ends).tolist()
        if low == high:
            return None
        masked = torch.zeros(end - first, self.width, dtype=torch.bool, device=self.rows.device)
        masked[self.rows[low:high] - first, self.columns[low:high]] = True
        return masked


def find_positives(own: Tensor, candidates: Tensor, pairs: Tensor, targets: Tensor) -> PositiveMask:
    """Return the entries (row, column) for which `pairs` has (own[row], candidates[column]).

    The targets are left out. own int64 [B] are ids of queries and candidates int64 [N] of
    documents, or the other way round; pairs int64 [P, 2] of such ids; targets int64 [B] columns.
    Costs no B x N table: matches are found in sorted ids.
    """
    pairs = pairs[pairs[:, 0].argsort(stable=True)]
    rows, pair_of_row = _match(own, pairs[:, 0].contiguous())
    order = candidates.argsort(stable=True)
    matches, places = _match(pairs[pair_of_row, 1], candidates[order])
    rows = rows[matches]
    columns = order[places]
    is_other = columns != targets[rows]
    return PositiveMask(rows[is_other], columns[is_other], len(candidates))


def _match(keys: Tensor, ascending: Tensor) -> tuple[Tensor, Tensor]:
    """Return (numbers of keys, places in `ascending` of the same value) of all matches.

    They are in the order of the keys.
    """
    low = torch.searchsorted(ascending, keys.contiguous())
    count = torch.searchsorted(ascending, keys.contiguous(), right=True) - low
    numbers = torch.arange(len(keys), device=keys.device).repeat_interleave(count)
    before = count.cumsum(0) - count  # matches of earlier keys
    within = torch.arange(len(numbers), device=keys.device) - before[numbers]
    return numbers, low[numbers] + within
