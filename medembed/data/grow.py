"""A data set and files that came since -> the next data set: its rows, with what is new and what was edited."""

import logging
from collections.abc import Sequence

from medembed import storage
from medembed.artifact import find_output, place
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import KIND, Dataset
from medembed.data.grown import generations, parts_of
from medembed.data.parts import PART_BYTES, Source, find_parts
from medembed.data.passes import Plan, run_passes
from medembed.data.prepare import check_free, choose_mapping, remove_output
from medembed.errors import DataError
from medembed.schema import content_hash, fingerprint

logger = logging.getLogger(__name__)

_FEW_ROWS = 20_000
_AS_ROWS = ("jsonl", "csv", "tsv", "parquet", "ontology")


def grow(
    previous: Dataset | None,
    files: Sequence[tuple[str, str]],
    source: SourceConfig,
    splits: SplitConfig,
    output: str,
    tokenizer: str | None = None,
) -> Dataset:
    """The data set of `previous` and of files as (URI, content hash), oldest first, at `output`; found again.

    Rows of `previous` keep their ids and splits. Where a file gives an id of before another text, the newest file's
    counts, as an edit: judgments of the id stay. Its manifest names `previous`, and in `taken` the content hashes of
    all files that it and those before it were made from. Raises what `prepare` raises, DataError for files that hold
    no rows.
    """
    parts = {uri: find_parts(source.model_copy(update={"path": uri})) for uri, _ in files}
    for uri, found in parts.items():
        if found.format not in _AS_ROWS:
            raise DataError(f"{uri}: looks like {found.format}; expected rows: {', '.join(_AS_ROWS)}.")
    settings = [source.model_dump(exclude={"path"}), splits.model_dump(exclude={"previous"})]
    before = previous.fingerprint if previous else None
    key = fingerprint([before, [name for _, name in files], settings, content_hash(tokenizer or "")])
    output = place(output, key)
    manifest = find_output(output, KIND, key)
    if manifest is not None:
        logger.info("data set %s: unchanged, reused", manifest["fingerprint"])
        return Dataset(output, manifest)
    new = tuple(part for uri, _ in files for part in parts[uri].parts)
    old = parts_of(previous) if previous else ()
    form = next(iter(parts.values())).format
    mapping = choose_mapping(Source(form, new, ""), source)
    logger.info("%d files: %s", len(files), mapping.describe() if mapping else f"{form}, by its fixed columns")
    check_free(output)
    remove_output(output)  # what a run that was killed has left
    taken = {**(previous.manifest.get("taken", {}) if previous else {}), **{name: _last(uri) for uri, name in files}}
    entries = {"taken": taken, "previous": previous and {"uri": previous.uri, "fingerprint": previous.fingerprint}}
    splits = splits.model_copy(update={"previous": previous.uri if previous else splits.previous})
    plan = Plan(
        Source(form, (*old, *new), ""), mapping, source, splits, output, key, tokenizer, generations(old, new), entries,
        is_small=_is_small(previous, files),
    )  # fmt: skip
    try:
        return run_passes(plan)
    except BaseException:
        remove_output(output)
        raise


def _is_small(previous: Dataset | None, files: Sequence[tuple[str, str]]) -> bool:
    """Whether workers would take longer to start than one process needs for all of it."""
    rows = sum(previous.manifest["counts"].values()) if previous else 0
    return rows <= _FEW_ROWS and sum(size for uri, _ in files for _, size, _ in storage.find_files(uri)) <= PART_BYTES


def _last(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def describe_growth(previous: Dataset | None, dataset: Dataset) -> str:
    """What is new, in a line for people."""
    before = previous.manifest["counts"] if previous else {}
    dropped = dataset.manifest["dropped"]
    added = {name: count - before.get(name, 0) for name, count in dataset.manifest["counts"].items()}
    edited = {kind: dropped.get(f"{kind} text edited", 0) for kind in ("document", "query")}
    told = [f"{count:+,} {name}" for name, count in added.items() if count]
    told += [f"{count:,} {kind} texts edited" for kind, count in edited.items() if count]
    return ", ".join(told) or "nothing new"
