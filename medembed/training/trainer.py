"""Examples -> the best checkpoint: Ray Train around the loop, then a stock folder that holds no pickle."""

import json
import logging
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.model_files import CARD, fetch_model, model_fingerprint
from medembed.errors import DataError, TrainingError
from medembed.matryoshka import check_dimensions
from medembed.mining.examples import Examples
from medembed.progress import watch
from medembed.schema import fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import draw_dev_sample
from medembed.training.loop import Work, count_steps, train_worker

logger = logging.getLogger(__name__)

KIND = "checkpoint"
# What a trainer keeps beside the model to resume from: pickles, and of no use to whoever loads it.
_TRAINING_STATE = ("optimizer", "scheduler", "rng_state", "scaler", "trainer_state", "training_args", ".metadata")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on storage: a stock sentence-transformers folder with our card and a manifest."""

    uri: str
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])


def train(dataset: Dataset, examples: Examples, model: str, output: str, config: TrainingConfig) -> Checkpoint:
    """The checkpoint with the best dev score at `output`; found again if nothing changed.

    A lost worker restarts from the last reported checkpoint, and so
    does the same call after the driver was lost: unfinished state lies beside `output` until the end.
    Raises TrainingError when failures exceed `max_failures`, DataError if no step would be made.
    """
    check_dimensions(config.dimensions, int(examples.manifest["width"]))
    examples.check_lists()
    parent = model_fingerprint(fetch_model(model))
    key = fingerprint([dataset.fingerprint, examples.fingerprint, parent, config.model_dump()])
    output = place(output, key)
    manifest = find_output(output, KIND, key)
    if manifest is not None:
        logger.info("checkpoint %s: unchanged, reused", manifest["fingerprint"])
        return Checkpoint(output, manifest)
    steps = _count_steps(examples, config)
    draw_dev_sample(dataset, config)  # fails here, in a second, rather than in a worker
    work = Work(model, dataset.uri, examples.uri, config)
    run = f"{output.rstrip('/')}.run-{key}"
    with watch(steps, "train", "steps") as progress:
        best, metrics = _fit(replace(work, progress=progress), run)
    with tempfile.TemporaryDirectory() as folder:
        _download_model(best, Path(folder))
        entries = {
            "fingerprint": model_fingerprint(Path(folder)),
            "parent": {"model": model, "fingerprint": parent},
            "dataset": dataset.fingerprint,
            "examples": examples.fingerprint,
            "dimensions": sorted(config.dimensions, reverse=True),
            "dev": metrics,
        }
        (Path(folder) / CARD).write_text(json.dumps(entries, indent=2))
        (Path(folder) / "README.md").write_text(_model_card(entries, config))
        checkpoint = _publish(Path(folder), output, key, entries, config)
    storage.delete_folder(run)
    return checkpoint


def _count_steps(examples: Examples, config: TrainingConfig) -> int:
    """Logs what is about to run; raises DataError if the examples do not fill one batch."""
    count = int(examples.manifest["counts"]["examples"])
    steps, together = count_steps(count, config), config.batch_size * config.workers
    if steps == 0:
        raise DataError(
            f"{examples.uri}: {count} examples do not fill one batch of {together}; lower training.batch_size."
        )
    mined = int(examples.manifest["config"]["negatives"])
    logger.info("train: %d examples, %d steps of %d on %d workers", count, steps, together, config.workers)
    logger.info(
        "       up to %d negatives per query, dimensions %s", together * (1 + mined) - 1, list(config.dimensions)
    )
    return steps


def _fit(work: Work, run: str) -> tuple[Any, dict[str, float]]:
    """(best Ray Train checkpoint, its metrics); continues the run if it was begun before."""
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    parent, _, name = run.rpartition("/")
    config = work.config
    trainer = TorchTrainer(
        partial(train_worker, work),
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.workers, use_gpu=config.use_gpu, resources_per_worker={"CPU": config.cpus_per_worker}
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage.absolute(parent or "."),
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures, controller_failure_limit=2),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute="score", checkpoint_score_order="max"
            ),
        ),
    )
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingError(f"training stopped: {_root_cause(error)}") from error
    if not result.best_checkpoints:
        raise TrainingError(f"{run}: training ended without a checkpoint; raise training.epochs.")
    best, metrics = max(result.best_checkpoints, key=lambda entry: (entry[1]["score"], -entry[1]["step"]))
    return best, {name: value for name, value in metrics.items() if name in ("step", "score") or "/" in name}


def _download_model(best: Any, folder: Path) -> None:
    pafs.copy_files(best.path, str(folder), source_filesystem=best.filesystem)
    for path in folder.iterdir():
        if path.name.startswith(_TRAINING_STATE):
            path.unlink()


def _publish(folder: Path, output: str, key: str, entries: dict[str, Any], config: TrainingConfig) -> Checkpoint:
    with NewOutput(output, KIND, key) as target:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target.write_bytes(str(path.relative_to(folder)), path.read_bytes())
        return Checkpoint(output, target.commit(entries | {"config": config.model_dump()}))


def _model_card(entries: dict[str, Any], config: TrainingConfig) -> str:
    dimensions = ", ".join(map(str, entries["dimensions"]))
    return (
        "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\n---\n"
        f"# Embedding model {entries['fingerprint']}\n\n"
        f"Fine-tuned by MedEmbed from encoder {entries['parent']['fingerprint']} on data set {entries['dataset']} "
        f"(examples {entries['examples']}). Matryoshka dimensions: {dimensions}. Truncate first, then normalise:\n\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n"
        f'model = SentenceTransformer("<this folder>", truncate_dim={entries["dimensions"][-1]})\n'
        "embeddings = model.encode(texts, normalize_embeddings=True)\n```\n\n"
        f"Chosen by {config.select_by} at {config.select_dimension} dimensions on a dev sample: "
        f"{entries['dev']['score']:.4f} at step {entries['dev']['step']}.\n"
    )


def _root_cause(error: BaseException) -> str:
    """The innermost message of a training failure: a worker's error, if there is one."""
    failures = getattr(error, "worker_failures", None) or {}
    inner: Any = next(iter(failures.values()), error)
    while getattr(inner, "cause", None) or inner.__cause__:
        inner = getattr(inner, "cause", None) or inner.__cause__
    lines = [line for line in str(inner).splitlines() if line.strip()]
    return lines[-1] if lines else type(inner).__name__
