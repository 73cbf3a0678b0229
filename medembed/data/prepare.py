"""A source -> a data set, found again where it was made before."""

import logging

from medembed import storage
from medembed.artifact import place
from medembed.data.build import build, find_made
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, open_dataset
from medembed.data.formats.files import paths_of
from medembed.data.formats.format import CutSource
from medembed.data.joining import map_source
from medembed.data.parts import find_parts
from medembed.data.recipe import Recipe
from medembed.schema import content_hash, fingerprint

logger = logging.getLogger(__name__)


def prepare(
    source: SourceConfig, splits: SplitConfig, output: str, tokenizer: str | None = None
) -> Dataset:
    """Return the data set of a source at `output`; found again if source and config are unchanged.

    `tokenizer` is a tokenizer.json as text, by which the manifest counts lengths; None counts
    words. Raises DataError for malformed rows, an empty source or a leak, StorageError for places
    out of reach.
    """
    source = _with_absolute_path(source)
    cut_source = find_parts(source, may_join=True)
    previous = _open_previous(splits)
    key = _key(cut_source, source, splits, previous, tokenizer)
    output = place(output, key)
    made = find_made(output, key)
    if made is not None:
        return made
    mapped = map_source(cut_source, source)
    for line in mapped.describe(source.path):
        logger.info("%s", line)
    recipe = Recipe(
        cut_source.format,
        mapped.parts,
        mapped.mappings,
        source,
        splits,
        output,
        key,
        tokenizer,
        grown_from=previous.as_source if previous else None,
    )
    return build(recipe)


def check_source(source: SourceConfig, splits: SplitConfig) -> int:
    """Return the number of parts that workers can read side by side; quick.

    Raises StorageError or DataError if the source or `splits.previous` is not there, or its columns
    fit no shape.
    """
    source = _with_absolute_path(source)
    cut_source = find_parts(source, may_join=True)
    map_source(cut_source, source)
    _open_previous(splits)
    return len(cut_source.parts)


def _open_previous(splits: SplitConfig) -> Dataset | None:
    return open_dataset(storage.absolute(splits.previous)) if splits.previous else None


def _key(
    cut_source: CutSource,
    source: SourceConfig,
    splits: SplitConfig,
    previous: Dataset | None,
    tokenizer: str | None,
) -> str:
    """Return the fingerprint of all that determines the data set."""
    settings = {
        "source": source.model_dump(exclude={"path"}),
        "splits": splits.model_dump() | {"previous": previous.fingerprint if previous else None},
    }
    return fingerprint([settings, cut_source.fingerprint, content_hash(tokenizer or "")])


def _with_absolute_path(source: SourceConfig) -> SourceConfig:
    """Return the source with a path that workers find from any working directory."""
    paths = [storage.absolute(path) for path in paths_of(source.path)]
    path = paths[0] if len(paths) == 1 else f"[{','.join(paths)}]"
    return source.model_copy(update={"path": path})
