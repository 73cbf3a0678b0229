"""What holds vectors where the model of the start has them, so that training moves what it must and little else."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medembed.training.losses.guide import rows_from

_EPSILON = 1e-12  # the least norm, as torch.nn.functional.normalize has it


class Start:
    """A copy of the model before training, which embeds what the trained model reads.

    No torch module, so that no trainer trains, moves or saves it.
    """

    def __init__(self, model: Any) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def embed(self, features: Sequence[Mapping[str, Any]], at_once: int | None = None) -> list[Tensor]:
        """Return float32 [B, D] of each column, so many texts at a time; None: all of a column."""
        with torch.no_grad():
            return [self._embed(column, at_once) for column in features]

    def _embed(self, column: Mapping[str, Any], at_once: int | None) -> Tensor:
        if at_once is None:
            parts = [dict(column)]
        else:
            starts = range(0, len(column["input_ids"]), at_once)
            parts = [rows_from(column, first, at_once) for first in starts]
        vectors = torch.cat([self.model(part)["sentence_embedding"] for part in parts])
        return vectors if vectors.dtype == torch.float64 else vectors.float()


def distance_by_dimension(vectors: Tensor, start: Tensor, dimensions: Sequence[int]) -> Tensor:
    """Return the mean cosine distance between both at each prefix, [dimensions].

    vectors and start [N, D], a row a text, not normalised; the prefixes are nested, so that all of them cost one pass.
    Feature distillation toward the model itself as it was (Romero et al. 2014, arXiv:1412.6550; for continued training
    Li and Hoiem 2016, arXiv:1606.09282).
    """
    ends = sorted(dimensions)
    vectors, start = vectors.to(start.dtype), start.detach()
    products = _sums(vectors * start, ends)
    lengths = _sums(vectors * vectors, ends) * _sums(start * start, ends)
    distances = 1 - (products / lengths.clamp_min(_EPSILON**2).sqrt()).mean(0)
    return distances[[ends.index(dimension) for dimension in dimensions]]


def _sums(values: Tensor, ends: Sequence[int]) -> Tensor:
    """[N, ends]: the sum of each row up to each end."""
    blocks = zip([0, *ends], ends, strict=False)
    return torch.stack([values[:, first:end].sum(1) for first, end in blocks], dim=1).cumsum(1)
