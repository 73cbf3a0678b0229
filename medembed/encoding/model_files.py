"""A model by reference -> a local folder that is safe to load, and the fingerprint of what it
computes.

References: a folder (local path, s3://, gs://), package://name/folder for a model that a Python
package carries, or hf://organisation/name[@revision] for the Hugging Face hub.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from medembed import storage
from medembed.artifact import parse
from medembed.encoding.model_layout import (
    Module,
    check_file,
    check_settings,
    list_modules,
    matches,
    read_json,
    shared_settings,
)
from medembed.encoding.model_weights import check_types, hash_tensors, read_tensors
from medembed.errors import MedEmbedError, ModelError, StorageError
from medembed.language import tr
from medembed.lineage import CheckpointManifest
from medembed.privacy import silence_telemetry
from medembed.schema import fingerprint

CARD = "medembed.json"
_VOLATILE_KEYS = {  # that say who saved the model rather than what it computes
    "__version__",
    "transformers_version",
    "_name_or_path",
    "torch_dtype",
    "dtype",
    "truncation",
    "padding",
}
# What a module's settings call the dimension of what it gives; the first that is there counts.
_WIDTHS = ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size")
# Of a model on storage or the hub. What is left out is never loaded, and may be large.
_FETCHED = [
    "*.safetensors",
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "*.codes",
    "int8/graph.*",
]
_LEFT_OUT = ["onnx/*", "openvino/*", "checkpoint-*/*", "global_step*/*", "runs/*", "original/*"]
# a larger tokenizer takes seconds to parse: of it only the ends are looked at
_PARSED_BYTES = 1 << 20
_ENDS = 64
_SETTLES_NS = 1_000_000_000


def fetch_model(reference: str) -> Path:
    """Return a local folder with a whole model.

    Raises ModelError for a reference that names none, or holds pickles. Only what loading reads is
    looked at, by its headers: this takes milliseconds.
    """
    if reference.startswith("hf://"):
        folder = _fetch_from_hub(reference)
    elif storage.scheme(reference) == "models":
        raise ModelError(
            "{reference}: registry names are resolved by jobs; give the model's folder here.",
            reference=reference,
        )
    else:
        folder = _fetch_from_storage(reference)
    try:
        for path in shared_settings(folder):
            read_json(path)
        for module in list_modules(folder):
            _check_module(module)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(
            "model {reference}: cannot read {filename}: {reason}.",
            reference=reference,
            filename=error.filename,
            reason=reason,
        ) from None
    except ModelError as error:
        reason = re.sub(rf"{re.escape(str(folder))}(/|\s?: )", "", str(error))
        raise ModelError(
            "model {reference}: {reason}", reference=reference, reason=reason
        ) from None
    return folder


def read_card(folder: Path) -> CheckpointManifest:
    """Return what MedEmbed wrote beside a checkpoint; a stock model has no dimensions.

    Raises ModelError for a card that is damaged.
    """
    card = read_json(folder / CARD)
    try:
        return parse(CheckpointManifest, card if isinstance(card, dict) else {}, str(folder / CARD))
    except StorageError as error:
        raise ModelError(str(error)) from None


def save_card(folder: Path, manifest: CheckpointManifest) -> None:
    """Write a checkpoint's card: its manifest without what concerns folder and training."""
    entries = asdict(manifest)
    for name in ("key", "files", "config"):
        del entries[name]
    (folder / CARD).write_text(json.dumps(entries, indent=2))


def read_tokenizer(reference: str) -> str | None:
    """Return a model's tokenizer.json as text, None if its tokenizer has no such file."""
    file = fetch_model(reference) / "tokenizer.json"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def model_width(folder: Path) -> int | None:
    """Return the model's full dimension by its settings; None where they do not say."""
    width: int | None = None
    for module in list_modules(folder):
        settings = read_json(module.folder / "config.json") or {}
        for name in _WIDTHS:
            if name in settings:
                width = int(settings[name])
                break
    return width


def model_fingerprint(folder: Path) -> str:
    """Identify what the encoder computes, without loading it.

    Weights by tensor name, type, shape and bytes, whatever files hold them; tokenizer, pooling,
    normalisation, prompts, maximum length by their files; numeric class "full". No other counts.
    """
    files = {}
    for path in shared_settings(folder):
        files[path.name] = _read_settings(path)
    weights = []
    for module in list_modules(folder):
        weights.append(_Weights(module.path, tuple(map(_look_at, module.weights))))
        for path in module.settings:
            files[f"{module.path}/{path.name}"] = _read_settings(path)
    return fingerprint(
        {"weights": _hash_weights(tuple(weights)), "files": files, "numeric": "full"}
    )


