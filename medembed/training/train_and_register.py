"""Train a model, measure what it keeps elsewhere, and register it: what `medembed train` does."""

from typing import Any

from pydantic import Field

from medembed import storage
from medembed.artifact import above_key, to_entries
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.measure import NamedModel, measure_retention
from medembed.evaluation.retention.sets import open_retention
from medembed.evaluation.retention.words import format_retention, lost_to
from medembed.language import to_translate, tr
from medembed.mining.examples import open_examples
from medembed.registry.champion import name_loss
from medembed.registry.config import RegistryConfig, command
from medembed.registry.models import Registry
from medembed.registry.resolve import resolve_models
from medembed.tags import Lineage
from medembed.training.config import TrainingConfig
from medembed.training.record.register import register_checkpoint
from medembed.training.record.retention_samples import draw_retention_samples
from medembed.training.train import train


class TrainConfig(Config):
    """Which model is trained on what, how, and where the checkpoint lies."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    examples: InputUri | None = Field(
        default=None,
        description="examples made by `medembed mine`; null: none, for losses that read data alone",
    )
    output: OutputUri = Field(
        description="folder of the checkpoint; {key} in it becomes the fingerprint of its inputs"
    )
    training: TrainingConfig = TrainingConfig()
    retention: RetentionConfig = RetentionConfig()
    registry: RegistryConfig = RegistryConfig()


def train_and_register(
    config: TrainConfig, registry: Registry, *, on_cluster: bool
) -> dict[str, Any]:
    """Return the summary of the training. Raises the rooms' errors."""
    output = storage.absolute(config.output)
    registry.check_output(config.output)
    resolved = resolve_models(config, config.registry, on_cluster=on_cluster)
    dataset = open_dataset(storage.absolute(config.data))
    examples = open_examples(storage.absolute(config.examples)) if config.examples else None
    beside = _folder_beside(output)
    sets = open_retention(config.retention, beside, dataset, resolved.model)
    elsewhere = draw_retention_samples(sets, config.retention)
    training = resolved.training
    checkpoint = train(dataset, examples, resolved.model, output, training, elsewhere=elsewhere)
    trained = NamedModel(to_translate("trained"), checkpoint.uri)
    models = (trained, NamedModel(to_translate("base model"), resolved.model))
    retention = measure_retention(
        sets, models, beside, training.dimensions, config.retention, EncodingConfig()
    )
    lineage = Lineage(
        dataset=dataset.as_source,
        examples=examples.as_source if examples and checkpoint.manifest.origin.examples else None,
        output=above_key(output),
        lost_elsewhere=name_loss(lost_to(retention)),
    )
    metrics = retention.metrics if retention else {}
    version, _ = register_checkpoint(
        registry, checkpoint, config, metrics=metrics, lineage=lineage, artifacts={}
    )
    return {
        "output": checkpoint.uri,
        "checkpoint": to_entries(checkpoint.manifest),
        "retention": retention and retention.numbers,
        "lines": [
            *format_retention(retention),
            tr("checkpoint: {uri}, {score}", uri=checkpoint.uri, score=checkpoint.describe_score()),
            tr(
                "registered: {version}; make it the champion with: {command}",
                version=version.reference,
                command=command(config.registry, "promote", f"model={version.reference}"),
            ),
        ],
    }


def _folder_beside(output: str) -> str:
    """Return the folder that the checkpoint's folder is made in.

    What was measured has no place in a model's own folder.
    """
    return output.rstrip("/").rpartition("/")[0].partition("{key}")[0]
