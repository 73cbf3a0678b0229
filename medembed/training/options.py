"""Declare the options of a run around its loss: presets, prompts, adapters, how a step is made."""

from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import Field, model_validator

from medembed.config import Config, merge
from medembed.language import tr

Preset = Literal["published", "quick", "large-batch", "lora"]
PRESETS = Path(__file__).parent / "presets"


class PromptsConfig(Config):
    """Texts in front of queries and documents, for a model whose folder names none."""

    query: str | None = Field(
        default=None,
        description="in front of each query, e.g. 'query: ' for E5, with its space; null: as the "
        "model's folder says; the checkpoint keeps it, so that encoding and serving put it there "
        "too",
    )
    document: str | None = Field(
        default=None, description="in front of each document, e.g. 'passage: '"
    )


class AdapterConfig(Config):
    """A few small matrices that are trained in place of the whole model, and merged into it."""

    kind: Literal["lora", "qlora"] | None = Field(
        default=None,
        description="lora: train low-rank additions to the model's matrices, the rest stays; "
        "qlora: the same over weights held in 4 bits, on CUDA; null: train all weights",
    )
    rank: int = Field(
        default=16,
        ge=1,
        description="rank of an addition: more can learn more and costs more memory",
    )
    alpha: float = Field(default=32.0, gt=0, description="additions are scaled by alpha / rank")
    dropout: float = Field(
        default=0.05, ge=0, lt=1, description="share of an addition's inputs dropped in training"
    )
    target_modules: tuple[str, ...] | Literal["all-linear"] = Field(
        default="all-linear",
        description="names of the matrices that get an addition, e.g. [query, value]",
    )

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        for name, field in type(self).model_fields.items():
            if self.kind is None and getattr(self, name) != field.default:
                raise ValueError(
                    tr("{key}: only an adapter has it; set adapter.kind to lora or qlora", key=name)
                )
        if self.target_modules == ():
            raise ValueError(
                tr("target_modules: found [], expected names of matrices or all-linear")
            )
        return self


class TrainingOptions(Config):
    """Presets lie below the keys that a user names; every other option here stands for itself."""

    preset: Preset | None = Field(
        default=None,
        description="settings to start from; keys that you name win. published: the published "
        "recipe for multilingual-e5-large; quick: minutes on two cores; large-batch: 1,024 rows "
        "together by cached gradients; lora: small added matrices alone",
    )
    prompts: PromptsConfig = PromptsConfig()
    principal_axes: bool = Field(
        default=True,
        description="before training, turn the model so that its first dimensions hold the most "
        "of the documents' vectors: full width ranks as before, few dimensions far better; adds "
        "one square matrix behind the model; a model with trained dimensions keeps its axes",
    )
    vocabulary: Literal["whole", "corpus"] = Field(
        default="whole",
        description="corpus: before training, cut the tokenizer and the embedding table to the "
        "pieces of the training texts, frequent pieces and characters of their scripts; these "
        "texts get the same vectors, from a smaller model. A model that was cut keeps what it has",
    )
    freeze_words: bool = Field(
        default=False,
        description="the table of word embeddings stays as it is: no gradient and no moments for "
        "it, which are most of what a multilingual model costs in training",
    )
    adapter: AdapterConfig = AdapterConfig()
    average: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="weight of what was trained in an average with the weights that it started "
        "from, which keeps what the model could before; 1: no average; null: each checkpoint is "
        "measured with 0.8 (0.5 where loss.hold holds nothing) and with 1, and the better one "
        "counts",
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear",
        description="how the learning rate falls to 0 after the warm-up; constant: not at all",
    )
    accumulation_steps: int = Field(
        default=1,
        ge=1,
        description="batches whose gradients are added up before the weights change; this adds "
        "no negatives: a query still sees its own batch alone",
    )
    max_grad_norm: float = Field(
        default=1.0, ge=0, description="longer gradients are cut to this length; 0: never"
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="pull of the matrices towards 0; biases and norms are left alone",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="number type of the multiplications; weights stay float32. auto: on CUDA "
        "bfloat16, or float16 where it is older; on a CPU float32. What the device can only "
        "emulate is refused",
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="compute activations again in the backward pass: less memory, one more "
        "forward pass",
    )
    report_to: tuple[Literal["wandb", "tensorboard"], ...] = Field(
        default=(),
        description="follow a run there too, besides MLflow; wandb stays offline unless your "
        "environment says not",
    )

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("preset") not in get_args(Preset):
            return values  # pydantic explains what is wrong with the name
        preset = read_preset(values["preset"])
        loss = values.get("loss")
        name = loss.get("name") if isinstance(loss, dict) else None
        if name not in (None, preset.get("loss", {}).get("name")):
            preset.pop("loss", None)  # its keys are those of another loss
        return merge(preset, values)


def read_preset(name: Preset) -> dict[str, Any]:
    """Return what a preset sets, nested as `training` is."""
    return dict(yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8")))