class _File(NamedTuple):
    """A file as the disk knows it: new bytes in it change one of the numbers."""

    path: Path
    device: int
    inode: int
    size_bytes: int
    changed_ns: int


class _Weights(NamedTuple):
    """A module's place in its model, and its files of weights."""

    module: str
    files: tuple[_File, ...]


def _look_at(path: Path) -> _File:
    stat = path.stat()
    return _File(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns)


def _hash_weights(weights: tuple[_Weights, ...]) -> str:
    """Return the SHA-256 of all modules' tensors, remembered for files that have lain still.

    A clock's tick later the same file may have other bytes under the same time, so a fresh one is
    read each time.
    """
    newest_ns = 0
    for module in weights:
        for file in module.files:
            newest_ns = max(newest_ns, file.changed_ns)
    is_fresh = time.time_ns() - newest_ns < _SETTLES_NS
    return _read_hash.__wrapped__(weights) if is_fresh else _read_hash(weights)


# a retraining asks twenty times for three models, 0.4 s of a core each (MiniLM-L6)
@lru_cache(maxsize=16)
def _read_hash(weights: tuple[_Weights, ...]) -> str:
    digest = hashlib.sha256()
    for module, files in weights:
        digest.update(module.encode())
        hash_tensors(read_tensors([file.path for file in files]), digest)
    return digest.hexdigest()


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Raise ModelError if a file of the model is written meanwhile, between hash and load."""
    before = _look_at_all(folder)
    yield
    if _look_at_all(folder) != before:
        raise ModelError(
            "model {folder}: its files changed while they were loaded; load it when they are "
            "all written.",
            folder=folder,
        )


def _look_at_all(folder: Path) -> list[_File]:
    """Return all that loading reads; no program can set the time of its change."""
    paths = shared_settings(folder)
    for module in list_modules(folder):
        paths = [*paths, *module.settings, *module.weights]
    return [_look_at(path) for path in paths if path.exists()]


def _fetch_from_storage(reference: str) -> Path:
    try:
        return storage.fetch_folder(reference, is_fetched)
    except MedEmbedError as error:
        message = tr("model {error} Expected a sentence-transformers folder.", error=error)
        if reference.count("/") == 1:
            hub = tr("For the Hugging Face hub, write hf://{name}.", name=reference)
            message = f"{message} {hub}"
        raise ModelError(message) from None


def _fetch_from_hub(reference: str) -> Path:
    silence_telemetry()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = reference.removeprefix("hf://").partition("@")
    try:
        folder = snapshot_download(
            name, revision=revision or None, allow_patterns=_FETCHED, ignore_patterns=_LEFT_OUT
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ModelError(
            "model {reference}: not in the local cache and not to be had: {reason}.",
            reference=reference,
            reason=reason,
        ) from None
    return Path(folder)


def is_fetched(name: str) -> bool:
    """Return whether a file below a model's folder may be read by loading it."""
    return matches(name, _FETCHED) and not matches(name, _LEFT_OUT)


def _check_module(module: Module) -> None:
    """Raise ModelError for what would not load, or is not whole."""
    files = module.weights
    for path in module.settings:
        check_file(path)
        _check_json(path)
    check_settings(module)
    tensors = read_tensors(files)
    if files and not tensors:
        raise ModelError("{file}: holds no tensor; copy it again.", file=files[0])
    check_types(tensors)


def _check_json(path: Path) -> None:
    """Raise ModelError for JSON that is cut off or damaged."""
    if path.suffix != ".json":
        return
    size = path.stat().st_size
    if size <= _PARSED_BYTES:
        read_json(path)
        return
    with path.open("rb") as stream:
        begin = stream.read(_ENDS).lstrip()
        stream.seek(size - _ENDS)
        end = stream.read().rstrip()
    if not begin.startswith((b"{", b"[")) or not end.endswith((b"}", b"]")):
        raise ModelError("{path}: cut off ({size:,} bytes); copy it again.", path=path, size=size)


def _read_settings(path: Path) -> Any:
    if path.suffix != ".json":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    settings = read_json(path)
    if isinstance(settings, dict):
        return {key: value for key, value in settings.items() if key not in _VOLATILE_KEYS}
    return settings
