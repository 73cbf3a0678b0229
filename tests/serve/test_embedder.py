"""The replica itself, without Serve around it, swaps its models."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from medembed.encoding.config import EncodingConfig
from medembed.errors import ConfigError, ModelError
from medembed.schema import fingerprint
from serve.errors import RequestError
from serve.http.api import HttpSettings
from serve.replica.protocol import EmbedCall
from serve.replica.replicas import EmbeddingReplica


def config_of(folder: Path, version: str) -> dict[str, Any]:
    return {"model": str(folder), "name": "medembed", "version": version}


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process's loggers as they are."""
    monkeypatch.setattr("serve.replica.replicas.start_logs", lambda _: None)


def make_replica() -> Any:
    return EmbeddingReplica(EncodingConfig().model_dump(), 64, HttpSettings())


def test_a_model_that_cannot_be_loaded_leaves_the_one_that_serves(
    trained_folder: Path,
    encoder_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    refused = []

    async def swap() -> list[str]:
        replica = make_replica()
        with monkeypatch.context() as patch:
            patch.setattr("serve.replica.replicas.is_deploying", lambda: True)
            with pytest.raises(ModelError, match="no such folder"):
                await replica.reconfigure(config_of(tmp_path / "none", "0"))
        seen = []
        for folder, version in (
            (trained_folder, "1"),
            (tmp_path / "none", "2"),
            (encoder_folder, "3"),
        ):
            await replica.reconfigure(config_of(folder, version))
            refused.append(replica.refused == fingerprint(config_of(folder, version)))
            seen.append((await replica.describe())["version"])
        return seen

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(swap()) == ["1", "1", "3"]
    assert refused == [False, True, False]
    assert "version 1 goes on serving" in caplog.text


def test_a_replica_that_starts_again_without_its_model_answers_503_says_why_once_and_serves_when_it_is_back(
    trained_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("serve.replica.replicas.is_deploying", lambda: False)
    pauses = []

    async def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            (tmp_path / "model").symlink_to(trained_folder)

    async def lose_and_find() -> str:
        replica = make_replica()
        with monkeypatch.context() as patch:
            patch.setattr("serve.replica.replicas.asyncio.sleep", wait)
            await replica.reconfigure(config_of(tmp_path / "model", "1"))
            with pytest.raises(RequestError) as refused:
                await replica.embed(EmbedCall(["a"]))
            assert (refused.value.status, refused.value.code) == (503, "no_model")
            assert int(refused.value.headers["retry-after"]) >= 1
            assert str(tmp_path) not in refused.value.message + replica.reason
            assert "model: no such folder" in replica.reason
            assert replica.refused == fingerprint(config_of(tmp_path / "model", "1"))
            await replica.retrying
        return str((await replica.describe())["version"])

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(lose_and_find()) == "1"
    assert pauses == [1, 2, 4, 8, 15, 15, 15, 15, 15]
    assert caplog.text.count(f"{tmp_path}/model: no such folder") == 1
    assert "version 1 is loaded after all" in caplog.text


def test_another_config_ends_the_wait_for_a_model_that_is_gone(
    trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("serve.replica.replicas.is_deploying", lambda: False)

    async def replace() -> str:
        replica = make_replica()
        await replica.reconfigure(config_of(tmp_path / "none", "1"))
        waiting = replica.retrying
        await replica.reconfigure(config_of(trained_folder, "2"))
        await asyncio.sleep(0)
        assert waiting.cancelled()
        return str((await replica.describe())["version"])

    assert asyncio.run(replace()) == "2"


def test_a_replica_without_keys_does_not_start_where_other_machines_reach_serve(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("serve.operate.safety.find_http_host", lambda: "0.0.0.0")
    with pytest.raises(ConfigError, match="set keys.file or keys.variable"):
        make_replica()
