"""Which weights are trained, and how fast: frozen layers, and lower rates for lower layers.
Pure.
"""

import re
from dataclasses import dataclass
from typing import Any

from medembed.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Stack:
    """A transformer's parts by the names of their parameters: below its layers, each layer, and
    behind them.
    """

    embeddings: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    head: tuple[str, ...]


def find_stack(model: Any) -> Stack:
    """The parts of a sentence-transformers model, lowest first. Raises ModelError if it has no
    transformer layers.

    Its layers are its longest list of modules; what comes before it in the order of parameters lies
    below.
    """
    from torch import nn

    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
    ]
    if not lists:
        raise ModelError(
            "training: the model has no transformer layers; leave freeze and layer_decay out."
        )
    prefix, modules = max(lists, key=lambda entry: len(entry[1]))
    names = [name for name, _ in model.named_parameters()]
    layers = tuple(
        tuple(name for name in names if name.startswith(f"{prefix}.{number}."))
        for number in range(len(modules))
    )
    first, inside = names.index(layers[0][0]), {name for layer in layers for name in layer}
    return Stack(
        tuple(names[:first]), layers, tuple(name for name in names[first:] if name not in inside)
    )


def freeze(model: Any, lowest: int | None) -> None:
    """Takes the embeddings and the `lowest` layers out of training; None leaves all in.

    Raises ConfigError if there are fewer layers than that, or if nothing would be left to train.
    """
    if lowest is None:
        return
    stack = find_stack(model)
    if lowest >= len(stack.layers):
        raise ConfigError(
            f"training.freeze: found {lowest}, but the model has {len(stack.layers)} layers and "
            f"one at least must be trained; choose 0 to {len(stack.layers) - 1}."
        )
    frozen = {*stack.embeddings, *(name for layer in stack.layers[:lowest] for name in layer)}
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def learning_rates(model: Any, rate: float, decay: float) -> dict[str, float]:
    """{regular expression on parameter names: learning rate}, for the trainer's
    `learning_rate_mapping`.

    The top layer and what is behind it learn at `rate`, each lower layer at `decay` times the one
    above it, the embeddings at `decay` times the lowest layer (Howard and Ruder 2018,
    arXiv:1801.06146, section 3.1). Empty for a decay of 1. The trainer splits each group further,
    so that biases and norms do not decay.
    """
    if decay == 1:
        return {}
    stack = find_stack(model)
    rates = {
        _any_of(layer): rate * decay**height for height, layer in enumerate(reversed(stack.layers))
    }
    if stack.embeddings:
        rates[_any_of(stack.embeddings)] = rate * decay ** len(stack.layers)
    return rates


def _any_of(names: tuple[str, ...]) -> str:
    """Matches exactly these names, behind whatever wraps the model: the loss, DDP, a compiled
    module.
    """
    return rf"(^|\.)({'|'.join(map(re.escape, names))})$"
