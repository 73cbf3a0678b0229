"""Hold the vectors of long texts where the model of the start has them.

Training reads short texts and moves what they have in common; what the model makes of longer ones
moves along, and no loss says that it is wrong. So documents are joined to long texts, which take no
part in the ranking, and whose vectors shall stay. How much they pay for leaving their place goes by
how much longer they are than what is trained: texts of the same length are what training is for.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from sentence_transformers.util import batch_to_device
from torch import Tensor

from medembed.encoding.encoder import Encoder
from medembed.training.collective import world

_ROWS_PER_TEXT = 8  # of a batch, for each joined text
_LONGER = 8  # times the mean document, at most
_CHARACTERS_PER_TOKEN = 8  # more than any language has: what is longer is cut off anyway
_AT_ONCE = 32  # texts that the start embeds together
_MEASURED = 256  # documents, and joined texts, that tell how much longer the latter are
_EPSILON = 1e-12  # the least norm, as torch.nn.functional.normalize has it


class Hold:
    """Long texts joined from documents, and the vectors that the model of the start gives them.

    No torch module, so that no trainer trains, moves or saves its copy of the start.
    """

    def __init__(
        self,
        encoder: Encoder,
        documents: Sequence[str],
        weight: float,
        *,
        max_length: int | None,
        seed: int,
        precision: str = "float32",
    ) -> None:
        """Copy the model, which still has the weights of the start.

        A joined text pays `weight` for each document of the training that it is as long as, where
        documents are cut at `max_length` tokens. The copy multiplies in the `precision` of the
        training.
        """
        assert documents, "there is no document to join"
        self.start = copy.deepcopy(encoder.model).eval().requires_grad_(False)
        self.documents = documents
        self.prompt = encoder.prompt("document")
        self.seed = seed
        self.precision = precision
        self._longest = _LONGER * sum(map(len, documents)) // len(documents)
        if self.start.max_seq_length is not None:
            self._longest = min(
                self._longest, _CHARACTERS_PER_TOKEN * int(self.start.max_seq_length)
            )
        self.weight = weight * self._how_much_longer(encoder, max_length)

    def _how_much_longer(self, encoder: Encoder, max_length: int | None) -> float:
        """Return how many tokens a joined text has for each of a document as training reads it."""
        random = np.random.default_rng(self.seed)
        documents = [self._draw(random) for _ in range(_MEASURED)]
        trained, _ = encoder.reader.read(documents, "document", max_length)
        joined, _ = encoder.reader.read(self._join_all(_MEASURED, random), "document")
        return sum(joined.lengths) / max(sum(trained.lengths), 1)

    def read(self, texts: Sequence[str], device: torch.device) -> dict[str, Any]:
        """Return the features of texts as the model reads documents, cut at its limit."""
        features = self.start.preprocess(list(texts), prompt=self.prompt, task="document")
        return batch_to_device(dict(features), device) | {"task": "document"}

    def embed(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return the start's vectors, float32 [texts, D]."""
        vectors = []
        with torch.no_grad(), self._autocast():
            for first in range(0, len(texts), _AT_ONCE):
                features = self.read(texts[first : first + _AT_ONCE], device)
                vectors.append(self.start(features)["sentence_embedding"].float())
        return torch.cat(vectors)

    def _autocast(self) -> AbstractContextManager[None]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.start.device.type, dtype=getattr(torch, self.precision))

    def join(self, rows: int, step: int) -> list[str]:
        """Return a text for every eighth row: documents in a row, until they are long enough.

        Seed and step decide which, and how long: four to eight mean documents, if the model reads
        as much. All workers draw the same texts for the joined batch, and each takes its share.
        """
        rank, workers = world()
        count = max(1, rows // _ROWS_PER_TEXT)
        texts = self._join_all(count * workers, np.random.default_rng((self.seed, step)))
        return texts[rank * count : (rank + 1) * count]

    def _join_all(self, count: int, random: np.random.Generator) -> list[str]:
        shortest = self._longest // 2
        lengths = random.integers(shortest, self._longest, size=count, endpoint=True)
        return [self._join(int(length), random) for length in lengths]

    def _join(self, characters: int, random: np.random.Generator) -> str:
        """Draw documents one after another, until they have so many characters together."""
        text = self._draw(random)
        while len(text) < characters:
            text = f"{text} {self._draw(random)}"
        return text

    def _draw(self, random: np.random.Generator) -> str:
        return self.documents[int(random.integers(len(self.documents)))]


def distance_by_dimension(vectors: Tensor, start: Tensor, dimensions: Sequence[int]) -> Tensor:
    """Return the mean cosine distance between both at each prefix, [dimensions].

    vectors and start [N, D], a row a text, not normalised; the prefixes are nested, so that all of
    them cost one pass. Feature distillation toward the model itself as it was (Romero et al. 2014,
    arXiv:1412.6550; for continued training Li and Hoiem 2016, arXiv:1606.09282).
    """
    ends = sorted(dimensions)
    products = _sums(vectors * start, ends)
    lengths = _sums(vectors * vectors, ends) * _sums(start * start, ends)
    distances = 1 - (products / lengths.clamp_min(_EPSILON**2).sqrt()).mean(0)
    return distances[[ends.index(dimension) for dimension in dimensions]]


def _sums(values: Tensor, ends: Sequence[int]) -> Tensor:
    """Return the sum of each row up to each end, [N, ends]."""
    blocks = zip([0, *ends], ends, strict=False)
    return torch.stack([values[:, first:end].sum(1) for first, end in blocks], dim=1).cumsum(1)
