"""What of a trainer's checkpoint is published."""

from pathlib import Path

import numpy as np
import pytest
from ray.train import Checkpoint
from sentence_transformers import SentenceTransformer

from medembed.training.options import AdapterConfig
from medembed.training.record.checkpoint import DEV_VALUES, download_model
from medembed.training.record.dev_sample import write_dev_values
from tests.training.small import CONFIG, start


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("adapter", [AdapterConfig(), AdapterConfig(kind="lora", rank=4)])
def test_the_files_of_a_stock_save_and_the_dev_scores_are_published_and_nothing_else(
    adapter: AdapterConfig, encoder_folder: Path, tmp_path: Path
):
    config = CONFIG.model_copy(update={"adapter": adapter})
    start(encoder_folder, config, tmp_path, steps=1, save_at=(1,)).train()
    folder = tmp_path / "checkpoint-1"
    write_dev_values(folder, {8: np.array([1.0])})
    assert {"optimizer.pt", "scheduler.pt", "trainer_state.json"} <= names(folder)
    download_model(Checkpoint.from_directory(str(folder)), tmp_path / "published")
    stock = SentenceTransformer(str(encoder_folder), device="cpu")
    stock.save_pretrained(str(tmp_path / "stock"), create_model_card=False)
    assert names(tmp_path / "published") == names(tmp_path / "stock") | {DEV_VALUES}
