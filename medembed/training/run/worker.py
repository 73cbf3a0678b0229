"""Train in one worker: load, go on from the latest checkpoint, and say how it ended."""

import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.data.dataset import open_dataset
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model
from medembed.encoding.model_layout import is_plain_transformer
from medembed.encoding.reading import ROLES, Role
from medembed.errors import MedEmbedError
from medembed.evaluation.sample import Sample, Vectors
from medembed.mining.examples import open_examples
from medembed.privacy import silence_telemetry
from medembed.training.config import TrainingConfig
from medembed.training.lesson import Lesson
from medembed.training.model.principal_axes import (
    Turned,
    draw_documents,
    find_start,
    place_start,
    turn_to_axes,
    write_start,
)
from medembed.training.model.projection import TEXTS, fit_projection
from medembed.training.model.vocabulary import VocabularyPlan
from medembed.training.record.progress_state import TrainingState, is_over, read_state, reseed
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.rows.batch_columns import Columns, TrainingTexts, known_pairs
from medembed.training.rows.columns import read_columns, read_languages
from medembed.training.rows.order import StepPlan
from medembed.training.run.build import Student, build_trainer, load_student, plan_run
from medembed.training.run.reporting import finish_reporting, prepare_reporting
from medembed.training.run.run_folder import check_claim
from medembed.training.trial import Rungs

if TYPE_CHECKING:
    import torch

    from medembed.training.rows.teacher_vectors import Taught
    from medembed.training.run.callbacks import Diverged, Reporter


