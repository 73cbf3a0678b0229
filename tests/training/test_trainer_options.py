"""A whole training under Ray with the options of `training.options`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.registry.resolve import resolve_models
from medembed.tags import Lineage
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.options import AdapterConfig, PromptsConfig
from medembed.training.record.register import register_checkpoint
from medembed.training.train import train
from tests.training.mined import prepare_and_mine

CONFIG = TrainingConfig(
    dimensions=(32, 8),
    select_dimension=8,
    batch_size=16,
    learning_rate=1e-2,
    checkpoint_steps=3,
    epochs=1,
    cpus_per_worker=1,
    dev_queries=20,
    dev_documents=40,
    schedule="cosine",
    adapter=AdapterConfig(kind="lora", rank=4),
    prompts=PromptsConfig(query="query: ", document="passage: "),
    report_to=("tensorboard",),
)


@pytest.mark.ray
def test_a_run_with_adapter_prompts_and_curves_publishes_one_whole_stock_model(
    pairs_file: Path, encoder_folder: Path, empty_registry: Path, tmp_path: Path, ray_local: None
):
    mined = prepare_and_mine(pairs_file, str(encoder_folder), tmp_path)
    with pytest.raises(ConfigError, match="4-bit weights need CUDA"):
        refused = CONFIG.model_copy(update={"adapter": AdapterConfig(kind="qlora")})
        train(*mined, str(tmp_path / "m"), refused)
    checkpoint = train(*mined, str(tmp_path / "m"), CONFIG)
    folder = tmp_path / "m"
    weights = {str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")}
    # the transformer, and its principal axes
    assert weights == {"model.safetensors", "2_Dense/model.safetensors"}
    assert not [path.name for path in folder.rglob("*") if "adapter" in path.name]
    assert model_fingerprint(folder) == checkpoint.fingerprint  # the card does not count
    stock = SentenceTransformer(str(folder), device="cpu")
    encoder = Encoder.load(str(folder), EncodingConfig())
    expected = stock.encode(["query: heart pain"], normalize_embeddings=True)
    assert np.abs(encoder.encode(["heart pain"], "query") - expected).max() < 1e-5
    history = json.loads((folder / "history.json").read_text())
    steps = int(max(entry["step"] for entry in history))
    assert [entry["step"] for entry in history if "loss" in entry] == list(range(1, steps + 1))
    measured = {
        int(entry["step"]): entry["dev_ndcg@10/8"] for entry in history if "dev_ndcg@10/8" in entry
    }
    assert sorted(measured) == sorted({*range(3, steps + 1, 3), steps})
    assert measured[checkpoint.manifest.step] == max(measured.values())
    assert Image.open(folder / "curves.png").size == (920, 1320)
    assert list((tmp_path / "m.logs" / "tensorboard").glob("events.out.tfevents.*"))
    where = RegistryConfig(workspace=str(shutil.copytree(empty_registry, tmp_path / "ws")))
    registry = open_registry(where, on_cluster=False)
    version, _ = register_checkpoint(
        registry, checkpoint, CONFIG, metrics={}, lineage=Lineage(), artifacts={}
    )
    named = TrainingConfig(loss=LossConfig(guide=f"models:/{version.name}/{version.version}"))
    assert resolve_models(named, where, on_cluster=False).loss.guide == checkpoint.uri
    logged = registry.client.get_metric_history(version.run_id, "train_loss")
    assert [entry.step for entry in logged] == list(range(1, steps + 1))
    assert {"curves.png", "history.json"} <= {
        entry.path for entry in registry.client.list_artifacts(version.run_id)
    }
