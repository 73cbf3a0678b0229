"""What one training worker does: load, train from the latest checkpoint, and say how it ended."""

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from medembed.data.dataset import open_dataset
from medembed.encoding.encoder import Encoder
from medembed.errors import MedEmbedError
from medembed.mining.examples import open_examples
from medembed.privacy import silence_telemetry
from medembed.training.adapters import Adapter
from medembed.training.batches import Columns, known_pairs
from medembed.training.collective import AllRefused, agreed, encode_in_shares, name_from_rank_zero, world
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import DevSample, Vectors
from medembed.training.loop import build_trainer, load_student, plan_run
from medembed.training.loss_config import RANKING
from medembed.training.material import make_material
from medembed.training.principal import draw_documents, find_start, place_start, write_start
from medembed.training.reporting import prepare_reporting
from medembed.training.run import check_claim
from medembed.training.state import TrainingState, is_over, read_state, reseed

if TYPE_CHECKING:
    from medembed.training.callbacks import Diverged


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs; places are URIs that every node can reach."""

    model: str
    dataset: str
    examples: str | None
    sample: DevSample
    config: TrainingConfig
    run: str  # the run's folder, and the attempt that has claimed it
    attempt: str
    logs: str = ""  # where Weights & Biases and TensorBoard write
    progress: Any = None  # handle of a progress.Report
    heeds_preemption: bool = False  # whether Ray watches for nodes that are about to be taken away
    turns: bool = False  # whether it starts at principal axes


@dataclass(frozen=True)
class Refused:
    """Why no worker can train: the config and the model or the data do not fit."""

    error: MedEmbedError


def train_worker(work: Work) -> "Diverged | Refused | None":
    """Trains from the latest reported checkpoint, or from the start; reports every `checkpoint_steps`.

    Returns where the loss was no number, or what all ranks refuse: raised, it would be tried `max_failures` times
    again.
    """
    try:
        return _train(work)
    except AllRefused as refused:
        return Refused(refused.error)


def _train(work: Work) -> "Diverged | None":
    silence_telemetry()
    import ray.train
    import ray.train.torch
    from transformers import set_seed

    from medembed.training.callbacks import Reporter

    config, context, checkpoint = work.config, ray.train.get_context(), ray.train.get_checkpoint()
    set_seed(config.seed)
    encoder, adapter = _load(work, ray.train.torch.get_device())
    prepare_reporting(config.report_to, work.logs)
    columns, known = agreed(lambda: _read_columns(work, encoder), encoder.model.device)
    workers = context.get_world_size()
    with checkpoint.as_directory() if checkpoint else nullcontext() as place:
        folder = Path(place) if place else None
        state = read_state(folder) if folder else TrainingState(workers)
        plan = plan_run(columns, config, state, workers)
        if not plan.steps or is_over(state, config.patience):
            return None
        reporter = Reporter(
            encoder,
            work.sample,
            config,
            state,
            plan,
            check=partial(check_claim, work.run, work.attempt),
            progress=work.progress,
            heeds_preemption=work.heeds_preemption,
        )
        with tempfile.TemporaryDirectory(prefix="medembed-train-") as scratch:
            trainer = build_trainer(encoder, columns, config, plan, reporter, scratch, adapter, known)
            del columns  # the trainer has them as Arrow: a third of the memory
            reporter.restore = _restore(trainer, folder, state, workers) if folder else None
            trainer.train(resume_from_checkpoint=str(folder) if folder else None)
        return reporter.diverged


def _load(work: Work, device: torch.device) -> tuple[Encoder, Adapter | None]:
    """The model to train, turned to principal axes if the work says so: all ranks encode, rank 0 writes it, once."""
    encoder, adapter = agreed(lambda: load_student(work.model, work.config), device)
    if not work.turns:
        return encoder, adapter
    start = name_from_rank_zero(lambda: find_start(work.run), device)
    if start is None:
        texts = draw_documents(open_dataset(work.dataset), work.config.seed)
        if not texts:
            return encoder, adapter
        start = place_start(work.run, work.attempt)
        vectors = encode_in_shares(encoder.encode, texts, "document", device)
        agreed(lambda: _write_start(work, vectors, start), device)
    del encoder, adapter  # memory for the next one
    return agreed(lambda: load_student(start, work.config), device)


def _write_start(work: Work, vectors: Vectors, start: str) -> None:
    if world()[0] == 0:
        check_claim(work.run, work.attempt)
        write_start(work.model, vectors, work.config, start)


def _read_columns(work: Work, encoder: Encoder) -> tuple[Columns, list[tuple[int, int]]]:
    """(what the trainer reads, the positives that a ranking loss must know)."""
    dataset = open_dataset(work.dataset)
    examples = open_examples(work.examples).read() if work.examples else []
    prompts = encoder.prompt("query"), encoder.prompt("document")
    ranks = work.config.loss.name in RANKING
    return make_material(work.config, dataset, examples, prompts), known_pairs(
        examples, dataset.qrels()
    ) if ranks else []


def _restore(trainer: Any, folder: Path, state: TrainingState, workers: int) -> Callable[[], None]:
    """Sets the random numbers to those of this rank when the checkpoint was made."""
    if state.workers == workers:
        return lambda: trainer._load_rng_state(str(folder))
    return lambda: reseed(trainer.args.seed, state, trainer.args.process_index)
