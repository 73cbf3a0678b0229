"""The replica itself, without Serve around it: how models are swapped."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from medembed.encoding.config import EncodingConfig
from medembed.errors import ModelError
from medembed.schema import fingerprint
from serve.embedder import Embedder


def config_of(folder: Path, version: str) -> dict[str, Any]:
    return {"model": str(folder), "name": "medembed", "version": version}


def make_replica(batch_tokens: int = 64) -> Any:
    made: Any = Embedder  # what Serve's decorator made of the class
    return made.func_or_class(EncodingConfig().model_dump(), batch_tokens)


def test_a_model_that_cannot_be_loaded_leaves_the_one_that_serves(
    trained_folder: Path, encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    refused = []

    async def swap() -> list[str]:
        replica = make_replica()
        with pytest.raises(ModelError, match="no such folder"):
            await replica.reconfigure(config_of(tmp_path / "none", "0"))
        seen = []
        for folder, version in ((trained_folder, "1"), (tmp_path / "none", "2"), (encoder_folder, "3")):
            await replica.reconfigure(config_of(folder, version))
            refused.append(replica.refused == fingerprint(config_of(folder, version)))
            seen.append((await replica.describe())["version"])
        return seen

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(swap()) == ["1", "1", "3"]
    assert refused == [False, True, False]
    assert "version 1 goes on serving" in caplog.text
