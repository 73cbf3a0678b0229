"""Make a few real training steps on one worker, and measure their cost."""

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medembed.language import tr
from medembed.preflight.memory import peak_memory
from medembed.privacy import silence_telemetry
from medembed.training.config import TrainingConfig
from medembed.training.rows.batch_columns import TrainingTexts, to_columns
from medembed.training.rows.order import StepPlan
from medembed.training.run.build import build_trainer, load_student, read_together

logger = logging.getLogger(__name__)

# after which no further step begins: minutes a step are told well enough by one or two
_LONG_ENOUGH_S = 60.0


@dataclass(frozen=True)
class TrainCost:
    """What a step costs one worker; no time where the batch did not fit in memory."""

    seconds_per_step: float | None
    memory_bytes: int
    capacity_bytes: int


def probe_training(
    examples: Sequence[dict[str, Any]], model: str, steps: int, config: TrainingConfig
) -> TrainCost:
    """Time `steps` steps after one that warms up, on one worker as training would have it.

    Fewer where steps are slow, and examples are repeated where they do not fill the batches.
    Exchange between workers is not in the time.
    """
    import ray

    logger.info(
        tr(
            "train: timing {steps} steps of {examples} examples",
            steps=steps,
            examples=config.batch_size * config.accumulation_steps,
        )
    )
    needed = config.batch_size * config.accumulation_steps * (steps + 1)
    filled = [examples[number % len(examples)] for number in range(needed)]
    task = ray.remote(num_cpus=config.cpus_per_worker, num_gpus=int(config.use_gpu), max_retries=0)(
        time_steps
    )
    try:
        cost: TrainCost = ray.get(task.remote(filled, model, steps, config))
    # the system ended the process
    except (ray.exceptions.OutOfMemoryError, ray.exceptions.WorkerCrashedError):
        return TrainCost(None, 0, 0)
    return cost


def time_steps(
    examples: Sequence[dict[str, Any]], model: str, steps: int, config: TrainingConfig
) -> TrainCost:
    """Train for so many steps on this machine and measure them."""
    silence_telemetry()
    import torch
    from transformers import TrainerCallback, set_seed

    device = torch.device("cuda" if config.use_gpu else "cpu")
    marks: list[float] = []

    class Clock(TrainerCallback):
        """Notes when training begins and when each step is over, on the GPU too."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if config.use_gpu:
                torch.cuda.synchronize()
            marks.append(time.perf_counter())
            control.should_training_stop |= marks[-1] - marks[0] > _LONG_ENOUGH_S

    set_seed(config.seed)
    student = load_student(model, config)
    # Joined texts of these documents cost as much as those of others.
    texts = TrainingTexts(to_columns(examples), documents=[row["positive"] for row in examples])
    try:
        with tempfile.TemporaryDirectory(prefix="medembed-preflight-") as scratch:
            plan = StepPlan(read_together(len(examples), config, 1), steps + 1, steps + 1)
            build_trainer(student, texts, config, plan, Clock(), scratch).train()
    except torch.OutOfMemoryError:
        return TrainCost(None, *peak_memory(device))
    return TrainCost(seconds_per_step(marks), *peak_memory(device))


def seconds_per_step(marks: Sequence[float]) -> float:
    """Return the mean of the steps between these times; the first is when training began.

    The first step warms up and does not count, unless it is the only one.
    """
    counted = marks[1:] if len(marks) > 2 else marks
    return (counted[-1] - counted[0]) / (len(counted) - 1)
