"""Adapt SentenceTransformerTrainer: our order of examples, whole checkpoints, no texts in them.

It has no public way for what these private parts do (seen in sentence-transformers 6.2 and
transformers 5.23): `_save`, `_load_from_checkpoint`, `_load_rng_state`, `max_length` of the
collator, and `lr_lambdas` of the scheduler. tests/training/test_private_parts.py fails when one
moves.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch import Tensor

from medembed.training.collective import gather
from medembed.training.model.adapters import Adapter
from medembed.training.record.checkpoint import list_model_files
from medembed.training.rows.order import Batches, StepPlan


class PlanTrainer(SentenceTransformerTrainer):
    """A trainer that reads the examples as its plan says.

    It writes no generated model card, which would quote training texts. With an adapter its
    checkpoints are the merged model, and it goes on from the adapter's own matrices beside it.
    `max_length` are the tokens that are kept of a text; None: as many as the model reads.
    """

    def __init__(
        self, *, plan: StepPlan, adapter: Adapter | None, max_length: int | None, **arguments: Any
    ) -> None:
        self.plan = plan
        self.adapter = adapter
        # by dimension, the losses of the batches of this step
        self._losses: dict[int, list[Tensor]] = {}
        super().__init__(**arguments)
        self.data_collator.max_length = max_length

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def compute_loss(self, *args: Any, **options: Any) -> Any:
        """Return the loss; it is told the step, by which all ranks join the same texts."""
        self.loss.step = self.state.global_step
        value = super().compute_loss(*args, **options)
        for dimension, loss in self.loss.by_dimension.items():
            self._losses.setdefault(dimension, []).append(loss)
        return value

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs | self._take_losses() if "loss" in logs else logs, start_time)

    def _take_losses(self) -> dict[str, float]:
        """Return {"loss/64": mean over the step's batches and all workers}, widest first."""
        losses = dict(sorted(self._losses.items(), reverse=True))
        self._losses = {}
        if not losses:
            return {}
        own = torch.stack([torch.stack(batches).mean() for batches in losses.values()])
        means = gather(own[None]).mean(0).tolist()
        return {f"loss/{dimension}": mean for dimension, mean in zip(losses, means, strict=True)}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(str(output_dir))
        if self.adapter is None:
            self.model.save_pretrained(str(folder), create_model_card=False)
        else:
            self.adapter.save_merged(self.model, folder)
        if self.is_world_process_zero():  # others write no weights; Ray joins all ranks' folders
            list_model_files(folder)
        if self.adapter is not None:
            self.adapter.save_matrices(self.model, folder)

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        if self.adapter is None:
            super()._load_from_checkpoint(checkpoint_path)
        else:
            self.adapter.restore(self.model, Path(checkpoint_path))

    def restore_random_numbers(self, checkpoint: Path) -> None:
        """Set the random numbers to those of this rank when the checkpoint was made."""
        self._load_rng_state(str(checkpoint))

    def get_batch_sampler(
        self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any
    ) -> Any:
        return Batches(self.plan, batch_size)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the schedule of the whole run, at the place that the examples read so far tell."""
        is_new = self.lr_scheduler is None
        scheduler = super().create_scheduler(self.plan.total, optimizer)
        if is_new:
            scheduler.lr_lambdas = [self._by_examples(rate) for rate in scheduler.lr_lambdas]
        return scheduler

    def _by_examples(self, rate: Callable[[float], float]) -> Callable[[int], float]:
        return lambda step: rate(self.plan.scheduled_at(step))
