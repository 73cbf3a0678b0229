"""What one training worker does: load, train with SentenceTransformerTrainer, report checkpoints to Ray Train."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, Role, load_model
from medembed.encoding.model_files import fetch_model
from medembed.errors import TrainingError
from medembed.mining.examples import open_examples
from medembed.privacy import silence_telemetry
from medembed.training.batches import to_columns
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import DevSample, draw_dev_sample, measure_dev_sample


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs; places are URIs that every node can reach."""

    model: str
    dataset: str
    examples: str
    config: TrainingConfig
    progress: Any = None  # handle of a progress.Report


def train_worker(work: Work) -> None:
    """Trains from the latest reported checkpoint, or from the start; reports every `checkpoint_steps`."""
    silence_telemetry()
    import ray.train
    from transformers import set_seed

    config = work.config
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    set_seed(config.seed)
    model = load_model(fetch_model(work.model), encoding, "cuda" if config.use_gpu else "cpu")
    sample = (
        draw_dev_sample(open_dataset(work.dataset), config) if ray.train.get_context().get_world_rank() == 0 else None
    )
    encoder, examples = Encoder(model, encoding), open_examples(work.examples).read()
    steps, reporter = count_steps(len(examples), config), _make_reporter(encoder, sample, work)
    with tempfile.TemporaryDirectory(prefix="medembed-train-") as scratch:
        trainer = build_trainer(encoder, examples, config, steps, reporter, scratch)
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            trainer.train()
        else:
            with checkpoint.as_directory() as folder:
                trainer.train(resume_from_checkpoint=folder)


def count_steps(examples: int, config: TrainingConfig) -> int:
    """Optimiser steps of a run; the last incomplete batch of a pass is left out, and another one each pass."""
    per_epoch = examples // (config.batch_size * config.workers)
    return math.ceil(per_epoch * config.epochs)


def build_trainer(
    encoder: Encoder,
    examples: Sequence[dict[str, Any]],
    config: TrainingConfig,
    steps: int,
    callback: Any,
    scratch: str,
) -> Any:
    """A SentenceTransformerTrainer that makes `steps` optimiser steps on the encoder's model."""
    from datasets import Dataset as RowDataset
    from sentence_transformers import SentenceTransformerTrainer

    from medembed.training.losses import MatryoshkaRankingLoss

    class PrivateTrainer(SentenceTransformerTrainer):
        """Without the generated model card, which would quote training texts, and without pickled arguments."""

        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            pass

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            self.model.save_pretrained(str(output_dir), create_model_card=False)

    columns = to_columns(examples, encoder.prompt("query"), encoder.prompt("document"))
    weights = config.weights or (1.0,) * len(config.dimensions)
    trainer = PrivateTrainer(
        model=encoder.model,
        args=_arguments(config, steps, scratch),
        train_dataset=RowDataset.from_dict(columns),
        loss=MatryoshkaRankingLoss(encoder.model, config.dimensions, weights, config.temperature),
        callbacks=[callback],
    )
    trainer.data_collator.max_length = config.max_length
    return trainer


def _arguments(config: TrainingConfig, steps: int, scratch: str) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,
        weight_decay=0.01,
        dataloader_drop_last=True,
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not config.use_gpu,
        bf16=config.use_gpu,
        seed=config.seed,
    )


def _make_reporter(encoder: Encoder, sample: DevSample | None, work: Work) -> Any:
    import ray.train
    from transformers import TrainerCallback

    config = work.config

    class Reporter(TrainerCallback):
        """Shows progress; at each checkpoint measures the dev sample on rank 0 and hands both to Ray Train."""

        note = ""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if not math.isfinite(logs.get("loss", 0.0)):
                raise TrainingError(
                    f"loss is {logs['loss']} at step {state.global_step}; lower training.learning_rate."
                )
            if sample is not None and "loss" in logs and work.progress is not None:
                work.progress.write.remote(state.global_step, f"loss {logs['loss']:.2f}{self.note}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % config.checkpoint_steps == 0 or state.global_step == state.max_steps:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if sample is None:
                ray.train.report({}, None)
                return
            metrics = measure_dev_sample(sample, self._encode, config)
            report = {"step": state.global_step, "score": metrics[config.select_dimension]}
            report |= {f"{config.select_by}/{dimension}": value for dimension, value in metrics.items()}
            self.note = f", dev {report['score']:.3f} at step {state.global_step}"
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            ray.train.report(report, ray.train.Checkpoint.from_directory(str(folder)))

        @staticmethod
        def _encode(texts: list[str], role: Role) -> Any:
            encoder.model.eval()
            try:
                return encoder.encode(texts, role)
            finally:
                encoder.model.train()

    return Reporter()
