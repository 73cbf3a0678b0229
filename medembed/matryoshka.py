"""Define what it means to use the first dimensions of a Matryoshka embedding: `truncate`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError


def truncate(embeddings: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    """Return the first `dimensions` values of each row, scaled back to unit length.

    embeddings float32 [n, D] -> float32 [n, dimensions], unit rows (a row of zeros stays zero).
    Truncated first, normalised second: the other order leaves rows shorter than one, and then
    dot products are no cosines (Kusupati et al. 2022, arXiv:2205.13147).
    Raises ModelError when `dimensions` is not between 1 and D.
    """
    check_dimensions([dimensions], embeddings.shape[1])
    prefix = embeddings[:, :dimensions]
    norms = np.linalg.norm(prefix, axis=1, keepdims=True)
    return np.asarray(prefix / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


def check_dimensions(dimensions: Sequence[int], width: int) -> None:
    """Raise ModelError if a dimension is below 1 or above the model's width."""
    wrong = sorted({dimension for dimension in dimensions if not 1 <= dimension <= width})
    if wrong:
        raise ModelError(
            "dimensions: found {wrong}, but the model has {width}; choose values from 1 to "
            "{width}.",
            wrong=wrong,
            width=width,
        )


def check_trained(dimensions: Sequence[int], trained: Sequence[int], width: int) -> None:
    """Raise ModelError for dimensions above the width, or that a checkpoint was not trained for.

    A stock model, which has no trained dimensions, takes any.
    """
    check_dimensions(dimensions, width)
    allowed = sorted({*trained, width}, reverse=True)
    wrong = sorted(set(dimensions) - set(allowed))
    if trained and wrong:
        raise ModelError(
            "dimensions: found {wrong}, but this model was trained for {allowed}; choose "
            "among these.",
            wrong=wrong,
            allowed=allowed,
        )
