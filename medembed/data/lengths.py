"""How long texts are: percentiles over a sample, in tokens of a model or in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 95, 99, 100)
SAMPLED = 20_000  # texts of a kind, at most about so many


class LengthSample:
    """Lengths of every `every`-th text of one part, in words or a tokenizer's tokens."""

    def __init__(self, tokenizer: str | None, every: int) -> None:
        self.every = max(every, 1)
        self.seen = 0
        self.lengths: list[int] = []
        self._tokenizer: Any = None
        if tokenizer is not None:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_str(tokenizer)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def add(self, text: str) -> None:
        if self.seen % self.every == 0:
            pieces = self._tokenizer.encode(text).ids if self._tokenizer else text.split()
            self.lengths.append(len(pieces))
        self.seen += 1


def percentiles(lengths: Sequence[int]) -> dict[int, int]:
    """Return {50: ..., 100: ...}: the length that so many percent of texts do not exceed."""
    if not len(lengths):
        return {}
    values = np.percentile(np.asarray(lengths), PERCENTILES, method="inverted_cdf")
    return dict(zip(PERCENTILES, map(int, values), strict=True))
