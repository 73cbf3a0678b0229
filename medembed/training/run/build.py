"""Make a plan of steps from examples and config, and the trainer that takes them."""

from functools import partial
from typing import Any, NamedTuple

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model
from medembed.matryoshka import check_dimensions
from medembed.training.config import TrainingConfig
from medembed.training.model.adapters import Adapter, load_for_training
from medembed.training.model.prompts import roles_of, set_prompts
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import TrainingTexts
from medembed.training.rows.order import (
    Arrange,
    Position,
    StepPlan,
    Stream,
    count_paired,
    group_by_length,
    keep_together,
    pair_by_class,
)
from medembed.training.run.arguments import training_arguments


class Student(NamedTuple):
    """The encoder that is trained, and its adapter if the config asks for one."""

    encoder: Encoder
    adapter: Adapter | None


def count_steps(examples: int, config: TrainingConfig) -> int:
    """Return the optimiser steps of a run that always has its most workers."""
    stream = read_together(examples, config, config.most_workers)
    return stream.steps_left(Position(), config.epochs)


def read_together(
    examples: int, config: TrainingConfig, workers: int, arrange: Arrange | None = None
) -> Stream:
    """Return how so many workers read the examples.

    A step's rows are those of all its accumulated batches.
    """
    rows = config.batch_size * workers * config.accumulation_steps
    return Stream(examples, rows, config.seed, arrange)


def plan_run(
    texts: TrainingTexts, config: TrainingConfig, state: TrainingState, workers: int
) -> StepPlan:
    """Return what is left after `state` for so many workers.

    Passes have the same order however many workers there are.
    """
    labels = texts.columns["label"]
    is_paired = config.loss.traits.is_paired
    examples = count_paired(labels) if is_paired else len(labels)
    arrange: Arrange | None = partial(pair_by_class, labels) if is_paired else None
    together = config.batch_size * config.most_workers
    if config.loss.traits.is_taught:
        lengths = list(map(len, texts.columns["text"]))
        arrange = partial(group_by_length, lengths, together)
    if texts.languages:
        arrange = partial(keep_together, texts.languages, together)
    stream = read_together(examples, config, workers, arrange)
    return StepPlan(
        stream,
        stream.steps_left(state.position, config.epochs),
        count_steps(examples, config),
        start=state.position,
        done=state.step,
        scheduled=state.scheduled,
        pace=stream.rows / read_together(examples, config, config.most_workers).rows,
    )


def load_student(model: str, config: TrainingConfig) -> Student:
    """Load the model that is trained, with the prompts and the adapter that the config names."""
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    device = "cuda" if config.use_gpu else "cpu"
    loaded, adapter = load_for_training(fetch_model(model), encoding, config.adapter, device)
    check_dimensions(config.dimensions, int(loaded.get_embedding_dimension() or 0))
    set_prompts(loaded, config.prompts)
    if config.freeze_words:
        loaded[0].model.get_input_embeddings().requires_grad_(False)
    if config.loss.traits.is_taught:
        _switch_dropout_off(loaded)
    return Student(Encoder(loaded, encoding), adapter)


def _switch_dropout_off(model: Any) -> None:
    """Let no module drop values in training: what a teacher gives a text has no noise, and a small
    student needs all that it has to follow. Its saved config stays as it is.
    """
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0


def build_trainer(
    student: Student,
    texts: TrainingTexts,
    config: TrainingConfig,
    plan: StepPlan,
    callback: Any,
    scratch: str,
) -> Any:
    """Return a SentenceTransformerTrainer that takes the plan's steps on the student.

    Without known pairs the ranking loss knows the positives that the columns name; without
    documents it holds none.
    """
    from datasets import Dataset as RowDataset

    from medembed.training.losses.by_name import make_loss
    from medembed.training.run.sentence_transformer_trainer import PlanTrainer

    columns = texts.columns
    model = student.encoder.model
    roles = {} if config.loss.traits.is_taught else roles_of(columns)
    return PlanTrainer(
        plan=plan,
        adapter=student.adapter,
        max_length=config.max_length,
        model=model,
        args=training_arguments(config, plan.done + plan.steps, scratch, student.encoder, roles),
        train_dataset=RowDataset.from_dict(columns),
        loss=make_loss(
            config, model, texts.known or columns["label"], texts.documents, texts.vectors
        ),
        callbacks=[callback],
    )
