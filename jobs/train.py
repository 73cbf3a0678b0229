"""Fine-tune a model on mined examples with a Matryoshka loss and register the best checkpoint."""

from collections.abc import Sequence

from pydantic import Field

from jobs.beforehand import check_room
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.artifact import above_key, to_entries
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.measure import Model, measure_retention
from medembed.evaluation.retention.sets import open_retention
from medembed.evaluation.retention.words import format_retention, lost_to
from medembed.mining.examples import open_examples
from medembed.registry.champion import name_loss
from medembed.registry.config import RegistryConfig, command
from medembed.registry.models import open_registry, resolve_model
from medembed.tags import Lineage
from medembed.training.config import TrainingConfig
from medembed.training.record.register import register_checkpoint
from medembed.training.record.retention_samples import draw_retention_samples
from medembed.training.train import train


class TrainJob(Config):
    """Config of `medembed train`."""

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


def run(job: TrainJob) -> Summary:
    check_room(training=job.training)
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    registry.check_output(job.output)
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    dataset = open_dataset(storage.absolute(job.data))
    examples = None if job.examples is None else open_examples(storage.absolute(job.examples))
    training = resolve_guide(job.training, job.registry)
    beside = _above(job.output)
    sets = open_retention(job.retention, beside, dataset, model)
    elsewhere = draw_retention_samples(sets, job.retention)
    checkpoint = train(
        dataset, examples, model, storage.absolute(job.output), training, elsewhere=elsewhere
    )
    models = (Model("trained", checkpoint.uri), Model("base model", model))
    kept = measure_retention(
        sets, models, beside, training.dimensions, job.retention, EncodingConfig()
    )
    lineage = Lineage(
        dataset=dataset.as_source,
        examples=examples.as_source if examples and checkpoint.manifest.origin.examples else None,
        output=above_key(storage.absolute(job.output)),
        lost_elsewhere=name_loss(lost_to(kept)),
    )
    metrics = kept.metrics if kept else {}
    version, _ = register_checkpoint(
        registry, checkpoint, job, metrics=metrics, lineage=lineage, artifacts={}
    )
    lines = [
        *format_retention(kept),
        f"checkpoint: {checkpoint.uri}, {checkpoint.describe_score()}",
        f"registered: models:/{version.name}/{version.version}; make it the champion with: "
        + command(job.registry, "promote", f"model=models:/{version.name}/{version.version}"),
    ]
    numbers = kept and kept.numbers
    return {
        "output": checkpoint.uri,
        "checkpoint": to_entries(checkpoint.manifest),
        "retention": numbers,
        "lines": lines,
    }


def _above(output: str) -> str:
    """The folder that the checkpoint's folder is made in; what was measured has no place in a
    model.
    """
    return storage.absolute(output).rstrip("/").rpartition("/")[0].partition("{key}")[0]


def resolve_guide(training: TrainingConfig, registry: RegistryConfig) -> TrainingConfig:
    """The config with a guide that any node can load, if the loss has one."""
    if training.loss.guide is None:
        return training
    guide = resolve_model(training.loss.guide, registry, on_cluster=is_on_cluster())
    return training.model_copy(update={"loss": training.loss.model_copy(update={"guide": guide})})


def main(argv: Sequence[str] | None = None) -> None:
    run_job(TrainJob, run, argv)


if __name__ == "__main__":
    main()
