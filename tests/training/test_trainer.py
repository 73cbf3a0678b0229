import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sentence_transformers import SentenceTransformer

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import Encoder
from medembed.errors import DataError, ModelError, TrainingError
from medembed.mining.config import MiningConfig
from medembed.mining.mine import Examples, mine
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import draw_dev_sample
from medembed.training.loop import count_steps
from medembed.training.trainer import Checkpoint, train

CONFIG = TrainingConfig(
    dimensions=(32, 8), select_dimension=8, batch_size=16, learning_rate=5e-3, checkpoint_steps=12, epochs=5,
    cpus_per_worker=1, dev_queries=20, dev_documents=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def work(
    pairs_file: Path, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: None
) -> tuple[Dataset, Examples, str]:
    root = tmp_path_factory.mktemp("work")
    encoding, model = EncodingConfig(workers=1), str(encoder_folder)
    dataset = prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(root / "data"))
    table = encode_corpus(dataset.corpus_files(), dataset.fingerprint, model, str(root / "t.lance"), encoding)
    return dataset, mine(dataset, table, model, str(root / "examples"), MiningConfig(margin=0), encoding), model


@pytest.fixture(scope="module")
def undisturbed(
    work: tuple[Dataset, Examples, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Checkpoint]:
    """(folder, checkpoint) of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed") / "m"
    return folder, train(*work, str(folder), CONFIG)


@contextmanager
def killed_after_a_checkpoint(root: Path) -> Iterator[list[int]]:
    """Kills the training worker with SIGKILL once its first checkpoint is reported; yields the pids killed."""
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            time.sleep(0.02)
            if list(root.glob("*.run-*/checkpoint_*")):
                for process in psutil.Process().children(recursive=True):
                    if "RayTrainWorker" in process.name() + " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    yield killed
    killer.join(timeout=10)


@pytest.mark.ray
def test_a_killed_worker_resumes_and_the_result_is_that_of_an_undisturbed_run(
    work: tuple[Dataset, Examples, str], undisturbed: tuple[Path, Checkpoint], tmp_path: Path
):
    with killed_after_a_checkpoint(tmp_path) as killed:
        resumed = train(*work, str(tmp_path / "b"), CONFIG)
    assert killed
    assert resumed.manifest["dev"] == undisturbed[1].manifest["dev"]
    assert resumed.fingerprint == undisturbed[1].fingerprint
    assert not [path for path in tmp_path.iterdir() if ".run-" in path.name]


@pytest.mark.ray
def test_the_checkpoint_is_a_stock_folder_without_pickles_or_training_texts(
    work: tuple[Dataset, Examples, str], undisturbed: tuple[Path, Checkpoint]
):
    examples, (folder, checkpoint) = work[1], undisturbed
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.suffix in (".pt", ".pth", ".bin", ".pkl")]
    texts = {row["query"] for row in examples.read()} | {row["positive"] for row in examples.read()}
    assert not [
        path.name for path in files if path.suffix in (".md", ".json") and any(t in path.read_text() for t in texts)
    ]
    probe = ["heart pain", "skin rash"]
    stock = SentenceTransformer(str(folder), device="cpu").encode(probe, normalize_embeddings=True)
    encoder = Encoder.load(checkpoint.uri, EncodingConfig())
    assert abs(encoder.encode(probe) - stock).max() < 1e-6
    assert encoder.dimensions == (32, 8)
    assert encoder.fingerprint == checkpoint.fingerprint != examples.manifest["encoder"]
    assert train(*work, str(folder), CONFIG) == checkpoint
    assert [path.name for path in folder.parent.iterdir()] == ["m"], "no state of the run is left beside it"


@pytest.mark.ray
def test_a_loss_that_is_not_finite_stops_training_and_says_where(work: tuple[Dataset, Examples, str], tmp_path: Path):
    config = CONFIG.model_copy(update={"temperature": 1e-45, "max_failures": 0})
    with pytest.raises(TrainingError, match="loss is nan at step 1; lower training.learning_rate"):
        train(*work, str(tmp_path / "m"), config)
    assert not (tmp_path / "m").exists()


@pytest.mark.ray
def test_what_cannot_train_is_refused_before_any_worker_starts(work: tuple[Dataset, Examples, str], tmp_path: Path):
    with pytest.raises(ModelError, match="from 1 to 32"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"dimensions": (64,)}))
    with pytest.raises(DataError, match="do not fill one batch of 4096"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"batch_size": 4096}))
    with pytest.raises(DataError, match="expected a metric at a depth from 1 to 1000"):
        train(*work, str(tmp_path), CONFIG.model_copy(update={"select_by": "f1"}))


@pytest.mark.ray
def test_the_dev_sample_is_fixed_and_holds_the_answers(work: tuple[Dataset, Examples, str]):
    sample = draw_dev_sample(work[0], CONFIG)
    assert sample == draw_dev_sample(work[0], CONFIG)
    named = {name for name, _ in sample.documents}
    assert all(set(grades) <= named for grades in sample.qrels.values())
    assert len(sample.documents) == 40


@pytest.mark.parametrize(("workers", "steps"), [(1, 15), (2, 6)])
def test_steps_are_whole_batches_over_all_workers(workers: int, steps: int):
    assert count_steps(90, CONFIG.model_copy(update={"workers": workers, "epochs": 3})) == steps
