"""Configure a distillation: teacher, student, data, and how much must be kept."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from medembed.config import Config, InputUri, ModelUri, OutputUri, validate
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import EvaluationConfig
from medembed.language import tr
from medembed.registry.config import RegistryConfig
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig

_LAYERS = "layers:"


@dataclass(frozen=True)
class TeacherLayers:
    """So many of the teacher's own layers, as a student."""

    count: int

    def __str__(self) -> str:
        return f"{_LAYERS}{self.count}"


def _read_student(value: object) -> object:
    """Turn "layers:3" into `TeacherLayers`; a model's reference stays as it is."""
    if isinstance(value, TeacherLayers):
        return value
    text = value if isinstance(value, str) else ""
    if text and not text.startswith(_LAYERS):
        return text
    number = text.removeprefix(_LAYERS)
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(tr("expected a model, or layers:N with a number of layers from 1"))
    return TeacherLayers(int(number))


Student = Annotated[
    TeacherLayers | ModelUri, BeforeValidator(_read_student), PlainSerializer(str, return_type=str)
]


class DistillLossConfig(LossConfig):
    """The loss `distill`, whose guide is the teacher."""

    name: Literal["distill"] = Field(default="distill", description="distill alone")


class StudentTrainingConfig(TrainingConfig):
    """A training whose dimensions are the teacher's, unless they are named."""

    dimensions: tuple[int, ...] = Field(
        default=(),
        description="Matryoshka dimensions that are trained; empty: the teacher's, up to the "
        "student's width, or halves of the width down to 32",
    )
    select_dimension: int = Field(
        default=64,
        ge=1,
        description="dimension at which select_by is measured; the narrowest, if it is not trained",
    )
    loss: DistillLossConfig = DistillLossConfig()
    learning_rate: float = Field(
        default=5e-4, gt=0, lt=1, description="peak learning rate, after a linear warm-up"
    )
    batch_size: int = Field(default=32, ge=2, description="texts of a batch, per worker")
    average: float | None = Field(
        default=1.0,
        gt=0,
        le=1,
        description="weight of what was trained in an average with the weights that it started "
        "from; 1: no average, as a student's start is no model to be kept",
    )
    epochs: float = Field(default=2.0, gt=0, description="passes over the texts")
    checkpoint_steps: int = Field(
        default=250, ge=1, description="steps between checkpoints, each measured on the dev sample"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Leave all to `complete`, which knows the dimensions and the teacher."""
        return self

    def complete(
        self, teacher: str, dimensions: tuple[int, ...], prompts: dict[str, str], metric: str
    ) -> TrainingConfig:
        """Return the training that `dimensions` and a teacher make of it, with the student's new
        `prompts` by role, its checkpoints chosen by `metric`. Raises ConfigError.
        """
        values = self.model_dump()
        named = {role: prompt for role, prompt in values["prompts"].items() if prompt is not None}
        is_trained = self.select_dimension in dimensions
        values |= {
            "dimensions": dimensions,
            "select_dimension": self.select_dimension if is_trained else min(dimensions),
            "select_by": metric,
            "prompts": prompts | named,
            "loss": values["loss"] | {"guide": teacher},
        }
        return validate(TrainingConfig, values)


class DistillConfig(Config):
    """Which model learns from which, on what texts, and how much of the quality it must keep."""

    teacher: ModelUri = Field(
        description="the model to be made smaller: folder, s3://, gs://, package://, "
        "hf://organisation/name or models:/name@alias"
    )
    student: Student = Field(
        description="a smaller model, named as the teacher is, or layers:N, so many of the "
        "teacher's own layers"
    )
    layers_chosen: Literal["ends", "even", "first"] = Field(
        default="ends",
        description="which layers of the teacher layers:N takes: two thirds from its beginning "
        "and the rest from its end, from first to last in even steps, or the first ones",
    )
    data: InputUri = Field(
        description="data set made by `medembed prepare`; documents alone are enough"
    )
    output: OutputUri = Field(
        default="workspace/distill", description="folder for all that the job makes"
    )
    keep: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="share of the teacher's quality that the student must keep, at full width and "
        "at its narrowest dimension, to be registered",
    )
    training: StudentTrainingConfig = StudentTrainingConfig()
    encoding: EncodingConfig = EncodingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.encoding.check_trains()
        if self.training.loss.guide is not None:
            raise ValueError(
                tr(
                    "training.loss.guide: found {guide}, but the guide is the teacher; leave it "
                    "out",
                    guide=self.training.loss.guide,
                )
            )
        return self
