"""SentenceTransformerTrainer as we use it: our order of examples, loss by dimension, whole
checkpoints, no pickles.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch import Tensor

from medembed.training.collective import gather
from medembed.training.model.adapters import Adapter
from medembed.training.rows.order import Batches, Plan


class PrivateTrainer(SentenceTransformerTrainer):
    """Without the generated model card, which would quote training texts; reads the examples as its
    plan says.

    With an adapter its checkpoints are the merged model, and it goes on from the adapter's own
    matrices beside it.
    """

    def __init__(self, *, plan: Plan, adapter: Adapter | None = None, **arguments: Any) -> None:
        self.plan, self.adapter = plan, adapter
        # by dimension, the losses of the batches of this step
        self._parts: dict[int, list[Tensor]] = {}
        super().__init__(**arguments)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        pass

    def compute_loss(self, *args: Any, **options: Any) -> Any:
        """The loss; it is told the step, by which all ranks draw the same dimensions."""
        self.loss.step = self.state.global_step
        value = super().compute_loss(*args, **options)
        for dimension, part in self.loss.by_dimension.items():
            self._parts.setdefault(dimension, []).append(part)
        return value

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs | self._take_parts() if "loss" in logs else logs, start_time)

    def _take_parts(self) -> dict[str, float]:
        """{"loss/64": mean over the step's batches and all workers}, widest first; only what the
        step computed.
        """
        parts, self._parts = sorted(self._parts.items(), reverse=True), {}
        if not parts:
            return {}
        own = torch.stack([torch.stack(losses).mean() for _, losses in parts])
        means = gather(own[None]).mean(0).tolist()
        return {
            f"loss/{dimension}": mean for (dimension, _), mean in zip(parts, means, strict=True)
        }

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.adapter is None:
            self.model.save_pretrained(str(output_dir), create_model_card=False)
        else:
            self.adapter.save(self.model, Path(str(output_dir)))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        if self.adapter is None:
            super()._load_from_checkpoint(checkpoint_path)
        else:
            self.adapter.restore(self.model, Path(checkpoint_path))

    def get_batch_sampler(
        self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any
    ) -> Any:
        return Batches(self.plan, batch_size)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the whole run, at the place in it that the examples read so far tell."""
        is_new = self.lr_scheduler is None
        scheduler = super().create_scheduler(self.plan.total, optimizer)
        if is_new:
            scheduler.lr_lambdas = [self._by_examples(rate) for rate in scheduler.lr_lambdas]
        return scheduler

    def _by_examples(self, rate: Callable[[float], float]) -> Callable[[int], float]:
        return lambda step: rate(self.plan.scheduled_at(step))
