"""How long a text a model has positions for, by its settings: known before anything is loaded."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medembed.errors import ConfigError

# Their first position comes after the padding's, so that two or so are never used.
_AFTER_PADDING = {
    "camembert",
    "data2vec-text",
    "longformer",
    "mpnet",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
}


def check_lengths(folder: Path, max_lengths: Sequence[int]) -> None:
    """Raises ConfigError if the model in the folder has fewer positions than one of the lengths
    asks for.
    """
    limit = position_limit(folder)
    too_long = [length for length in max_lengths if length > limit]
    if too_long:
        raise ConfigError(
            f"preflight.max_lengths: found {too_long}, but the model has positions for {limit} "
            f"tokens; choose at most {limit}."
        )


def position_limit(folder: Path) -> int:
    """Tokens that the transformer in a sentence-transformers folder has positions for; no limit if
    it does not say.
    """
    modules = _read(folder / "modules.json") or [{"path": ""}]
    settings = _read(folder / modules[0]["path"] / "config.json") or {}
    limit = settings.get("max_position_embeddings")
    if not limit or limit < 1:  # DeBERTa's -1: relative positions
        return sys.maxsize
    return int(limit) - (
        settings.get("pad_token_id", 1) + 1 if settings.get("model_type") in _AFTER_PADDING else 0
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
