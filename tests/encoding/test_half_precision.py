"""Check that half precision is taken where the vectors stay near those of full precision."""

from typing import Any

import pytest
import torch

from medembed.encoding.backends import (
    TorchBackend,
    in_precision,
    make_probe,
    unit_vectors,
)
from tests.encoding.test_backends import Bend, with_module
from tests.tiny import WIDTH


@pytest.mark.parametrize(("asked", "dtype"), [("auto", torch.float16), ("float32", torch.float32)])
def test_half_precision_is_taken_where_the_cosine_to_full_is_kept(
    model: Any, asked: Any, dtype: torch.dtype
):
    half = in_precision(model, asked)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    probe = make_probe(model)
    vectors = [unit_vectors(TorchBackend(each), probe, WIDTH) for each in (model, half)]
    assert (vectors[0] * vectors[1]).sum(axis=1).min() >= 0.9999


def test_a_model_that_overflows_or_loses_in_half_precision_stays_in_full(
    model: Any, caplog: pytest.LogCaptureFixture
):
    # 70000 is beyond float16's range, and in bfloat16 the remainder behind it is lost.
    scaled = with_module(model, Bend(lambda vectors, mask: (vectors + 7e4) - 7e4))
    assert in_precision(scaled, "auto") is scaled
    assert "float16 has cosine" in caplog.text
    assert "encoding precision: float32" in caplog.text
