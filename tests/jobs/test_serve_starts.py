"""A bad start of `medembed serve` is one line before Ray starts."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from jobs.serve import ServeJob, run
from medembed.config import load_config
from medembed.encoding.model_files import CARD
from medembed.errors import MedEmbedError
from tests.tables import write_corpus, write_table


def start(tmp_path: Path, *arguments: str) -> str:
    """Return what a start says that must fail."""
    with pytest.raises(MedEmbedError) as caught:
        run(load_config(ServeJob, [f"workspace={tmp_path}/ws", *arguments]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def model(encoder_folder: Path, tmp_path: Path) -> Path:
    """Return a model trained for 32 and 8 dimensions."""
    folder = shutil.copytree(encoder_folder, tmp_path / "model")
    (folder / CARD).write_text(json.dumps({"dimensions": [32, 8]}))
    return folder


def test_a_model_that_cannot_be_served_is_one_line_before_ray_starts(
    model: Path, empty_registry: Path, tmp_path: Path
):
    shutil.copytree(empty_registry, tmp_path / "ws")
    assert "models:/medembed@champion: not in the registry" in start(tmp_path)
    assert "found [16], but this model was trained for [32, 8]" in start(
        tmp_path, f"model={model}", "dimensions=[16]"
    )
    assert "nowhere: no such folder" in start(tmp_path, f"model={tmp_path}/nowhere")
    ranker = [f"rerank.model={tmp_path}/nowhere", "rerank.name=ranker"]
    assert "nowhere: no such folder" in start(tmp_path, f"model={model}", *ranker)
    (model / "model.safetensors").unlink()
    assert "no .safetensors weights" in start(tmp_path, f"model={model}")


def test_a_place_that_cannot_be_used_is_one_line_before_ray_starts(model: Path, tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for key in ("port", "dashboard_port"):
            assert f"port {port} on 127.0.0.1: Address already in use" in start(
                tmp_path, f"model={model}", f"{key}={port}"
            )
    places = [f"model={model}", "port=58231", "dashboard_port=58232"]
    assert "this machine has" in start(tmp_path, *places, "replicas=1000")
    assert "nowhere/keys: no such file" in start(
        tmp_path, *places, f"keys.file={tmp_path}/nowhere/keys"
    )
    assert "0.0.0.0 is open to other machines, and this server has no keys" in start(
        tmp_path, *places, "host=0.0.0.0"
    )
    assert "cors: found *, and this server has no keys" in start(tmp_path, *places, 'cors=["*"]')
    assert "prefix: " in start(tmp_path, *places, "prefix=embed/")
    for host in ("localhost", "::", "127.1", "10.0.0.300"):
        assert "expected an IPv4 address" in start(tmp_path, *places, f"host={host}")
    (tmp_path / "keys").write_text("0" * 64)
    elsewhere_host = ["host=192.0.2.7", f"keys.file={tmp_path}/keys"]
    assert "192.0.2.7: Cannot assign requested address" in start(tmp_path, *places, *elsewhere_host)
    corpus = write_corpus(tmp_path / "data", [{"document_id": "d"}], 1)
    write_table(tmp_path / "table", corpus, np.eye(1, 32, dtype=np.float32), encoder="another")
    assert "never compared" in start(tmp_path, *places, f"table={tmp_path}/table")
