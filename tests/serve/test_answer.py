"""Requests that arrive together: each gets its own rows, whatever its company asks for."""

from typing import Any

import numpy as np

from medembed.encoding.quantize import to_uint8
from medembed.matryoshka import truncate
from serve.answer import Served, answer
from serve.work import Embedded, Refused, Work


def test_one_pass_answers_roles_dimensions_types_and_refusals_together(stock: Served, monkeypatch: Any):
    calls = []
    whole = stock.encoder.encode_tokens
    monkeypatch.setattr(stock.encoder, "encode_tokens", lambda tokens: calls.append(len(tokens)) or whole(tokens))
    texts = ["heart pain", "brain"]
    ids = stock.encoder.tokenize(["skin rash"])[0]
    results = answer(
        stock,
        [
            Work(texts, "document", dimensions=8),
            Work(["liver"], model="other"),
            Work([ids]),
            Work(["heart " * 100]),
            Work(["heart " * 100, "ear"], cuts=True, output_dtype="uint8"),
            Work(["ear"], max_tokens=2),
        ],
    )
    assert calls == [5]
    assert [type(one) for one in results] == [Embedded, Refused, Embedded, Refused, Embedded, Refused]
    assert [one.error.status for one in results if isinstance(one, Refused)] == [404, 400, 400]
    first, _, second, _, third, _ = results
    assert np.abs(first.embeddings - truncate(stock.encoder.encode(texts), 8)).max() < 1e-6
    assert np.abs(second.embeddings - stock.encoder.encode(["skin rash"])).max() < 1e-6
    codes = to_uint8(stock.encoder.encode(["heart " * 100, "ear"]), stock.ranges)
    assert np.abs(third.embeddings.astype(int) - codes.astype(int)).max() <= 1  # a batch's company may move a step
    assert (third.truncated, third.tokens) == ([True, False], [48, 3])


def test_only_refusals_compute_nothing(stock: Served):
    (refused,) = answer(stock, [Work(["a"], expected_fingerprint="x")])
    assert isinstance(refused, Refused)
    assert refused.error.status == 409
