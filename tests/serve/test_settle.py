"""A served model gets its faster backend while it answers, and keeps the one it has where looking
fails.
"""

import logging
from pathlib import Path

import numpy as np
import pytest

from medembed.encoding import encoder as encoders
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from serve.replica.settle import settle_later

TEXTS = ["heart pain", "a tremor of the left hand"]


def test_the_faster_backend_takes_over_while_the_model_answers(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder = Encoder.load(str(encoder_folder), EncodingConfig(), settles_later=True)
    exact = encoder.encode(TEXTS)

    class Other(encoders.TorchBackend):
        name = "other"

    monkeypatch.setattr(encoders, "choose_backend", lambda model, config: Other(model))
    settle_later(encoder).join(60)
    assert encoder.backend.name == "other"
    np.testing.assert_array_equal(encoder.encode(TEXTS), exact)


def test_where_looking_fails_the_model_answers_as_before_and_the_log_says_so(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    encoder = Encoder.load(str(encoder_folder), EncodingConfig(), settles_later=True)
    exact = encoder.encode(TEXTS)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(encoders, "choose_backend", fail)
    with caplog.at_level(logging.WARNING):
        settle_later(encoder).join(60)
    assert "MemoryError" in caplog.text
    np.testing.assert_array_equal(encoder.encode(TEXTS), exact)
