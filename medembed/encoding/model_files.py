"""A model by reference -> a local folder that is safe to load, and the fingerprint of what it computes.

References: a folder (local path, s3://, gs://), package://name/folder for a model that a Python package
carries, or hf://organisation/name[@revision] for the Hugging Face hub.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.errors import MedEmbedError, ModelError
from medembed.privacy import silence_telemetry
from medembed.schema import fingerprint

CARD = "medembed.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# Files that loading does not read, or that say who saved the model rather than what it computes.
_NOT_HASHED = {CARD, "manifest.json", "summary.json", "README.md", ".gitattributes", "data_config.json", "history.json"}
_VOLATILE_KEYS = {
    "__version__",
    "transformers_version",
    "_name_or_path",
    "torch_dtype",
    "dtype",
    "truncation",
    "padding",
}
_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]


def fetch_model(reference: str) -> Path:
    """A local folder with the model. Raises ModelError for a reference that names none, or holds pickles."""
    if reference.startswith("hf://"):
        folder = _fetch_from_hub(reference)
    elif storage.scheme(reference) == "models":
        raise ModelError(f"{reference}: registry names are resolved by jobs; give the model's folder here.")
    else:
        folder = _fetch_from_storage(reference)
    _check_weights(folder, reference)
    return folder


def read_card(folder: Path) -> dict[str, Any]:
    """What MedEmbed wrote beside a checkpoint it trained; empty for a stock model."""
    card = _read_json(folder / CARD)
    return card if isinstance(card, dict) else {}


def read_tokenizer(reference: str) -> str | None:
    """A model's tokenizer.json as text; None for a model whose tokenizer has no such file."""
    file = fetch_model(reference) / "tokenizer.json"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def model_width(folder: Path) -> int | None:
    """The model's full dimension by its settings, without loading it; None where they do not say."""
    modules = _read_json(folder / "modules.json") or [{"path": ""}]
    width: int | None = None
    for module in modules:
        settings = _read_json(folder / module["path"] / "config.json") or {}
        names = ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size")
        width = next((int(settings[name]) for name in names if name in settings), width)
    return width


def model_fingerprint(folder: Path) -> str:
    """Identifies what the encoder computes, without loading it.

    Weights by tensor name, type, shape and bytes, whatever file holds them; tokenizer, pooling,
    normalisation, prompts and maximum length by their files; numeric class "full" (float32).
    """
    weights = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        weights.update(str(path.relative_to(folder).parent).encode())
        _hash_tensors(path, weights)
    files = {str(path.relative_to(folder)): _read_settings(path) for path in _setting_files(folder)}
    return fingerprint({"weights": weights.hexdigest(), "files": files, "numeric": "full"})


def _fetch_from_storage(reference: str) -> Path:
    try:
        return storage.fetch_folder(reference)
    except MedEmbedError as error:
        hint = f" For the Hugging Face hub, write hf://{reference}." if reference.count("/") == 1 else ""
        raise ModelError(f"model {error} Expected a sentence-transformers folder.{hint}") from None


def _fetch_from_hub(reference: str) -> Path:
    silence_telemetry()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = reference.removeprefix("hf://").partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise ModelError(
            f"model {reference}: not in the local cache and not to be had: {type(error).__name__}."
        ) from None


def _check_weights(folder: Path, reference: str) -> None:
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            f"model {reference}: no modules.json or config.json there; expected a sentence-transformers folder."
        )
    pickles = sorted(
        path.name
        for path in folder.rglob("*")
        if path.suffix in PICKLES and not any(path.parent.glob("*.safetensors"))  # each module has a folder of its own
    )
    if any(folder.rglob("*.safetensors")) and not pickles:
        return
    if pickles:
        raise ModelError(
            f"model {reference}: found pickle weights ({', '.join(pickles[:3])}) and no .safetensors beside them; "
            "a pickle can run any code: save the model again with model.save_pretrained(...)."
        )
    raise ModelError(f"model {reference}: no .safetensors weights there; expected at least one file.")


def _hash_tensors(path: Path, digest: Any) -> None:
    """Feeds a safetensors file's tensors in name order; its free-form metadata does not count."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items()):
            digest.update(f"{name} {entry['dtype']} {entry['shape']}\n".encode())
            start, end = entry["data_offsets"]
            file.seek(8 + size + start)
            digest.update(file.read(end - start))


def _read_json(path: Path) -> Any:
    """A JSON file's content, None if there is no such file. Raises ModelError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        raise ModelError(f"{path}: not JSON; the model folder is damaged.") from None


def _setting_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".txt", ".model") and path.name not in _NOT_HASHED:
            yield path


def _read_settings(path: Path) -> Any:
    if path.suffix != ".json":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    settings = _read_json(path)
    if isinstance(settings, dict):
        return {key: value for key, value in settings.items() if key not in _VOLATILE_KEYS}
    return settings
