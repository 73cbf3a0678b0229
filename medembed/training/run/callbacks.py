"""Act between training steps: report progress, make checkpoints, measure them, and stop."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
from transformers import TrainerCallback

from medembed.encoding.model_files import save_card
from medembed.language import to_translate, tr
from medembed.lineage import CheckpointManifest
from medembed.training.collective import world
from medembed.training.config import TrainingConfig
from medembed.training.record.dev_sample import write_dev_values
from medembed.training.record.history import record_dev
from medembed.training.record.progress_state import TrainingState, after_evaluation, is_over
from medembed.training.record.scoring import Scorer
from medembed.training.rows.order import StepPlan
from medembed.training.trial import Rungs


@dataclass(frozen=True)
class Diverged:
    """Where a training's loss or gradient was no number any more."""

    step: int
    what: str  # "loss" or "gradient norm"
    value: float
    learning_rate: float


class Reporter(TrainerCallback):
    """Hands checkpoints to Ray Train and decides, alike on all ranks, when to stop.

    A checkpoint has everything to resume from. `restore` is called right before the first forward
    pass, when the first batch has been read: reading draws random numbers, which must not count
    twice. `check` raises if another process has claimed the run meanwhile.
    """

    def __init__(
        self,
        scorer: Scorer,
        config: TrainingConfig,
        state: TrainingState,
        plan: StepPlan,
        *,
        check: Callable[[], None],
        progress: Any = None,
        heeds_preemption: bool = False,
        rungs: Rungs | None = None,
    ) -> None:
        self.scorer = scorer
        self.config = config
        self.state = state
        self.plan = plan
        self.check = check
        self.progress = progress
        self.heeds_preemption = heeds_preemption
        self.rungs = rungs
        self.restore: Callable[[], None] | None = None
        self.diverged: Diverged | None = None
        self.scores: dict[int, float] = {}  # by step
        self._leaving: frozenset[str] = frozenset()  # nodes that were said to leave
        self._walk = plan.stream.walk(plan.start)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.restore is not None:
            self.restore()
            self.restore = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.state = dataclasses.replace(
            self.state,
            step=state.global_step,
            scheduled=self.plan.scheduled_at(state.global_step),
            position=next(self._walk)[1],
        )
        if self._is_time_to_measure(state) or self._must_leave():
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Stop at a loss or gradient that is no number: tried again, it would end the same."""
        watched = {"loss": to_translate("loss"), "grad_norm": to_translate("gradient norm")}
        if args.fp16:  # a gradient that overflows is skipped, and its scale halved
            del watched["grad_norm"]
        for name, what in watched.items():
            if not math.isfinite(logs.get(name, 0.0)):
                self.diverged = Diverged(
                    state.global_step, what, logs[name], logs.get("learning_rate", math.nan)
                )
                control.should_training_stop = True
                control.should_save = False
                return
        if "loss" in logs and self.progress is not None and world()[0] == 0:
            done = self.state.scheduled * self.plan.stream.rows / self.plan.pace
            self.progress.write.remote(round(done), self._note(state, logs))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        metrics = self._measure(state, control) if self._is_time_to_measure(state) else {}
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if world()[0] == 0:
            self.check()
            self.state.write(folder)
            dimensions = tuple(sorted(self.config.dimensions, reverse=True))
            save_card(folder, CheckpointManifest(dimensions=dimensions))
            record_dev(state, folder, metrics)
            if metrics:
                write_dev_values(folder, self.scorer.dev_values)
        checkpoint = ray.train.Checkpoint.from_directory(str(folder))
        report = {"step": state.global_step} | metrics
        ray.train.report(report, checkpoint, delete_local_checkpoint_after_upload=True)

    def _is_time_to_measure(self, state: Any) -> bool:
        step: int = state.global_step
        if self.rungs is not None:
            return step in self.rungs.steps(self.plan.stream.rows) or step == state.max_steps
        return step % self.config.checkpoint_steps == 0 or step == state.max_steps

    def _must_leave(self) -> bool:
        """Return whether Ray says anew that a node with workers is about to be taken away."""
        # the same answer on all ranks
        notice = ray.train.get_preemption_info() if self.heeds_preemption else None
        nodes = frozenset(notice.preempted_node_ids) if notice else frozenset()
        is_news = not nodes <= self._leaving
        self._leaving |= nodes
        return is_news

    def _measure(self, state: Any, control: Any) -> dict[str, float]:
        """Return the metrics of the samples, encoded by all ranks; stop once they gain nothing."""
        metrics = self.scorer.measure(self.rungs)
        self.scores[state.global_step] = metrics["score"]
        self.state = after_evaluation(self.state, metrics["score"])
        control.should_training_stop |= is_over(self.state, self.config.patience)
        return metrics

    def _note(self, state: Any, logs: Mapping[str, Any]) -> str:
        losses = []
        for name, value in logs.items():
            if name.startswith("loss/"):
                losses.append(f"{name.removeprefix('loss/')}: {value:.2f}")
        by_dimension = f" ({', '.join(losses)})" if losses else ""
        note = tr(
            "step {step} of {steps}, loss {loss:.2f}{by_dimension}",
            step=state.global_step,
            steps=state.max_steps,
            loss=logs["loss"],
            by_dimension=by_dimension,
        )
        if not self.scores:
            return note
        last = max(self.scores)
        return tr(
            "{note}, dev {score:.3f} at step {step}", note=note, score=self.scores[last], step=last
        )
