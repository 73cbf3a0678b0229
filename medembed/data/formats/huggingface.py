"""Hugging Face data sets: by hub id (hf://organisation/name[@revision]), or a local copy of one."""

import re
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.data.formats.format import CutSource, Format, ListFiles, Part
from medembed.data.mapping import find_mapping
from medembed.data.reading import ReadingConfig
from medembed.data.rows import Rows
from medembed.errors import DataError
from medembed.privacy import silence_telemetry
from medembed.schema import fingerprint

_ROWS_PER_PART = 20_000
_SAVED = (("dataset_dict.json",), ("dataset_info.json", "state.json"))


def _find(config: ReadingConfig, list_files: ListFiles) -> CutSource | None:
    """Return the data set in parts that workers read side by side.

    Raises DataError if there is no such data set, configuration or split.
    """
    is_named = config.path.startswith("hf://") or config.format == "huggingface"
    if not is_named and not (config.format == "auto" and _is_saved_dataset(config.path)):
        return None
    splits = _load(config)
    parts: list[Part] = []
    for name, rows in splits.items():
        split = name if len(splits) > 1 else None  # the name of the only one says nothing
        for start in range(0, len(rows), _ROWS_PER_PART):
            end = min(start + _ROWS_PER_PART, len(rows))
            parts.append(Part(config.path, "huggingface", "rows", start, end, split))
    identity = fingerprint({name: rows._fingerprint for name, rows in splits.items()})
    return CutSource("huggingface", tuple(parts), identity)


def _is_saved_dataset(path: str) -> bool:
    """Return whether a folder is what `save_to_disk` of a Dataset or DatasetDict writes."""
    if path.startswith("hf://") or "*" in path or "?" in path or not storage.exists(path):
        return False
    return any(all(storage.exists(storage.join(path, name)) for name in names) for names in _SAVED)


def _read(part: Part, config: ReadingConfig) -> Rows:
    """Yield the rows of a part, with class labels by name."""
    splits = _load(config)
    rows = splits[part.split] if part.split else next(iter(splits.values()))
    judging = _judging(list(rows.features), config)
    names = {
        name: kind
        for name, kind in rows.features.items()
        if hasattr(kind, "int2str") and name not in judging
    }
    end = len(rows) if part.end is None else part.end
    plain = rows.with_format(None).select(range(part.start, end))
    for number, row in enumerate(plain, start=1):
        for name, kind in names.items():
            if row[name] is not None:  # -1 is what the hub writes where a label is withheld
                row[name] = kind.int2str(row[name]) if row[name] >= 0 else None
        yield number, dict(row)


def _locate(part: Part, number: int) -> str:
    split = f"[{part.split}]" if part.split else ""
    return f"{part.uri}{split}:{part.start + number}"


def _judging(names: list[str], config: ReadingConfig) -> tuple[str, ...]:
    """Return columns that score a pair, such as label 0 or 1 beside two sentences."""
    try:
        return find_mapping(names, config).columns.score
    except DataError:
        return ()


def _load(config: ReadingConfig) -> dict[str, Any]:
    """Return {split: rows}, memory-mapped from the local cache or copy."""
    silence_telemetry()
    import datasets

    datasets.disable_progress_bars()
    try:
        if _is_saved_dataset(config.path):
            loaded = datasets.load_from_disk(str(storage.fetch_folder(config.path)))
        else:
            name, revision = _name(config.path)
            loaded = datasets.load_dataset(name, config.subset, revision=revision)
    except (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        datasets.exceptions.DatasetsError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            "{path}: cannot load it as a Hugging Face data set: {reason}",
            path=config.path,
            reason=reason,
        ) from None
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    if config.hub_split is None:
        return splits
    if config.hub_split not in splits:
        raise DataError(
            "{path}: no split {hub_split!r}; expected source.hub_split to be one of {splits}.",
            path=config.path,
            hub_split=config.hub_split,
            splits=", ".join(splits),
        )
    return {config.hub_split: splits[config.hub_split]}


def _name(path: str) -> tuple[str, str | None]:
    if not path.startswith("hf://"):
        folder: Path = storage.fetch_folder(path)
        return str(folder), None
    name, _, revision = path.removeprefix("hf://").removeprefix("datasets/").partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise DataError(
            "{path}: expected hf://organisation/name, or hf://organisation/name@revision.",
            path=path,
        )
    return name, revision or None


HUGGINGFACE = Format(name="huggingface", find=_find, read_rows=_read, locate=_locate)
