"""Inspect a sample of the corpus: are its texts alike to the model, and how much does it read?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.corpus import evenly, sample_texts
from medembed.encoding.model_files import read_tokenizer
from medembed.encoding.table import Table

# rows and files, evenly spaced over the corpus, so that it costs the same for any size
_SAMPLE = 2000
_FILES = 8
_SHOWN = 50
_ALIKE = 0.6


@dataclass(frozen=True)
class Truncation:
    """The shares of `texts` that `max_length` tokens cut, and of all their tokens that are lost."""

    texts: int
    max_length: int
    cut: float
    lost: float


@dataclass(frozen=True)
class Inspection:
    """Cosines of sampled documents at full width, and what of them the model reads.

    `similarities` float32 [n, n] are of those that `ids` names, at most 50. `mean_cosine` and
    `spread` (standard deviation) are over pairs of different documents of the whole sample.
    """

    ids: tuple[str, ...]
    similarities: npt.NDArray[np.float32]
    mean_cosine: float
    spread: float
    truncation: Truncation | None

    @property
    def is_alike(self) -> bool:
        """Whether all texts look alike (anisotropy; Ethayarajh 2019, arXiv:1909.00512).

        Then vectors fill a narrow cone. Ranking may still work, by small differences; thresholds on
        a cosine, int8 and few dimensions suffer.
        """
        return self.mean_cosine > _ALIKE


def inspect_corpus(dataset: Dataset, table: Table, model: str) -> Inspection:
    """Inspect up to 2,000 rows, from files evenly spaced; the same for the same table."""
    ids, texts = sample_texts(dataset.corpus_files(), _SAMPLE, _FILES)
    vectors = table.lookup(ids)
    cosines = vectors @ vectors.T
    between = cosines[np.triu_indices(len(ids), 1)]
    if not len(between):
        between = np.zeros(1, np.float32)
    shown = evenly(len(ids), _SHOWN)
    return Inspection(
        tuple(ids[row] for row in shown),
        cosines[np.ix_(shown, shown)],
        float(between.mean()),
        float(between.std()),
        measure_truncation(texts, read_tokenizer(model), table.info.prompt, table.info.max_length),
    )


def measure_truncation(
    texts: Sequence[str], tokenizer: str | None, prompt: str, max_length: int
) -> Truncation | None:
    """Measure what `max_length` tokens cut off; None for a model without a tokenizer.json."""
    if tokenizer is None:
        return None
    from tokenizers import Tokenizer

    read: Any = Tokenizer.from_str(tokenizer)
    read.no_truncation()
    read.no_padding()
    encoded = read.encode_batch([prompt + text for text in texts])
    lengths = np.array([len(tokens.ids) for tokens in encoded])
    over = np.maximum(lengths - max_length, 0)
    lost = float(over.sum() / max(lengths.sum(), 1))
    return Truncation(len(texts), max_length, float((over > 0).mean()), lost)
