"""How texts become embeddings, and on which resources."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config
from medembed.language import tr
from medembed.spread import WorkerCount

Precision = Literal["auto", "float32", "float16", "bfloat16", "int8"]
# Measured: a CPU's caches hold a small batch's activations; a GPU needs a large one to be busy.
_TOKENS_ON_CPU = 512
_TOKENS_ON_GPU = 65536
# seconds of work, beside which an item's own cost is small
_TEXTS_ON_CPU = 1024
_TEXTS_ON_GPU = 16384
# Up to so many texts nothing is converted. A load with OpenVINO takes 2.7 s of a core more, and
# saves 0.5 ms of each short query (MiniLM-L6).
_TOO_FEW_TO_CONVERT = 1024


class EncodingConfig(Config):
    """What determines an embedding, and how the work is spread."""

    max_tokens_per_batch: int | None = Field(
        default=None,
        ge=64,
        description=f"tokens in one forward pass, padding included; null: {_TOKENS_ON_CPU} on a "
        f"CPU, {_TOKENS_ON_GPU} on a GPU",
    )
    workers: WorkerCount = Field(
        default=2,
        description="encoding actors: a number, or [fewest,most], e.g. [1,8], which starts with "
        "the fewest and adds more while work waits and there is room; the table is the same",
    )
    cpus_per_worker: int = Field(default=1, ge=1, description="CPU cores and threads of one actor")
    gpus_per_worker: float = Field(
        default=0, ge=0, description="GPUs of one actor; a share such as 0.5 packs two on one"
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        default="auto",
        description="what computes; auto: on a CPU what a second's calibration finds faster, "
        f"else torch, as for up to {_TOO_FEW_TO_CONVERT:,} texts",
    )
    precision: Precision = Field(
        default="auto",
        description="numbers on a GPU; auto: the first of float16 and bfloat16 with cosine >= "
        "0.9999 to float32. On a CPU float32, or int8 by the graph that `medembed quantize` made, "
        "whose vectors are those of a model of its own",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.backend == "openvino" and self.gpus_per_worker:
            raise ValueError(
                tr("backend openvino computes on CPUs; set gpus_per_worker=0, or choose torch")
            )
        if self.is_int8 and self.gpus_per_worker:
            raise ValueError(
                tr("precision int8 computes on CPUs; on a GPU choose auto, float16 or bfloat16")
            )
        if self.is_int8 and self.backend == "torch":
            raise ValueError(
                tr("precision int8 is computed by OpenVINO; found backend=torch, expected auto")
            )
        return self

    @property
    def is_int8(self) -> bool:
        """Whether a model's int8 graph computes, rather than its own weights."""
        return self.precision == "int8"

    def check_trains(self) -> None:
        """Raise ValueError for a precision that a model in training cannot have."""
        if self.is_int8:
            raise ValueError(
                tr(
                    "encoding.precision: found int8, which a model in training has not; leave it "
                    "out, and run `medembed quantize` on what comes of it"
                )
            )

    @property
    def most_workers(self) -> int:
        """The number of actors, or the most that there may be."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def texts_per_item(self) -> int:
        """The most texts that a worker does at a time, and a fragment holds."""
        return _TEXTS_ON_GPU if self.gpus_per_worker else _TEXTS_ON_CPU

    @property
    def batch_tokens(self) -> int:
        """`max_tokens_per_batch`, or what suits the device."""
        return self.max_tokens_per_batch or (
            _TOKENS_ON_GPU if self.gpus_per_worker else _TOKENS_ON_CPU
        )

    def suited_to(self, texts: int) -> Self:
        """Return these settings for so many texts: of few, "auto" means torch."""
        is_settled = self.backend != "auto" or self.is_int8 or texts > _TOO_FEW_TO_CONVERT
        return self if is_settled else self.model_copy(update={"backend": "torch"})