def is_ray_shared() -> bool:
    """Return whether Ray outlives the job and watches for nodes that will be taken away."""
    return os.environ.get("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "1") not in ("0", "false", "False")


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs; folders are URIs that every node can reach."""

    model: str
    dataset: str
    examples: str | None
    dev: Sample
    elsewhere: RetentionSamples
    config: TrainingConfig
    run: str  # the run's folder, and the attempt that has claimed it
    attempt: str
    logs: str = ""  # where Weights & Biases and TensorBoard write
    progress: Any = None  # handle of a progress.Progress
    # where Ray watches for nodes that are about to be taken away
    is_ray_shared: bool = field(default_factory=is_ray_shared)
    is_turned: bool = False  # whether it starts at principal axes
    vocabulary: VocabularyPlan = field(default_factory=VocabularyPlan)
    rungs: Rungs | None = None  # of a search: when it is measured, and by what
    lesson: Lesson | None = None  # of a distillation


@dataclass(frozen=True)
class Refused:
    """Why no worker can train: the config and the model or the data do not fit."""

    error: MedEmbedError


def train_worker(work: Work) -> "Diverged | Refused | None":
    """Train from the latest reported checkpoint, or from the start.

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

    from medembed.training.run.private_ray_train import note_placement_group

    config = work.config
    context = ray.train.get_context()
    checkpoint = ray.train.get_checkpoint()
    if work.rungs is not None and context.get_world_rank() == 0:
        note_placement_group(work.run)
    set_seed(config.seed)
    device = ray.train.torch.get_device()
    taught = _read_lesson(work, device)
    student = _load_model_to_train(work, device, taught)
    prepare_reporting(config.report_to, work.logs)
    texts = _read_texts(work, student.encoder, taught)
    workers = context.get_world_size()

    with checkpoint.as_directory() if checkpoint else nullcontext() as path:
        folder = Path(path) if path else None
        state = read_state(folder) if folder else TrainingState(workers)
        plan = plan_run(texts, config, state, workers)
        if not plan.steps or is_over(state, config.patience):
            return None

        reporter = _make_reporter(work, student, state, plan, device)
        with tempfile.TemporaryDirectory(prefix="medembed-train-") as scratch:
            trainer = build_trainer(student, texts, config, plan, reporter, scratch)
            del texts, taught  # the trainer has them as Arrow: a third of the memory
            if folder is not None:
                reporter.restore = _restore(trainer, folder, state, workers)
            trainer.train(resume_from_checkpoint=str(folder) if folder else None)
            finish_reporting(config.report_to)
        return reporter.diverged


def _make_reporter(
    work: Work, student: Student, state: TrainingState, plan: StepPlan, device: "torch.device"
) -> "Reporter":
    from medembed.training.model.average import Average
    from medembed.training.record.scoring import Scorer, has_choice
    from medembed.training.run.callbacks import Reporter

    config = work.config
    steps = plan.done + plan.steps
    elsewhere = work.elsewhere if has_choice(config, steps, work.rungs) else RetentionSamples()
    average = Average(student.encoder.model, config.shares)
    return Reporter(
        Scorer(student.encoder, work.dev, elsewhere, config, device, average),
        config,
        state,
        plan,
        check=partial(check_claim, work.run, work.attempt),
        progress=work.progress,
        heeds_preemption=work.is_ray_shared,
        rungs=work.rungs,
    )


def _restore(trainer: Any, folder: Path, state: TrainingState, workers: int) -> Callable[[], None]:
    """Return what sets the random numbers of this rank to those of the checkpoint.

    A checkpoint of another number of workers has none for each rank: they get new ones.
    """
    if state.workers == workers:
        return partial(trainer.restore_random_numbers, folder)
    return partial(reseed, trainer.args.seed, state, trainer.args.process_index)


def _read_lesson(work: Work, device: "torch.device") -> "Taught | None":
    """Return what a teacher gives the texts; None for a loss without one."""
    from medembed.training.rows.teacher_vectors import read_lesson

    if not work.config.loss.traits.is_taught:
        return None
    return read_lesson(work.dataset, work.config, work.lesson, device)


def _load_model_to_train(work: Work, device: "torch.device", taught: "Taught | None") -> Student:
    """Return the model to train, with a matrix behind it and cut as the work says.

    Rank 0 writes the changed model, once. All agree or refuse.
    """
    from medembed.training.collective import agreed, name_from_rank_zero, world

    student = agreed(lambda: load_student(work.model, work.config), device)
    pieces = work.vocabulary.pieces
    if not work.is_turned and taught is None and pieces is None:
        return student
    start = name_from_rank_zero(lambda: find_start(work.run), device)
    if start is None:
        turned = _find_matrix(work, student.encoder, taught, device)
        if turned is None and pieces is None:
            return student
        start = place_start(work.run, work.attempt)

        def write() -> None:
            if world()[0] == 0:
                check_claim(work.run, work.attempt)
                write_start(work.model, turned, pieces, work.config, start)

        agreed(write, device)
    del student  # memory for the next one
    return agreed(lambda: load_student(start, work.config), device)


def _find_matrix(
    work: Work, encoder: Encoder, taught: "Taught | None", device: "torch.device"
) -> Turned | None:
    """Return what is to stand behind the model, by texts that all ranks encode in shares.

    That is what brings it nearest to a teacher, or the principal axes of documents.
    """
    from medembed.training.collective import encode_in_shares
    from medembed.training.rows.teacher_vectors import encode_by_role

    def encode(texts: list[str], role: Role) -> Vectors:
        return encode_in_shares(encoder.encode, texts, role, device)

    if taught is not None:
        sample = taught.sample(TEXTS)
        return Turned(fit_projection(encode_by_role(sample.texts, encode), sample.vectors))
    texts: list[str] = []
    if work.is_turned:
        texts = draw_documents(open_dataset(work.dataset), work.config.seed)
    return turn_to_axes(encode(texts, "document"), work.config.dimensions) if texts else None


def _read_texts(work: Work, encoder: Encoder, taught: "Taught | None") -> TrainingTexts:
    """Return what the trainer and its loss read; all ranks agree or refuse."""
    from medembed.training.collective import agreed

    if taught is None:
        return agreed(lambda: _read_rows(work), encoder.model.device)
    prompts = {role: encoder.prompt(role) for role in ROLES}
    columns: Columns = {"text": [prompts[text.role] + text.text for text in taught.texts]}
    columns["label"] = list(range(len(taught.texts)))
    return TrainingTexts(columns, vectors=taught.vectors)


def _read_rows(work: Work) -> TrainingTexts:
    loss = work.config.loss
    dataset = open_dataset(work.dataset)
    examples = open_examples(work.examples).read() if work.examples else []
    columns = read_columns(loss.name, dataset, examples)
    if not loss.traits.ranks:
        return TrainingTexts(columns)
    known = known_pairs(examples, dataset.qrels())
    languages = read_languages(dataset, examples) if work.config.batches == "language" else ()
    if not loss.hold or is_plain_transformer(fetch_model(work.model)):
        return TrainingTexts(columns, known, languages=languages)
    documents = draw_documents(dataset, work.config.seed)
    return TrainingTexts(columns, known, documents, languages)
