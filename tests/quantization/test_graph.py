"""Linear layers behind one another all become bytes, and none is left behind in float32."""

import numpy as np
import pytest

from medembed.quantization.graph import find_inputs, insert_int8
from medembed.quantization.scales import Seen

RANDOM = np.random.default_rng(0)


def test_a_layer_that_reads_another_layer_reads_its_bytes():
    openvino = pytest.importorskip("openvino")
    ops = openvino.opset13
    tokens = ops.parameter([1, 9, 8], np.float32)
    weights = [RANDOM.normal(size=(8, 8)).astype(np.float32) for _ in range(2)]
    bias = ops.constant(RANDOM.normal(size=(1, 1, 8)).astype(np.float32))
    first = ops.add(ops.matmul(tokens, ops.constant(weights[0]), False, True), bias)
    second = ops.matmul(first, ops.constant(weights[1]), False, True)
    graph = openvino.Model([second], [tokens])
    seen = Seen.of(RANDOM.normal(size=(90, 8)).astype(np.float32) * 4, 16)
    coded = insert_int8(graph, [seen] * len(find_inputs(graph)))
    kinds = [node.get_type_name() for node in coded.get_ops()]
    assert kinds.count("FakeQuantize") == kinds.count("MatMul") == 2
