"""Fit the matrix behind a student that brings its vectors nearest to its teacher's. Pure."""

import numpy as np
import numpy.typing as npt

TEXTS = 4096  # that it is fitted to: ten for each of the usual 384 dimensions
# Of the mean squared length of a dimension, added to each: directions that hardly any text has are
# not stretched.
_RIDGE = 1e-2


def fit_projection(
    student: npt.NDArray[np.float32], teacher: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the matrix M [d, W], d the smaller of W and D, by ridge regression.

    For each text, M times its student's vector is nearest to the first d values of its teacher's
    (Hoerl and Kennard 1970). student [N, W] and teacher [N, D] have unit rows.
    """
    width = min(student.shape[1], teacher.shape[1])
    given = student.astype(np.float64)
    wanted = teacher[:, :width].astype(np.float64)
    squares = given.T @ given
    ridge = _RIDGE * np.trace(squares) / len(squares)
    matrix = np.linalg.solve(squares + ridge * np.eye(len(squares)), given.T @ wanted)
    return np.ascontiguousarray(matrix.T, dtype=np.float32)
