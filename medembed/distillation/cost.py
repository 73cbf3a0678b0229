"""Measure what a model costs: its size, and how fast it encodes beside another one."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import sample_texts
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model
from medembed.encoding.model_layout import list_modules, shared_settings
from medembed.encoding.model_weights import read_tensors
from medembed.language import tr
from medembed.spread import spread

_TEXTS = 256
_FILES = 16  # that they come from, at most
_SINGLE_TEXTS = 16
_ROUNDS = 5
_ENOUGH_S = 60.0  # after which no further round begins


@dataclass(frozen=True)
class ModelCost:
    """What a model costs: `megabytes` of all that loading reads, its `parameters`, and its speed.

    `texts_per_s` of many texts at once and `ms_of_one` alone are medians over rounds in which
    models were timed in turn.
    """

    megabytes: float
    parameters: int
    texts_per_s: float
    ms_of_one: float


class _Size(NamedTuple):
    megabytes: float
    parameters: int


def measure_costs(
    dataset: Dataset, models: Sequence[str], config: EncodingConfig
) -> list[ModelCost]:
    """Measure the models; they encode texts of the corpus in one process of a worker's kind."""
    texts = sample_texts(dataset.corpus_files(), _TEXTS, _FILES).texts
    (row,) = spread(
        [{"texts": texts}],
        TimeModels,
        {"models": list(models), "config": config},
        workers=1,
        cpus=config.cpus_per_worker,
        gpus=config.gpus_per_worker,
    )
    costs = []
    for model, all_s, one_s in zip(models, row["all_s"], row["one_s"], strict=True):
        speed = len(texts) / float(all_s)
        costs.append(ModelCost(*_measure_size(model), speed, float(one_s) * 1000))
    return costs


def describe_costs(student: ModelCost, teacher: ModelCost) -> list[tuple[str, str]]:
    """Return (name, value) lines for people."""
    size = tr(
        "{own:,.0f} MB, the teacher {other:,.0f} MB; {own_count:,.1f} million parameters, the "
        "teacher {other_count:,.1f}",
        own=student.megabytes,
        other=teacher.megabytes,
        own_count=student.parameters / 1e6,
        other_count=teacher.parameters / 1e6,
    )
    encoding = tr(
        "{own:,.0f} texts/s, the teacher {other:,.0f}: {ratio:.1f} times as many",
        own=student.texts_per_s,
        other=teacher.texts_per_s,
        ratio=student.texts_per_s / teacher.texts_per_s,
    )
    one = tr(
        "{own:.1f} ms, the teacher {other:.1f} ms", own=student.ms_of_one, other=teacher.ms_of_one
    )
    return [
        (tr("size"), size),
        (tr("encoding speed"), encoding),
        (tr("one text alone"), one),
    ]


class TimeModels:
    """Turns {texts} into {all_s, one_s}: each model's median seconds, for all and for one alone."""

    def __init__(self, models: list[str], config: EncodingConfig) -> None:
        self.encoders = [Encoder.load(model, config) for model in models]

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        texts = list(item["texts"])
        return {
            "all_s": self._time(lambda encoder: encoder.encode(texts)),
            "one_s": [
                seconds / _SINGLE_TEXTS
                for seconds in self._time(lambda encoder: _encode_each(encoder, texts))
            ],
        }

    def _time(self, work: Callable[[Encoder], object]) -> list[float]:
        """Return each encoder's median seconds, after a round that warms up."""
        times: list[list[float]] = [[] for _ in self.encoders]
        begun = time.perf_counter()
        for number in range(1 + _ROUNDS):
            for encoder, of_encoder in zip(self.encoders, times, strict=True):
                start = time.perf_counter()
                work(encoder)
                of_encoder.append(time.perf_counter() - start)
            if number and time.perf_counter() - begun > _ENOUGH_S:
                break
        return [statistics.median(of_encoder[1:]) for of_encoder in times]


def _encode_each(encoder: Encoder, texts: Sequence[str]) -> None:
    for text in texts[:_SINGLE_TEXTS]:
        encoder.encode([text])


def _measure_size(model: str) -> _Size:
    folder = fetch_model(model)
    paths = list(shared_settings(folder))
    parameters = 0
    for module in list_modules(folder):
        paths += [*module.settings, *module.weights]
        for tensor in read_tensors(module.weights):
            parameters += math.prod(tensor.shape)
    size_bytes = sum(path.stat().st_size for path in set(paths))
    return _Size(size_bytes / 1e6, parameters)
