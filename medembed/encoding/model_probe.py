"""Tries a model that was just loaded, before a document is blamed for its faults.

Its tensors are those of its files, its tokenizer fits its embedding matrix, and made-up texts get
vectors that are numbers and differ. Milliseconds for a model that takes seconds to load.
"""

from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np

from medembed.encoding.load_report import report_loading
from medembed.encoding.model_layout import list_modules
from medembed.errors import ModelError
from medembed.language import tr, tr_count

# In several scripts, so that a model of one language has something to tell apart.
MADE_UP = ("fever of 39 degrees and a dry cough", "un bras cassé", "7", "боль в груди", "糖尿病")
_SMALLEST_DIFFERENCE = 1e-6
_SHOWN = 3  # names of tensors in a message
_LONGEST_REASON = 300


def check_loaded(model: Any, folder: Path) -> None:
    """Raise ModelError for a SentenceTransformer whose weights or tokenizer are not whole."""
    check_parts(model, folder)
    _check_vectors(model, folder)


def check_parts(model: Any, folder: Path) -> None:
    """Raise ModelError for an encoder or cross-encoder that is not whole."""
    _check_tensors(model, folder)
    _check_tokenizer(model, folder)


def _check_tensors(model: Any, folder: Path) -> None:
    """Raise ModelError for a tensor that is missing, left aside, or not a number.

    Stock loads such a model with a warning, and with random numbers for what is missing.
    """
    for report in report_loading(model, folder):
        if report.missing:
            raise ModelError(
                "model {folder}: {names} in its architecture but not in its weights file: "
                "loading would take random numbers for them; copy the whole model.",
                folder=folder,
                names=_names(report.missing),
            )
        if report.unexpected:
            raise ModelError(
                "model {folder}: {names} in its weights file but not in its architecture; "
                "config.json is another model's, or damaged: copy the whole model.",
                folder=folder,
                names=_names(report.unexpected),
            )
    broken = [name for name, parameter in model.named_parameters() if _has_no_number(parameter)]
    if broken:
        raise ModelError(
            "model {folder}: its weights are damaged: NaN or infinite numbers in {names}; "
            "copy it again, or take another checkpoint.",
            folder=folder,
            names=_names(broken),
        )


def explain(error: Exception, folder: Path) -> str:
    """Return why loading failed: type and first line, or the tensors whose shapes differ."""
    if "ignore_mismatched_sizes" in str(error):
        return tr(
            "tensors whose shapes are not those that config.json says{names}",
            names=_misshapen(folder),
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:2]])[:_LONGEST_REASON]


def _misshapen(folder: Path) -> str:
    from transformers import AutoModel, AutoModelForSequenceClassification

    kinds = (AutoModel, AutoModelForSequenceClassification)
    for module, kind in product(list_modules(folder), kinds):
        if module.kind != "Transformer":
            continue
        _, outcome = kind.from_pretrained(
            module.folder,
            device_map="meta",
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
        )
        names = []
        for name, in_file, _ in sorted(outcome["mismatched_keys"]):
            names.append(f"{name} {tuple(in_file)}")
        if names:
            return f": {', '.join(names[:_SHOWN])}"
    return ""


def _check_tokenizer(model: Any, folder: Path) -> None:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    for module in model.modules():
        if isinstance(module, StaticEmbedding):
            _check_rows(
                module.tokenizer.get_vocab_size() - 1, module.embedding.num_embeddings, folder
            )
        elif isinstance(module, Transformer) and module.tokenizer is not None:
            tokenizer = module.tokenizer
            last = tokenizer.vocab_size - 1
            for number, token in tokenizer.added_tokens_decoder.items():
                if not token.special:
                    last = max(last, number)
            rows = int(module.model.get_input_embeddings().weight.shape[0])
            _check_rows(last, rows, folder)
            _check_words(tokenizer, folder)


def _check_rows(last: int, rows: int, folder: Path) -> None:
    """Raise ModelError if the highest token number has no row in the embedding matrix.

    Special tokens do not count: EmbeddingGemma has one for images, of which its matrix knows
    nothing.
    """
    if last >= rows:
        raise ModelError(
            "model {folder}: its tokenizer gives numbers up to {last:,}, but its embedding "
            "matrix has {rows:,} rows; the two are of different models: copy the whole model.",
            folder=folder,
            last=last,
            rows=rows,
        )


def _check_words(tokenizer: Any, folder: Path) -> None:
    ids = tokenizer(list(MADE_UP), add_special_tokens=False)["input_ids"]
    if set(chain.from_iterable(ids)) <= {tokenizer.unk_token_id}:
        raise ModelError(
            "model {folder}: its tokenizer knows no word, so that every text would be the "
            "same; its vocabulary is missing or damaged: copy the whole model.",
            folder=folder,
        )


def _check_vectors(model: Any, folder: Path) -> None:
    try:
        vectors = model.encode_document(
            list(MADE_UP), convert_to_numpy=True, show_progress_bar=False
        )
    except Exception as error:  # of any type: whatever a damaged model raises
        raise ModelError(
            "model {folder}: cannot encode a made-up text: {reason}",
            folder=folder,
            reason=explain(error, folder),
        ) from None
    width = int(model.get_embedding_dimension() or 0)
    if width and vectors.shape[1] != width:
        raise ModelError(
            "model {folder}: its settings promise {width} dimensions, its vectors have "
            "{given}; a config.json is another model's, or damaged: copy the whole model.",
            folder=folder,
            width=width,
            given=vectors.shape[1],
        )
    if not np.isfinite(vectors).all():
        fault = tr("vectors that are not numbers (NaN or infinite)")
    elif not vectors.any():
        fault = tr("vectors of zeros")
    elif np.ptp(vectors, axis=0).max() < _SMALLEST_DIFFERENCE:
        fault = tr("the same vector")
    else:
        return
    raise ModelError(
        "model {folder}: gives {count} made-up texts {fault}; its weights are damaged, "
        "or training diverged: take another checkpoint.",
        folder=folder,
        count=len(vectors),
        fault=fault,
    )


def _names(tensors: list[str]) -> str:
    """Return how many tensors, and the first of their names."""
    count = len(tensors)
    names = ", ".join(tensors[:_SHOWN]) + (", ..." if count > _SHOWN else "")
    return tr_count("{count} tensor ({names})", "{count} tensors ({names})", count, names=names)


def _has_no_number(parameter: Any) -> bool:
    """Return whether a tensor holds NaN or infinity.

    Its sum tells of nearly all that they do not, in less time and memory.
    """
    return not bool(parameter.sum().isfinite()) and not bool(parameter.isfinite().all())
