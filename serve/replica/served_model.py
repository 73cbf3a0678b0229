"""Load a model and its table to be served, and describe them to clients. No Serve in here."""

import ctypes
import logging
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medembed.codes import Ranges
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import read_card
from medembed.encoding.open_table import open_table_of
from serve.replica.protocol import Model, Training
from serve.replica.table import SearchConfig, SearchTable, load_search

logger = logging.getLogger(__name__)

_PUBLIC = ("hf://", "package://")
# Converting a model takes memory, and changes this process's logging while it lasts.
_one_conversion = threading.Lock()


class ModelSettings(BaseModel, frozen=True):
    """The `user_config` of an Embedder: a model's folder, what it is called, and its table.

    Without `table_version` the table's newest version is served.
    """

    model: str
    name: str
    version: str
    training: Training | None = None
    table: str | None = None
    table_version: int | None = None
    search: SearchConfig = SearchConfig()


@dataclass(frozen=True)
class ServedModel:
    """An encoder and its table, which are swapped together.

    `model` is how clients see them. `ranges` are those of int8 codes, if a table has any; `table`
    is there if it is searched.
    """

    encoder: Encoder
    model: Model
    ranges: Ranges | None = None
    table: SearchTable | None = None


def load_served(settings: ModelSettings, encoding: EncodingConfig) -> ServedModel:
    """Load a model and its table, and encode one text.

    It answers by plain torch until the faster backend is ready, some seconds later; in int8 by the
    int8 graph at once. Raises ModelError; StorageError, ConfigError or DataError for a table that
    is not this model's or cannot be searched as `settings.search` says.
    """
    encoder = Encoder.load(settings.model, encoding, settles_later=True)
    ranges: Ranges | None = None
    searched: SearchTable | None = None
    if settings.table is not None:
        table = open_table_of(settings.table, encoder.fingerprint, settings.table_version)
        codec = table.codec()
        ranges = codec.ranges if codec.storage == "int8" else None
        if settings.search.enabled:
            searched = load_search(table, settings.search, encoder.dimensions)
    encoder.encode(["warm up"], "query")
    model = describe_model(encoder, settings, ranges, searched)
    choose_backend_later(encoder)
    return ServedModel(encoder, model, ranges, searched)


def describe_model(
    encoder: Encoder,
    settings: ModelSettings,
    ranges: Ranges | None = None,
    table: SearchTable | None = None,
) -> Model:
    """Return the encoder as clients see it, under the name and version of the settings."""
    reader = encoder.reader
    return {
        "name": settings.name,
        "version": settings.version,
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
        "training": settings.training,
        "table": table.facts() if table else None,
    }


def read_training(folder: Path) -> Training | None:
    """Return what a checkpoint's card says of its training; None for a stock model.

    The parent is named only by a public reference: where it lies on storage is nobody's business.
    """
    card = read_card(folder)
    parent = card.origin.parent
    if parent is None:
        return None
    is_public = parent.uri is not None and parent.uri.startswith(_PUBLIC)
    dev: dict[str, float] = {}
    for name, score in card.dev.items():
        if "/" in name and math.isfinite(score):
            dev[name] = score
    return {
        "parent": parent.fingerprint,
        "parent_model": parent.uri if is_public else None,
        "dataset": card.origin.dataset.fingerprint if card.origin.dataset else "unknown",
        "dev": dev,
    }


def choose_backend_later(encoder: Encoder) -> threading.Thread:
    """Look for the fastest backend in a thread: a server starts some four seconds sooner so."""
    thread = threading.Thread(target=_choose_backend, args=(encoder,), daemon=True)
    thread.start()
    return thread


def _choose_backend(encoder: Encoder) -> None:
    with _one_conversion:
        try:
            encoder.settle()
        except Exception as error:  # of any type: the model goes on as it is
            reason = str(error).partition("\n")[0]
            logger.warning("the model stays on plain torch: %s: %s", type(error).__name__, reason)

        # glibc keeps what a conversion has freed, unless it is told to give it back.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


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
