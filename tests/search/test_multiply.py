from unittest.mock import patch

import numpy as np

from medembed.search.multiply import NumpyMatrix, TorchMatrix


def test_a_comparison_leaves_numpys_buffers_as_it_found_them():
    before, rows = np.getbufsize(), np.eye(3, dtype=np.float32)
    lines, columns, values = (
        NumpyMatrix(rows).products(rows).above(0, np.array([0.5, 0, 2], np.float32))
    )
    assert (lines.tolist(), columns.tolist(), values.tolist()) == (
        [0, 1, 1, 1],
        [0, 0, 1, 2],
        [1, 0, 1, 0],
    )
    assert np.getbufsize() == before


def test_torch_multiplies_in_full_float32_whatever_the_process_allows():
    import torch

    seen = []
    multiply, before = torch.Tensor.__matmul__, torch.get_float32_matmul_precision()

    def watch(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return multiply(left, right)

    torch.set_float32_matmul_precision("medium")
    try:
        with patch.object(torch.Tensor, "__matmul__", watch):
            TorchMatrix(np.eye(3, dtype=np.float32)).products(np.eye(3, dtype=np.float32)).first()
        assert (seen, torch.get_float32_matmul_precision()) == (["highest"], "medium")
    finally:
        torch.set_float32_matmul_precision(before)
