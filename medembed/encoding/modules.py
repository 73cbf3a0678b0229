"""What a sentence-transformers model is made of, and whether MedEmbed encodes with it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed.encoding.model_files import fetch_model
from medembed.errors import ModelError

logger = logging.getLogger(__name__)

_KNOWN = (
    "Transformer",
    "CLIPModel",
    "StaticEmbedding",
    "Router",
    "Asym",  # what a Router was called
    "Pooling",
    "WeightedLayerPooling",
    "WordWeights",
    "Dense",
    "LayerNorm",
    "Normalize",
    "Dropout",
)
_PACKAGE = "sentence_transformers."
_POSITIONS = ("position_embeddings", "position_embedding", "wpe")


@dataclass(frozen=True)
class Module:
    """A module by its folder: its class as Python names it, and its settings."""

    type: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return self.type.rpartition(".")[2]


def fetch_encoder(reference: str) -> Path:
    """`fetch_model` of a model that encodes texts. Raises ModelError if it is of a kind that does not work here."""
    folder = fetch_model(reference)
    check_modules(folder, reference)
    return folder


def check_modules(folder: Path, reference: str) -> None:
    """Raises ModelError for a model that is no embedding model, or has a module that does not work here.

    Of the modules that sentence-transformers has, CNN makes a text's vector depend on the texts beside it, BoW,
    WordEmbeddings and LSTM read words instead of tokens, and the others make sparse or many vectors.
    """
    kind = _read(folder / "config_sentence_transformers.json").get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelError(f"model {reference}: it is a {kind}; expected a SentenceTransformer.")
    for module in list_modules(folder):
        if not module.type.startswith(_PACKAGE):
            raise ModelError(
                f"model {reference}: its module {module.type} is code of its own, which MedEmbed does not run; "
                f"expected modules of sentence-transformers: {', '.join(_KNOWN)}."
            )
        if module.name not in _KNOWN:
            known = ", ".join(_KNOWN)
            raise ModelError(f"model {reference}: its module {module.name} does not work here; expected {known}.")


def list_modules(folder: Path) -> Iterator[Module]:
    """The modules of a model's folder, those of a router's routes too. None for a folder without modules.json."""
    for entry in _read(folder / "modules.json", []):
        place = folder / entry["path"]
        settings = _read(place / "config.json")
        yield Module(str(entry["type"]), settings)
        routed = _read(place / "router_config.json") or settings
        for name, type_ in routed.get("types", {}).items():
            yield Module(str(type_), _read(place / name / "config.json"))


def has_router(model: Any) -> bool:
    """Whether queries and documents go through different modules of the loaded model."""
    from sentence_transformers.base.modules import Router

    return any(isinstance(module, Router) for module in model.modules())


def leaves_out_prompt(model: Any) -> bool:
    """Whether the loaded model averages a text's tokens without those of its prompt."""
    return any(not getattr(module, "include_prompt", True) for module in model.modules())


def input_modules(model: Any) -> list[Any]:
    """The modules that read texts: the first one, or the first of each route."""
    from sentence_transformers.base.modules import Router

    first = model[0]
    return [route[0] for route in first.sub_modules.values()] if isinstance(first, Router) else [first]


def cut_to_positions(model: Any) -> None:
    """Lowers the maximum length of a loaded model to what its position tables hold, and logs it.

    In RoBERTa and its kin the first position stands behind the padding's, so that two of them are never used.
    """
    for module in input_modules(model):
        limit = min(_tables(module), default=None)
        if limit is not None and (module.max_seq_length or 0) > limit:
            logger.warning(
                "model: its maximum length is %s, but it has positions for %s tokens; longer texts are cut there",
                module.max_seq_length,
                limit,
            )
            module.max_seq_length = limit


def _tables(module: Any) -> Iterator[int]:
    from torch import nn

    for part in module.modules():
        for name in _POSITIONS:
            table = getattr(part, name, None)
            if isinstance(table, nn.Embedding):
                padding = getattr(part, "padding_idx", None)
                yield table.num_embeddings - (padding + 1 if isinstance(padding, int) else 0)


def _read(path: Path, default: Any = None) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else ({} if default is None else default)
