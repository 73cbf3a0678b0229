"""What a sentence-transformers model is made of, and whether MedEmbed encodes with it."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medembed.encoding.model_files import fetch_model
from medembed.encoding.model_layout import list_modules, read_json
from medembed.errors import ModelError
from medembed.language import tr

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


def fetch_encoder(reference: str) -> Path:
    """`fetch_model` of a model that encodes texts. Raises ModelError for another kind."""
    folder = fetch_model(reference)
    check_modules(folder, reference)
    return folder


def check_modules(folder: Path, reference: str) -> None:
    """Raise ModelError for no embedding model, or one with a module that does not work here.

    Of the modules that sentence-transformers has, CNN makes a text's vector depend on the texts
    beside it, BoW, WordEmbeddings and LSTM read words instead of tokens, and the others make sparse
    or many vectors.
    """
    kind = (read_json(folder / "config_sentence_transformers.json") or {}).get(
        "model_type", "SentenceTransformer"
    )
    if kind != "SentenceTransformer":
        raise ModelError(
            "model {reference}: it is a {kind}; expected a SentenceTransformer.",
            reference=reference,
            kind=kind,
        )
    check_kinds(folder, reference, _KNOWN)


def check_kinds(folder: Path, reference: str, known: Sequence[str]) -> None:
    """Raise ModelError for a module that is not one of these of sentence-transformers."""
    names = ", ".join(known)
    for module in list_modules(folder):
        if not module.type.startswith(_PACKAGE):
            raise ModelError(
                "model {reference}: its module {module} is code of its own, which MedEmbed does "
                "not run; expected modules of sentence-transformers: {names}.",
                reference=reference,
                module=module.type,
                names=names,
            )
        if module.kind not in known:
            raise ModelError(
                "model {reference}: its module {kind} does not work here; expected {names}.",
                reference=reference,
                kind=module.kind,
                names=names,
            )


def has_router(model: Any) -> bool:
    """Return whether queries and documents go through different modules of the loaded model."""
    from sentence_transformers.base.modules import Router

    return any(isinstance(module, Router) for module in model.modules())


def leaves_out_prompt(model: Any) -> bool:
    """Return whether the loaded model averages a text's tokens without those of its prompt."""
    return any(not getattr(module, "include_prompt", True) for module in model.modules())


def input_modules(model: Any) -> list[Any]:
    """Return the modules that read texts: the first one, or the first of each route."""
    from sentence_transformers.base.modules import Router

    first = model[0]
    return (
        [route[0] for route in first.sub_modules.values()] if isinstance(first, Router) else [first]
    )


def cut_to_positions(model: Any) -> None:
    """Lower the maximum length of a loaded model to what its position tables hold, and logs it.

    In RoBERTa and its kin the first position stands behind the padding's, so that two of them are
    never used.
    """
    for module in input_modules(model):
        limit = min(_tables(module), default=None)
        if limit is not None and (module.max_seq_length or 0) > limit:
            logger.warning(
                tr(
                    "model: its maximum length is {length}, but it has positions for {positions} "
                    "tokens; longer texts are cut there",
                    length=module.max_seq_length,
                    positions=limit,
                )
            )
            module.max_seq_length = limit


def _tables(module: Any) -> Iterator[int]:
    from torch import nn

    for module_below in module.modules():
        for name in _POSITIONS:
            table = getattr(module_below, name, None)
            if isinstance(table, nn.Embedding):
                padding = getattr(module_below, "padding_idx", None)
                yield table.num_embeddings - (padding + 1 if isinstance(padding, int) else 0)
