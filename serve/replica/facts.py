"""What clients are told of a served model: what it reads, what it gives, and how it was trained."""

import math
from pathlib import Path
from typing import Any

from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import read_card
from medembed.encoding.quantize import Ranges
from serve.replica.protocol import Model, Training
from serve.replica.table import SearchTable

_PUBLIC = ("hf://", "package://")


def describe_model(
    encoder: Encoder,
    name: str,
    version: str,
    ranges: Ranges | None = None,
    table: SearchTable | None = None,
    training: Training | None = None,
) -> Model:
    """Return the encoder as clients see it under this name and version."""
    reader = encoder.reader
    return {
        "name": name,
        "version": str(version),
        "fingerprint": encoder.fingerprint,
        "capabilities": ["embed"],
        "width": encoder.width,
        "dimensions": list(encoder.dimensions),
        "prompts": reader.prompts,
        "has_roles": reader.tells_roles_apart
        or reader.prompt("query") != reader.prompt("document"),
        "pooling": _pooling_modes(encoder.model),
        "max_input_tokens": encoder.max_length,
        "vocabulary": reader.vocabulary,
        "int8_ranges": ranges.fingerprint if ranges else None,
        "training": training,
        "table": table.facts() if table else None,
    }


def read_training(folder: Path) -> Training | None:
    """Return what the card in a checkpoint's folder says of its training; None for a stock model.

    Of the model that it began with only a public reference is named: a place on storage is nobody's
    business.
    """
    card = read_card(folder)
    parent = card.origin.parent
    if parent is None:
        return None
    scores = {name: score for name, score in card.dev.items() if "/" in name}
    is_public = parent.uri is not None and parent.uri.startswith(_PUBLIC)
    return {
        "parent": parent.fingerprint,
        "parent_model": parent.uri if is_public else None,
        "dataset": card.origin.dataset.fingerprint if card.origin.dataset else "unknown",
        "dev": {name: score for name, score in scores.items() if math.isfinite(score)},
    }


def _pooling_modes(model: Any) -> list[str]:
    """Return the names of what pools the tokens of a text, such as mean or cls."""
    modes: list[str] = []
    for module in model.modules():
        mode = getattr(module, "pooling_mode", None)
        if isinstance(mode, str):
            modes.append(mode)
        elif isinstance(mode, tuple):
            modes += mode
    return modes
