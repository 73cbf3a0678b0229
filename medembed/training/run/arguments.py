"""Turn the config into the arguments of SentenceTransformerTrainer."""

from collections.abc import Mapping
from typing import Any

from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.training.config import TrainingConfig
from medembed.training.model.precision import precision_arguments


def training_arguments(
    config: TrainingConfig, steps: int, scratch: str, encoder: Encoder, roles: Mapping[str, Role]
) -> Any:
    """Return SentenceTransformerTrainingArguments up to optimiser step `steps`, for this device.

    Texts of a column stand behind the prompt of its role, and take its route in a router. Raises
    TrainingError if the device lacks the precision.
    """
    from sentence_transformers import SentenceTransformerTrainingArguments

    schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        max_steps=steps,
        prompts={column: encoder.prompt(role) for column, role in roles.items()},
        router_mapping=dict(roles),
        ignore_data_skip=True,  # the plan's batches begin where the run stands
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        activation_checkpointing=config.activation_checkpointing,
        dataloader_drop_last=True,
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        use_cpu=not config.use_gpu,
        seed=config.seed,
        **precision_arguments(config.precision, config.use_gpu),
    )
