"""Average trained weights with those of the start: most of what is learned, little of the loss.

Interpolation in weight space (Wortsman et al. 2022, WiSE-FT, arXiv:2109.01903; for embedding models
Xiao et al. 2023, LM-Cocktail, arXiv:2311.13534). It costs nothing when the model is used: the
average is a stock model like its parents.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model


class Average:
    """A model in training beside its weights of the start."""

    def __init__(self, model: Any, shares: Sequence[float]) -> None:
        """Keep a copy of what is trained, on the CPU.

        There is none where no share is under 1, or an adapter has all changes. `shares` are the
        weights of what was trained that will be asked for.
        """
        self.model = model
        self._adapters = [module for module in model.modules() if _is_adapter(module)]
        self._start: dict[str, Tensor] = {}
        if min(shares) < 1 and not self._adapters:
            self._start = _copy(model)

    @contextmanager
    def applied(self, share: float) -> Iterator[None]:
        """Give the model the average's weights inside the `with` block, and its own after it."""
        if share == 1:
            yield
            return
        trained = _copy(self.model) if self._start else {}
        scales = [module.scaling for module in self._adapters]
        self._average(share)
        try:
            yield
        finally:
            self._restore(trained, scales)

    def _average(self, share: float) -> None:
        # W + scale B A: from the start to what was trained it is the scale's way
        for module in self._adapters:
            module.scaling = {name: scale * share for name, scale in module.scaling.items()}
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in self._start:
                    parameter.lerp_(self._start[name].to(parameter.device), 1 - share)

    def _restore(self, trained: dict[str, Tensor], scales: list[dict[str, float]]) -> None:
        for module, scale in zip(self._adapters, scales, strict=True):
            module.scaling = scale
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in trained:
                    parameter.copy_(trained[name])


def average_folder(start: Path, trained: Path, share: float, encoding: EncodingConfig) -> None:
    """Make the model in the folder `trained` the average of both, its own weights having `share`.

    Both are stock sentence-transformers folders of one architecture.
    """
    model = load_model(trained, encoding, "cpu")
    before = load_model(start, encoding, "cpu").state_dict()
    averaged = model.state_dict()
    for name, tensor in averaged.items():
        if tensor.is_floating_point():
            average = torch.lerp(before[name].double(), tensor.double(), share)
            averaged[name] = average.to(tensor.dtype)
    model.load_state_dict(averaged)
    model.save_pretrained(str(trained), create_model_card=False)


def _copy(model: Any) -> dict[str, Tensor]:
    """Return {name: what is trained}, on the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _is_adapter(module: Any) -> bool:
    """Return whether it is a matrix with a low-rank addition of peft's."""
    return isinstance(getattr(module, "scaling", None), dict) and hasattr(module, "lora_A")
