"""Mining again between rounds, with the model that the last round made."""

import logging
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.finetune import Run
from medembed.mining.config import MiningConfig
from medembed.mining.examples import open_examples
from medembed.training.config import TrainingConfig
from medembed.training.record.retention_samples import RetentionSamples

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


def prepared(
    pairs: Path, model: Path, root: Path, **settings: object
) -> tuple[Run, Dataset, Table]:
    """A loop with a data set and the base model's table."""
    training = TrainingConfig(
        dimensions=(32, 8),
        select_dimension=8,
        batch_size=16,
        checkpoint_steps=100,
        cpus_per_worker=1,
        dev_documents=60,
        **settings,
    )
    config = FinetuneConfig(
        model=str(model),
        output=str(root / "out"),
        source=SourceConfig(path=str(pairs)),
        rounds=2,
        training=training,
        encoding=EncodingConfig(workers=1),
        mining=MiningConfig(margin=0, max_pairs=64),
    )
    run = Run(config, config.output)
    dataset = prepare(config.source, config.splits, run.place("data"))
    return run, dataset, run.encode(dataset, str(model))


def test_a_second_round_mines_with_the_first_rounds_model_and_trains_it_on(
    pairs_file: Path, encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    run, dataset, base = prepared(pairs_file, encoder_folder, tmp_path, learning_rate=1e-3)
    examples, checkpoint, table = run.improve(dataset, base, RetentionSamples())
    parent = checkpoint.manifest.origin.parent
    mined = {
        open_examples(str(folder)).manifest.origin.table.fingerprint
        for folder in (tmp_path / "out/examples").iterdir()
    }
    assert mined == {base.info.encoder, parent.fingerprint}
    assert len(mined) == 2
    assert parent.uri.startswith(str(tmp_path / "out/models"))
    assert examples.manifest.origin.table.fingerprint == parent.fingerprint
    assert table.info.encoder == checkpoint.fingerprint
    assert list(run.seconds)[-1] == "encode with the new model, round 2 of 2"


def test_a_loss_that_reads_no_examples_is_trained_without_mining(
    pairs_file: Path, encoder_folder: Path, tmp_path: Path
):
    run, dataset, base = prepared(
        pairs_file, encoder_folder, tmp_path, loss={"name": "contrastive"}
    )
    with pytest.raises(DataError, match="loss contrastive needs pairs judged not relevant"):
        run.improve(dataset, base, RetentionSamples())
    assert not (tmp_path / "out/examples").exists()
