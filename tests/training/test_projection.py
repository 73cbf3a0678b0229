import numpy as np

from medembed.training.model.projection import fit_projection


def unit_rows(count: int, width: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_student_that_is_its_teacher_turned_is_turned_back():
    teacher = unit_rows(500, 12, 0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0].astype(np.float32)
    student = teacher @ rotation
    projected = student @ fit_projection(student, teacher).T
    cosines = (projected * teacher).sum(1) / np.linalg.norm(projected, axis=1)
    assert cosines.min() > 0.9999


def test_the_narrower_of_the_two_widths_is_fitted():
    wide = unit_rows(500, 12, 2)
    assert fit_projection(wide[:, :8], wide).shape == (8, 8)
    assert fit_projection(wide, wide[:, :8]).shape == (8, 12)
    fitted = wide[:, :8] @ fit_projection(wide[:, :8], wide).T
    assert np.abs(fitted - wide[:, :8]).max() < 0.02, "a narrow student learns the first values"
