"""What one training worker does: load, train from the latest checkpoint, and say how it ended."""

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.errors import MedEmbedError
from medembed.privacy import silence_telemetry
from medembed.training.config import TrainingConfig
from medembed.training.record.progress_state import TrainingState, is_over, read_state, reseed
from medembed.training.record.samples import Samples
from medembed.training.run.build import build_trainer, plan_run
from medembed.training.run.reporting import finish_reporting, prepare_reporting
from medembed.training.run.run_folder import check_claim
from medembed.training.trial import Rungs

if TYPE_CHECKING:
    from medembed.training.run.callbacks import Diverged


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs; places are URIs that every node can reach."""

    model: str
    dataset: str
    examples: str | None
    samples: Samples
    config: TrainingConfig
    run: str  # the run's folder, and the attempt that has claimed it
    attempt: str
    logs: str = ""  # where Weights & Biases and TensorBoard write
    progress: Any = None  # handle of a progress.Report
    is_ray_shared: bool = False  # where Ray watches for nodes that are about to be taken away
    turns: bool = False  # whether it starts at principal axes
    rungs: Rungs | None = None  # of a search: when it is measured, and by what


@dataclass(frozen=True)
class Refused:
    """Why no worker can train: the config and the model or the data do not fit."""

    error: MedEmbedError


def train_worker(work: Work) -> "Diverged | Refused | None":
    """Trains from the latest reported checkpoint, or from the start; reports every
    `checkpoint_steps`.

    Returns where the loss was no number, or what all ranks refuse: raised, it would be tried
    `max_failures` times again.
    """
    silence_telemetry()
    from medembed.training.collective import AllRefused

    try:
        return _train(work)
    except AllRefused as refused:
        return Refused(refused.error)


def _train(work: Work) -> "Diverged | None":
    import ray.train
    import ray.train.torch
    from transformers import set_seed

    from medembed.training.model.average import Average
    from medembed.training.record.scoring import Scorer
    from medembed.training.run.callbacks import Reporter
    from medembed.training.run.placement_groups import note_held
    from medembed.training.run.readying import load_model_to_train, read_texts

    config, context, checkpoint = work.config, ray.train.get_context(), ray.train.get_checkpoint()
    if work.rungs is not None and context.get_world_rank() == 0:
        note_held(work.run)
    set_seed(config.seed)
    device = ray.train.torch.get_device()
    encoder, adapter = load_model_to_train(work, device)
    prepare_reporting(config.report_to, work.logs)
    texts = read_texts(work, encoder)
    workers = context.get_world_size()
    with checkpoint.as_directory() if checkpoint else nullcontext() as place:
        folder = Path(place) if place else None
        state = read_state(folder) if folder else TrainingState(workers)
        plan = plan_run(texts.columns, config, state, workers)
        if not plan.steps or is_over(state, config.patience):
            return None
        reporter = Reporter(
            Scorer(encoder, work.samples, config, device, Average(encoder.model, config.shares)),
            config,
            state,
            plan,
            check=partial(check_claim, work.run, work.attempt),
            progress=work.progress,
            heeds_preemption=work.is_ray_shared,
            rungs=work.rungs,
        )
        with tempfile.TemporaryDirectory(prefix="medembed-train-") as scratch:
            trainer = build_trainer(encoder, texts, config, plan, reporter, scratch, adapter)
            del texts  # the trainer has them as Arrow: a third of the memory
            reporter.restore = _restore(trainer, folder, state, workers) if folder else None
            trainer.train(resume_from_checkpoint=str(folder) if folder else None)
            finish_reporting(config.report_to)
        return reporter.diverged


def _restore(trainer: Any, folder: Path, state: TrainingState, workers: int) -> Callable[[], None]:
    """Sets the random numbers to those of this rank when the checkpoint was made."""
    if state.workers == workers:
        return lambda: trainer._load_rng_state(str(folder))
    return lambda: reseed(trainer.args.seed, state, trainer.args.process_index)
