"""Train a tiny model in this process: what one worker does, without Ray."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, set_seed

from medembed.training.config import TrainingConfig
from medembed.training.rows.batch_columns import TrainingTexts, to_columns
from medembed.training.rows.order import Position, StepPlan
from medembed.training.run.build import build_trainer, load_student, read_together
from tests.tiny import SIGNS, SUBJECTS

CONFIG = TrainingConfig(
    dimensions=(32, 8),
    select_dimension=8,
    batch_size=8,
    learning_rate=1e-2,
    warmup=0,
    cpus_per_worker=1,
)


def make_examples(count: int = 48) -> list[dict[str, Any]]:
    """Rows as mining writes them, with one negative each and texts of different length."""
    rows = []
    for number in range(count):
        subject = SUBJECTS[number % 12]
        sign = SIGNS[number % 10]
        negative = f"{SIGNS[(number + 5) % 10]} that affects the {SUBJECTS[(number + 5) % 12]}"
        rows.append(
            {
                "query_id": f"q{number}",
                "query": f"my {subject} {sign}" + " today" * (number % 7),
                "positive_id": f"d{number}",
                "positive": f"{sign} that affects the {subject}" + ", grade two" * (number % 5),
                "negative_ids": [f"d{(number + 5) % count}"],
                "negatives": [negative],
            }
        )
    return rows


class SaveAt(TrainerCallback):
    """Saves a checkpoint after these steps; restores the random numbers of another one."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps
        self.restore: Callable[[], None] | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.restore is not None:
            self.restore()
            self.restore = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save |= state.global_step in self.steps


def start(
    folder: Path,
    config: TrainingConfig,
    scratch: Path,
    *,
    steps: int = 6,
    save_at: tuple[int, ...] = (),
    done: int = 0,
) -> Any:
    """A trainer that has not begun; its model is `trainer.model`, its checkpoints lie in `scratch`.

    `steps` are those of the whole run, of which `done` were made by another trainer.
    """
    set_seed(config.seed)
    student = load_student(str(folder), config)
    columns = to_columns(make_examples())
    stream = read_together(len(columns["label"]), config, 1)
    position = Position()
    for _, reached in itertools.islice(stream.walk(Position()), done):
        position = reached
    plan = StepPlan(stream, steps - done, steps, position, done, done)
    callback = SaveAt(*save_at)
    return build_trainer(student, TrainingTexts(columns), config, plan, callback, str(scratch))


def resume(trainer: Any, checkpoint: Path) -> None:
    """Train on from a checkpoint, with its random numbers."""
    (callback,) = [each for each in trainer.callback_handler.callbacks if isinstance(each, SaveAt)]
    callback.restore = lambda: trainer.restore_random_numbers(checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint))


def logged(trainer: Any, name: str) -> list[float]:
    """What the trainer logged of each step under a name."""
    return [entry[name] for entry in trainer.state.log_history if "loss" in entry]
