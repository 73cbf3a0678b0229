import re
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from sentence_transformers import SentenceTransformer

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import DataError, ModelError, StorageError, TrainingError, WorkersLost
from medembed.evaluation.sample import encode_sample, score_sample
from medembed.lineage import Origin
from medembed.mining.examples import open_examples
from medembed.schema import EXAMPLES
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.dev_sample import draw_dev_sample, read_dev_values
from medembed.training.rows.order import Stream
from medembed.training.run.inputs import fingerprint_inputs
from medembed.training.run.private_ray_train import (
    PLACEMENT_GROUP,
    free_placement_group,
)
from medembed.training.train import train
from medembed.training.trial import Rungs, Trial
from tests.training.dying import killed_after_a_checkpoint, losses
from tests.training.mined import Mined, prepare_and_mine

CONFIG = TrainingConfig(
    dimensions=(32, 8),
    select_dimension=8,
    batch_size=8,
    workers=2,
    learning_rate=5e-3,
    checkpoint_steps=12,
    epochs=5,
    cpus_per_worker=1,
    dev_queries=20,
    dev_documents=40,
)


@pytest.fixture(scope="module")
def work(
    pairs_file: Path,
    encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ray_local: None,
) -> Mined:
    return prepare_and_mine(pairs_file, str(encoder_folder), tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def undisturbed(work: Mined, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """(folder, checkpoint) of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed") / "m"
    return folder, train(*work, str(folder), CONFIG)


@pytest.mark.ray
def test_killed_workers_resume_and_the_result_is_that_of_an_undisturbed_run(
    work: Mined, undisturbed: tuple[Path, Checkpoint], tmp_path: Path
):
    with killed_after_a_checkpoint(tmp_path) as killed:
        resumed = train(*work, str(tmp_path / "b"), CONFIG)
    assert killed
    assert resumed.manifest.dev == undisturbed[1].manifest.dev
    assert resumed.fingerprint == undisturbed[1].fingerprint
    assert losses(resumed) == losses(undisturbed[1]), (
        "the best checkpoint may be older than the death, the losses go on"
    )
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".run")]


@pytest.mark.ray
def test_the_checkpoint_is_a_stock_folder_without_pickles_or_training_texts(
    work: Mined, undisturbed: tuple[Path, Checkpoint]
):
    folder, checkpoint = undisturbed
    examples = work.examples
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.suffix in (".pt", ".pth", ".bin", ".pkl")]
    texts = {row["query"] for row in examples.read()} | {row["positive"] for row in examples.read()}
    assert not [
        path.name
        for path in files
        if path.suffix in (".md", ".json") and any(t in path.read_text() for t in texts)
    ]
    probe = ["heart pain", "skin rash"]
    stock = SentenceTransformer(str(folder), device="cpu").encode(probe, normalize_embeddings=True)
    encoder = Encoder.load(checkpoint.uri, EncodingConfig())
    assert abs(encoder.encode(probe) - stock).max() < 1e-6
    assert encoder.dimensions == (32, 8)
    assert (
        encoder.fingerprint == checkpoint.fingerprint != examples.manifest.origin.table.fingerprint
    )
    assert train(*work, str(folder), CONFIG) == checkpoint
    assert [path.name for path in folder.parent.iterdir()] == ["m"], (
        "no state of the run is left beside it"
    )


@pytest.mark.ray
def test_the_dev_sample_that_workers_encode_together_scores_as_in_one_process(
    work: Mined, undisturbed: tuple[Path, Checkpoint]
):
    encoder = Encoder.load(str(undisturbed[0]), EncodingConfig())
    sample = draw_dev_sample(work.dataset, CONFIG)
    queries, documents = encode_sample(sample, encoder.encode)
    alone = score_sample(sample, queries, documents, (32, 8), "ndcg@10")
    dev = undisturbed[1].manifest.dev
    for dimension, values in alone.items():
        assert abs(dev[f"ndcg@10/{dimension}"] - values.mean()) < 1e-6
    of_queries = read_dev_values(undisturbed[1], (32, 8))
    assert of_queries is not None
    assert of_queries.mean() == pytest.approx((dev["ndcg@10/32"] + dev["ndcg@10/8"]) / 2)


@pytest.fixture
def poisoned(work: Mined, tmp_path: Path) -> Mined:
    """Return a model that computes no number for one letter, which one example of step 14 has.

    Its weights are numbers, so that it loads: they are too large to be subtracted from their mean.
    """
    dataset, examples, model = work
    copied = SentenceTransformer(model, device="cpu")
    letter = copied.tokenizer.convert_tokens_to_ids("#")
    weights = copied[0].auto_model.embeddings.word_embeddings.weight.data
    weights[letter] = torch.finfo(torch.float32).max
    weights[letter, 0] = torch.finfo(torch.float32).min
    copied.save_pretrained(str(tmp_path / "poisoned"), create_model_card=False)
    rows = examples.read()
    assert not [
        row for row in rows if "#" in row["query"] + row["positive"] + "".join(row["negatives"])
    ]
    rows[Stream(len(rows), 8, CONFIG.seed).order(0)[13 * 8]]["query"] += " #"
    with NewOutput(str(tmp_path / "examples"), "poisoned") as output:
        output.write_parquet("part-00000.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))
        output.commit(replace(examples.manifest, origin=Origin()))
    return Mined(dataset, open_examples(str(tmp_path / "examples")), str(tmp_path / "poisoned"))


@pytest.mark.ray
def test_a_loss_that_is_no_number_stops_training_at_once_and_keeps_the_last_good_checkpoint(
    poisoned: Mined, tmp_path: Path
):
    config = CONFIG.model_copy(update={"workers": 1, "max_failures": 2})
    output = str(tmp_path / "m")
    with pytest.raises(
        TrainingError, match="loss is nan at step 14, learning rate 0.00"
    ) as stopped:
        train(*poisoned, output, config)
    assert len(list((tmp_path / "m.run").glob("checkpoint_2*"))) == 1, (
        "tried again, it would have made another"
    )
    named = re.search(
        r"checkpoint of step 12 is kept there: model=(\S+) uses it", str(stopped.value)
    )
    assert named is not None
    assert np.isfinite(SentenceTransformer(named[1], device="cpu").encode("heart pain")).all()
    with pytest.raises(
        StorageError, match="unfinished training .*learning_rate: 0.005 there, 0.001 here"
    ):
        train(*poisoned, output, config.model_copy(update={"learning_rate": 1e-3}))


@pytest.mark.ray
def test_a_guide_counts_by_what_it_is_and_not_by_where_it_lies(
    work: Mined, undisturbed: tuple[Path, Checkpoint], tmp_path: Path
):
    def inputs(guide: str | Path | None) -> dict[str, Any]:
        loss = LossConfig(guide=str(guide) if guide else None)
        return fingerprint_inputs(*work, CONFIG.model_copy(update={"loss": loss}))

    shutil.copytree(work.model, tmp_path / "copy")
    assert inputs(work.model) == inputs(tmp_path / "copy") != inputs(undisturbed[0])
    assert inputs(None)["guide"] is None


@pytest.mark.ray
def test_what_cannot_train_is_refused_before_any_worker_starts(work: Mined, tmp_path: Path):
    with pytest.raises(ModelError, match="from 1 to 32"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"dimensions": (64,)}))
    with pytest.raises(
        DataError, match=r"mined from data set \w+, but data is other .*; mine again"
    ):
        manifest = replace(work.dataset.manifest, fingerprint="other")
        train(Dataset(work.dataset.uri, manifest), *work[1:], str(tmp_path), CONFIG)
    with pytest.raises(DataError, match="loss multiple_negatives reads them; mine some"):
        train(work.dataset, None, work.model, str(tmp_path), CONFIG)
    with pytest.raises(DataError, match="do not fill one batch of 4096"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"batch_size": 2048}))
    with pytest.raises(DataError, match="expected a metric at a depth from 1 to 1000"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"select_by": "f1"}))


@pytest.mark.ray
def test_a_trial_whose_workers_lose_what_they_hold_ends_and_takes_nothing_again(
    work: Mined, tmp_path: Path
):
    from ray.util import placement_group_table

    def take() -> None:
        while not (tmp_path / "m.run" / PLACEMENT_GROUP).exists():
            time.sleep(0.05)
        free_placement_group(str(tmp_path / "m.run"))

    taking = threading.Thread(target=take)
    taking.start()
    config = CONFIG.model_copy(update={"workers": 1, "epochs": 100})  # ten seconds' work
    with pytest.raises(WorkersLost):
        train(*work, str(tmp_path / "m"), config, Trial(Rungs((40,), {8: 1.0})))
    taking.join()
    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}
    # Where Ray has no dashboard, this one would stay, and wait for news of a controller that is
    # gone.
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            assert "PlacementGroupCleaner" not in " ".join(process.cmdline())
