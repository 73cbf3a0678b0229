"""A look at a sample of the corpus: do its texts look alike to the model, and how much of them does
it read?
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.corpus import evenly, sample_texts
from medembed.encoding.model_files import read_tokenizer
from medembed.encoding.table import Table

# rows and files, evenly spaced over the corpus, so that a look costs the same for any size
_SAMPLE, _FILES = 2000, 8
_SHOWN = 50
_ALIKE = 0.6


@dataclass(frozen=True)
class Truncation:
    """Of `texts` sampled texts: the share that `max_length` tokens cut, and the share of all tokens
    that is lost.
    """

    texts: int
    max_length: int
    cut: float
    lost: float


@dataclass(frozen=True)
class Look:
    """Cosines of sampled documents at full width: `similarities` float32 [n, n] of those that `ids`
    names, at most 50.

    `mean_cosine` and `spread` (standard deviation) are over pairs of different documents of the
    whole sample.
    """

    ids: tuple[str, ...]
    similarities: npt.NDArray[np.float32]
    mean_cosine: float
    spread: float
    truncation: Truncation | None

    @property
    def look_alike(self) -> bool:
        """Whether all texts look alike: vectors fill a narrow cone (anisotropy; Ethayarajh 2019,
        arXiv:1909.00512).

        Ranking may still work, by small differences; thresholds on a cosine, int8 and few
        dimensions suffer.
        """
        return self.mean_cosine > _ALIKE


def look_at(dataset: Dataset, table: Table, model: str) -> Look:
    """A look at up to 2,000 corpus rows, from files evenly spaced over the corpus; the same for the
    same table.
    """
    ids, texts = sample_texts(dataset.corpus_files(), _SAMPLE, _FILES)
    sample = table.lookup(ids)
    cosines = sample @ sample.T
    between = cosines[np.triu_indices(len(ids), 1)]
    shown = evenly(len(ids), _SHOWN)
    mean, spread = (float(between.mean()), float(between.std())) if len(between) else (0.0, 0.0)
    truncation = measure_truncation(
        texts, read_tokenizer(model), table.info.prompt, table.info.max_length
    )
    return Look(
        tuple(ids[row] for row in shown), cosines[np.ix_(shown, shown)], mean, spread, truncation
    )


def measure_truncation(
    texts: Sequence[str], tokenizer: str | None, prompt: str, max_length: int
) -> Truncation | None:
    """What `max_length` tokens cut off; None for a model without a tokenizer.json."""
    if tokenizer is None:
        return None
    from tokenizers import Tokenizer

    read: Any = Tokenizer.from_str(tokenizer)
    read.no_truncation()
    read.no_padding()
    lengths = np.array(
        [len(encoded.ids) for encoded in read.encode_batch([prompt + text for text in texts])]
    )
    over = np.maximum(lengths - max_length, 0)
    return Truncation(
        len(texts), max_length, float((over > 0).mean()), float(over.sum() / max(lengths.sum(), 1))
    )
