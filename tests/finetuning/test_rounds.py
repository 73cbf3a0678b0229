"""Mining again between rounds, with the model that the last round made."""

import logging
from pathlib import Path
from typing import Any

import pytest

from medembed.data.config import SourceConfig
from medembed.data.prepare import prepare
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.finetune import Trained, improve
from medembed.finetuning.stages import Stages
from medembed.mining.examples import open_examples
from medembed.training.record.retention_samples import RetentionSamples

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


class Loop:
    """Two rounds on prepared pairs."""

    def __init__(self, pairs: Path, model: Path, root: Path, **training: Any) -> None:
        self.config = FinetuneConfig.model_validate(
            {
                "model": str(model),
                "output": str(root / "out"),
                "source": SourceConfig(path=str(pairs)),
                "rounds": 2,
                "encoding": {"workers": 1},
                "mining": {"margin": 0, "max_pairs": 64},
                "training": {
                    "dimensions": (32, 8),
                    "select_dimension": 8,
                    "batch_size": 16,
                    "checkpoint_steps": 100,
                    "cpus_per_worker": 1,
                    "dev_documents": 60,
                    **training,
                },
            }
        )
        self.stages = Stages(self.config)
        self.dataset = prepare(self.config.source, self.config.splits, self.stages.place("data"))
        self.base: Table = self.stages.encode(self.dataset, str(model))

    def improve(self) -> Trained:
        return improve(self.stages, self.config, self.dataset, self.base, RetentionSamples())


def test_a_second_round_mines_with_the_first_rounds_model_and_trains_it_on(
    pairs_file: Path, encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    loop = Loop(pairs_file, encoder_folder, tmp_path, learning_rate=1e-3)
    trained = loop.improve()
    parent = trained.checkpoint.manifest.origin.parent
    mined_with = set()
    for folder in (tmp_path / "out/examples").iterdir():
        mined_with.add(open_examples(str(folder)).manifest.origin.table.fingerprint)
    assert mined_with == {loop.base.info.encoder, parent.fingerprint}
    assert len(mined_with) == 2
    assert parent.uri.startswith(str(tmp_path / "out/models"))
    assert trained.examples.manifest.origin.table.fingerprint == parent.fingerprint
    assert trained.table.info.encoder == trained.checkpoint.fingerprint
    assert list(loop.stages.seconds)[-1] == "encode with the new model, round 2 of 2"


def test_a_loss_that_reads_no_examples_is_trained_without_mining(
    pairs_file: Path, encoder_folder: Path, tmp_path: Path
):
    loop = Loop(pairs_file, encoder_folder, tmp_path, loss={"name": "contrastive"})
    with pytest.raises(DataError, match="loss contrastive needs pairs judged not relevant"):
        loop.improve()
    assert not (tmp_path / "out/examples").exists()
