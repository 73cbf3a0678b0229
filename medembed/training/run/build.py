"""What a training makes of examples and config: a plan of steps, and the trainer that takes
them.
"""

from functools import partial
from typing import Any

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model
from medembed.matryoshka import check_dimensions
from medembed.training.config import TrainingConfig
from medembed.training.model.adapters import Adapter, load_for_training
from medembed.training.model.parameters import freeze
from medembed.training.model.prompts import roles_of, set_prompts
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import Columns, TrainingTexts
from medembed.training.rows.grouping import count_paired, group_by_length, pair_by_class
from medembed.training.rows.order import Arrange, Plan, Position, Stream
from medembed.training.run.arguments import training_arguments


def count_steps(examples: int, config: TrainingConfig) -> int:
    """Optimiser steps of a run that always has its most workers."""
    return read_together(examples, config, config.most_workers).steps_left(
        Position(), config.epochs
    )


def read_together(
    examples: int, config: TrainingConfig, workers: int, arrange: Arrange | None = None
) -> Stream:
    """How so many workers read the examples: a step's rows are those of all its accumulated
    batches.
    """
    return Stream(
        examples, config.batch_size * workers * config.accumulation_steps, config.seed, arrange
    )


def arrange_rows(columns: Columns, config: TrainingConfig) -> Arrange | None:
    """What puts the rows of these columns in order where the loss or the config groups them.

    It knows nothing of the workers at hand, so that a pass is the same however many there are.
    """
    if config.loss.name == "batch_hard":
        return partial(pair_by_class, columns["label"])
    if not config.length_grouped:
        return None
    texts = [column for name, column in columns.items() if name != "label"]
    lengths = [sum(map(len, row)) for row in zip(*texts, strict=True)]
    return partial(
        group_by_length, lengths, read_together(len(lengths), config, config.most_workers).rows
    )


def plan_run(columns: Columns, config: TrainingConfig, state: TrainingState, workers: int) -> Plan:
    """What so many workers have left to do after `state`."""
    labels = columns["label"]
    examples = count_paired(labels) if config.loss.name == "batch_hard" else len(labels)
    stream = read_together(examples, config, workers, arrange_rows(columns, config))
    return Plan(
        stream,
        stream.steps_left(state.position, config.epochs),
        count_steps(examples, config),
        start=state.position,
        done=state.step,
        scheduled=state.scheduled,
        pace=stream.rows / read_together(examples, config, config.most_workers).rows,
    )


def load_student(model: str, config: TrainingConfig) -> tuple[Encoder, Adapter | None]:
    """(the encoder that is trained, its adapter if the config asks for one), frozen and prompted as
    the config says.
    """
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    device = "cuda" if config.use_gpu else "cpu"
    loaded, adapter = load_for_training(fetch_model(model), encoding, config.adapter, device)
    check_dimensions(config.dimensions, int(loaded.get_embedding_dimension() or 0))
    set_prompts(loaded, config.prompts)
    freeze(loaded, config.freeze)
    return Encoder(loaded, encoding), adapter


def build_trainer(
    encoder: Encoder,
    texts: TrainingTexts,
    config: TrainingConfig,
    plan: Plan,
    callback: Any,
    scratch: str,
    adapter: Adapter | None = None,
) -> Any:
    """A SentenceTransformerTrainer that takes the plan's steps on the encoder's model.

    Without known pairs a ranking loss knows the positives that the columns name; without documents
    it holds none.
    """
    from datasets import Dataset as RowDataset

    from medembed.training.losses.make import make_loss
    from medembed.training.run.padding import count_padding
    from medembed.training.run.sentence_transformer_trainer import PrivateTrainer

    columns = texts.columns
    trainer = PrivateTrainer(
        plan=plan,
        adapter=adapter,
        model=encoder.model,
        args=training_arguments(
            config, plan.done + plan.steps, scratch, encoder, roles_of(columns, config.loss.name)
        ),
        train_dataset=RowDataset.from_dict(columns),
        loss=make_loss(config, encoder.model, texts.known or columns["label"], texts.documents),
        callbacks=[callback],
    )
    trainer.data_collator.max_length = config.max_length
    count_padding(trainer)
    return trainer
