"""A data set and files that came since -> the next data set: its rows, with what is new and what
was edited.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from medembed import storage
from medembed.artifact import place
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.grown import generations, parts_of
from medembed.data.mapping import Mapping as Columns
from medembed.data.parts import PART_BYTES, Source, find_parts, hash_file
from medembed.data.passes import Plan
from medembed.data.prepare import NoRows, choose_mapping, find_made, make
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
    """The data set of `previous` and of files as (URI, content hash), oldest first, at `output`;
    found again.

    Rows of `previous` keep their ids and splits. Where a file gives an id of before another text,
    the newest file's counts, as an edit: judgments of the id stay. Each file has columns of its
    own: questions may come in one, documents in another. Its manifest names `previous`, and in
    `taken` the content hashes of all files that it and those before it were made from. Raises what
    `prepare` raises, DataError for files that hold no rows, or other bytes by now.
    """
    parts = {uri: find_parts(source.model_copy(update={"path": uri})) for uri, _ in files}
    for uri, found in parts.items():
        if found.format not in _AS_ROWS:
            raise DataError(
                f"{uri}: looks like {found.format}; expected rows: {', '.join(_AS_ROWS)}."
            )
    settings = [source.model_dump(exclude={"path"}), splits.model_dump(exclude={"previous"})]
    before = previous.fingerprint if previous else None
    key = fingerprint(
        [before, [name for _, name in files], settings, content_hash(tokenizer or "")]
    )
    output = place(output, key)
    made = find_made(output, key)
    if made is not None:
        return made
    new = tuple(part for uri, _ in files for part in parts[uri].parts)
    old = parts_of(previous) if previous else ()
    form = next(iter(parts.values())).format
    mappings = _choose_mappings(parts, source)
    read_as = Counter(
        one.describe() if one else "by fixed columns, or without rows" for one in mappings.values()
    )
    for described, count in read_as.items():
        logger.info("%d files: %s", count, described)
    taken = {
        **(previous.manifest.taken if previous else {}),
        **{name: _last(uri) for uri, name in files},
    }
    grown_from = previous.as_source if previous else None
    splits = splits.model_copy(update={"previous": previous.uri if previous else splits.previous})
    plan = Plan(
        Source(form, (*old, *new), ""),
        mappings,
        source,
        splits,
        output,
        key,
        tokenizer,
        generations(old, new),
        grown_from,
        taken,
        is_small=_is_small(previous, files),
        check=partial(_check_unchanged, files),
    )
    return make(plan)


def _choose_mappings(
    parts: Mapping[str, Source], source: SourceConfig
) -> dict[str, Columns | None]:
    """Of each file by itself; one that has no row needs none, as long as another has some. Raises
    DataError.
    """
    found: dict[str, Columns | None] = {}
    empty: list[NoRows] = []
    for uri, of_file in parts.items():
        try:
            found[uri] = choose_mapping(
                of_file, source.model_copy(update={"path": uri}), is_whole=False
            )
        except NoRows as fault:
            empty.append(fault)
    if not found:
        raise empty[0]
    return found | dict.fromkeys(parts.keys() - found.keys())


def _check_unchanged(files: Sequence[tuple[str, str]]) -> None:
    """Raises DataError if a file is not what it was when it was chosen."""
    changed = [uri for uri, content in files if hash_file(uri) != content]
    if changed:
        raise DataError(
            f"{changed[0]}: was written to while it was read; run again when it is complete."
        )


def _is_small(previous: Dataset | None, files: Sequence[tuple[str, str]]) -> bool:
    """Whether workers would take longer to start than one process needs for all of it."""
    rows = sum(previous.manifest.counts.values()) if previous else 0
    return (
        rows <= _FEW_ROWS
        and sum(size for uri, _ in files for _, size, _ in storage.find_files(uri)) <= PART_BYTES
    )


def _last(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def describe_growth(previous: Dataset | None, dataset: Dataset) -> str:
    """What is new, in a line for people."""
    before = previous.manifest.counts if previous else {}
    dropped = dataset.manifest.dropped
    added = {name: count - before.get(name, 0) for name, count in dataset.manifest.counts.items()}
    edited = {kind: dropped.get(f"{kind} text edited", 0) for kind in ("document", "query")}
    told = [f"{count:+,} {name}" for name, count in added.items() if count]
    told += [f"{count:,} {kind} texts edited" for kind, count in edited.items() if count]
    return ", ".join(told) or "nothing new"
