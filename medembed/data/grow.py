"""A data set and files that came since -> the next data set, with what is new or edited."""

import itertools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from medembed import storage
from medembed.artifact import place
from medembed.data.build import build, find_made
from medembed.data.columns import NoRows, choose_mapping
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.formats.files import hash_file
from medembed.data.formats.format import CutSource
from medembed.data.formats.previous import cut_dataset
from medembed.data.formats.table import FORMATS
from medembed.data.grown import EDITED, generations
from medembed.data.mapping import Mapping as Columns
from medembed.data.parts import find_parts
from medembed.data.recipe import Recipe
from medembed.errors import DataError
from medembed.language import tr, tr_count
from medembed.schema import content_hash, fingerprint

logger = logging.getLogger(__name__)

_FEW_ROWS = 20_000
_FEW_BYTES = 16 << 20
Files = Sequence[tuple[str, str]]  # (URI, content hash), oldest first


def grow(
    previous: Dataset | None,
    files: Files,
    source: SourceConfig,
    splits: SplitConfig,
    output: str,
    tokenizer: str | None = None,
) -> Dataset:
    """Return the data set of `previous` and the files, made at `output` if it is not there.

    Rows of `previous` keep their ids and splits. Where a file gives an id of before another text,
    the newest file's counts, as an edit: judgments of the id stay. Each file has columns of its
    own: questions may come in one, documents in another. Its manifest names `previous`, and in
    `taken` the content hashes of all files that it and those before it were made from. Raises what
    `prepare` raises, DataError for files that hold no rows, or other bytes by now.
    """
    sources = _find_sources(files, source)
    settings = [source.model_dump(exclude={"path"}), splits.model_dump(exclude={"previous"})]
    hashes = [content for _, content in files]
    before = previous.fingerprint if previous else None
    key = fingerprint([before, hashes, settings, content_hash(tokenizer or "")])
    output = place(output, key)
    made = find_made(output, key)
    if made is not None:
        return made
    new = tuple(itertools.chain.from_iterable(sources[uri].parts for uri, _ in files))
    old = cut_dataset(previous) if previous else ()
    mappings = _choose_mappings(sources, source)
    taken = dict(previous.manifest.taken) if previous else {}
    taken |= {content: uri.rstrip("/").rpartition("/")[2] for uri, content in files}
    if previous:
        splits = splits.model_copy(update={"previous": previous.uri})
    recipe = Recipe(
        next(iter(sources.values())).format,
        (*old, *new),
        mappings,
        source,
        splits,
        output,
        key,
        tokenizer,
        generation=generations(old, new),
        grown_from=previous.as_source if previous else None,
        taken=taken,
        is_small=_is_small(previous, files),
        check=partial(_check_unchanged, files),
    )
    return build(recipe)


def describe_growth(previous: Dataset | None, dataset: Dataset) -> str:
    """Return what is new, in a line for people."""
    before = previous.manifest.counts if previous else {}
    news: list[str] = []
    for name, count in dataset.manifest.counts.items():
        added = count - before.get(name, 0)
        if added:
            news.append(tr("{count:+,} {name}", count=added, name=tr(name)))
    dropped = dataset.manifest.dropped
    documents = dropped.get(EDITED["documents"], 0)
    if documents:
        news.append(
            tr_count("{count:,} document text edited", "{count:,} document texts edited", documents)
        )
    queries = dropped.get(EDITED["queries"], 0)
    if queries:
        news.append(
            tr_count("{count:,} query text edited", "{count:,} query texts edited", queries)
        )
    return ", ".join(news) or tr("nothing new")


def _find_sources(files: Files, source: SourceConfig) -> dict[str, CutSource]:
    """Return each file as a source of its own. Raises DataError for one that holds no rows."""
    sources: dict[str, CutSource] = {}
    for uri, _ in files:
        sources[uri] = find_parts(source.model_copy(update={"path": uri}))
        form = FORMATS[sources[uri].format]
        if not form.endings:
            of_files = [form.name for form in FORMATS.values() if form.endings]
            raise DataError(
                "{uri}: looks like {format}; expected rows: {formats}.",
                uri=uri,
                format=form.name,
                formats=", ".join(of_files),
            )
    return sources


def _choose_mappings(
    sources: Mapping[str, CutSource], source: SourceConfig
) -> dict[str, Columns | None]:
    """Return the mapping of each file; one without a row needs none.

    Raises DataError if none has a row.
    """
    mappings: dict[str, Columns | None] = {}
    empty: list[NoRows] = []
    for uri, of_file in sources.items():
        own = source.model_copy(update={"path": uri})
        try:
            mappings[uri] = choose_mapping(of_file, own, is_whole=False)
        except NoRows as fault:
            empty.append(fault)
    if not mappings:
        raise empty[0]
    mappings |= dict.fromkeys(sources.keys() - mappings.keys())
    counts = Counter(
        mapping.describe() if mapping else tr("by fixed columns, or without rows")
        for mapping in mappings.values()
    )
    for described, count in counts.items():
        logger.info(tr("{count} files: {columns}", count=count, columns=described))
    return mappings


def _check_unchanged(files: Files) -> None:
    """Raise DataError if a file is not what it was when it was chosen."""
    changed = [uri for uri, content in files if hash_file(uri) != content]
    if changed:
        raise DataError(
            "{uri}: was written to while it was read; run again when it is complete.",
            uri=changed[0],
        )


def _is_small(previous: Dataset | None, files: Files) -> bool:
    """Return whether workers would take longer to start than one process needs for all of it."""
    rows = sum(previous.manifest.counts.values()) if previous else 0
    size = 0
    for uri, _ in files:
        size += sum(size for _, size, _ in storage.find_files(uri))
    return rows <= _FEW_ROWS and size <= _FEW_BYTES
