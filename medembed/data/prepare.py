"""A source -> a data set, found again where it was made before, and whole or not at all."""

import logging
import secrets
from collections.abc import Sequence

from medembed import storage
from medembed.artifact import find_output, place
from medembed.data.column_names import SOURCE, explain_absent
from medembed.data.columns import Seen, look
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import FOLDERS, STAGING, Dataset, open_dataset, tidy
from medembed.data.files import TABLES, locate, read_part
from medembed.data.mapping import BEIR_ROLES, Mapping, find_mapping
from medembed.data.parts import Part, Source, find_parts
from medembed.data.passes import Plan, run_passes
from medembed.data.rows import BadRow
from medembed.errors import DataError, StorageError
from medembed.lineage import DatasetManifest
from medembed.schema import content_hash, fingerprint

logger = logging.getLogger(__name__)


class NoRows(DataError):
    """A source without a row that can be read."""


def prepare(
    source: SourceConfig, splits: SplitConfig, output: str, tokenizer: str | None = None
) -> Dataset:
    """The data set of a source at `output`; found again if source and config are unchanged.

    `tokenizer` is a tokenizer.json as text, by which the manifest counts lengths; None counts
    words. Raises DataError for malformed rows, an empty source or a leak, StorageError for places
    out of reach.
    """
    source = _located(source)
    found = find_parts(source)
    key = source_key(found, source, splits, tokenizer)
    output = place(output, key)
    made = find_made(output, key)
    if made is not None:
        return made
    mapping = choose_mapping(found, source)
    logger.info(
        "%s: %s",
        source.path,
        mapping.describe() if mapping else f"{found.format}, by its fixed columns",
    )
    mappings: dict[str, Mapping | None] = dict.fromkeys((part.uri for part in found.parts), mapping)
    previous = (
        open_dataset(storage.absolute(splits.previous)).as_source if splits.previous else None
    )
    return make(Plan(found, mappings, source, splits, output, key, tokenizer, grown_from=previous))


def find_made(output: str, key: str) -> Dataset | None:
    """The data set if it was made before; does what a run that died right after its commit has not
    done.
    """
    manifest = find_output(output, DatasetManifest, key)
    if manifest is None:
        return None
    logger.info("data set %s: unchanged, reused", manifest.fingerprint)
    dataset = Dataset(output, manifest)
    tidy(dataset)
    return dataset


def make(plan: Plan) -> Dataset:
    """Makes the data set, whole or not at all; several runs that make the same at once all end with
    it.
    """
    _check_free(plan.output)
    staging = storage.join(plan.output, STAGING, secrets.token_hex(8))
    try:
        return run_passes(plan, staging)
    except BaseException as error:
        manifest = find_output(plan.output, DatasetManifest, plan.key)
        # another run has made it meanwhile, and tidied up
        if manifest is not None and isinstance(error, Exception):
            return Dataset(plan.output, manifest)
        storage.delete_folder(staging)
        if manifest is None and not _is_being_made(plan.output):
            _remove_output(plan.output)
        raise


def check_source(source: SourceConfig, splits: SplitConfig) -> int:
    """The number of parts that workers can read side by side; quick.

    Raises StorageError or DataError if the source or `splits.previous` is not there, or its columns
    fit no shape.
    """
    source = _located(source)
    found = find_parts(source)
    choose_mapping(found, source)
    if splits.previous is not None:
        open_dataset(storage.absolute(splits.previous))
    return len(found.parts)


def source_key(
    found: Source, source: SourceConfig, splits: SplitConfig, tokenizer: str | None
) -> str:
    """Fingerprint of all that determines the data set: the source's content, its reading, the
    split.
    """
    previous = (
        open_dataset(storage.absolute(splits.previous)).fingerprint if splits.previous else None
    )
    settings = {
        "source": source.model_dump(exclude={"path"}),
        "splits": splits.model_dump() | {"previous": previous},
    }
    return fingerprint([settings, found.fingerprint, content_hash(tokenizer or "")])


def choose_mapping(found: Source, source: SourceConfig, *, is_whole: bool = True) -> Mapping | None:
    """Return the mapping of the source's columns by its first rows; None for formats that say it
    themselves.

    If it `is_whole`, each declared column is in some row; what comes in drops may lack some. Raises
    DataError, as NoRows where there is none.
    """
    if is_whole and not source.header and found.format not in TABLES:
        raise DataError(
            f"{source.path}: source.header=false is for CSV and TSV; found {found.format}."
        )
    if found.format == "ontology":
        return None
    wanted = {path: role for role, paths in source.columns for path in paths}
    if found.format == "beir":
        _check_beir(found, source, wanted)
        return None
    seen = look(found.parts, source, list(wanted))
    if not seen.names:
        raise NoRows(_explain_nothing(found.parts, source))
    is_header = found.format in TABLES and source.header
    mapping = find_mapping(seen.names, source, is_header=is_header)
    if is_whole and seen.absent:
        raise _absent(seen, wanted, source, is_header=is_header)
    return mapping


def _check_beir(found: Source, source: SourceConfig, wanted: dict[str, str]) -> None:
    """Raises DataError for a declared column that BEIR's files do not have, or that is not read of
    them.
    """
    unread = [role for role in wanted.values() if role not in BEIR_ROLES]
    if unread:
        raise DataError(
            f"{source.path}: a BEIR folder has columns of its own; found "
            f"source.columns.{unread[0]}, expected none but {', '.join(BEIR_ROLES)}."
        )
    seen = look(
        [part for part in found.parts if part.kind in ("corpus", "queries")], source, list(wanted)
    )
    if seen.absent:
        raise _absent(seen, wanted, source, is_header=False)


def _absent(
    seen: Seen, wanted: dict[str, str], source: SourceConfig, *, is_header: bool
) -> DataError:
    path = seen.absent[0]
    absent = explain_absent(wanted[path], path, seen.names, SOURCE, is_header=is_header)
    return DataError(
        f"{source.path}: {absent} No row has a value there: mend the name, or leave it out."
    )


def _explain_nothing(parts: Sequence[Part], source: SourceConfig) -> str:
    """Why no row of a source can be read: the first row's fault, or that there is none."""
    for part in parts:
        for line, row in read_part(part, source):
            if isinstance(row, BadRow):
                return f"{locate(part, line)}: {row.fault} No other row can be read either."
    return f"{source.path}: empty; expected rows of texts."


def _located(source: SourceConfig) -> SourceConfig:
    """The source with a path that workers find from any working directory."""
    return source.model_copy(update={"path": storage.absolute(source.path)})


def _check_free(output: str) -> None:
    """Raises StorageError if something else than what a killed run left lies there already."""
    if not storage.exists(output):
        return
    foreign = [name for name in storage.list_files(output) if name.split("/")[0] not in FOLDERS]
    if foreign:
        raise StorageError(
            f"{output}: expected nothing or a data set, found {foreign[0]!r}; choose another place."
        )


def _is_being_made(output: str) -> bool:
    """Whether another run is at work there; one that was killed looks the same."""
    return storage.exists(output) and any(
        name.startswith(f"{STAGING}/") for name in storage.list_files(output)
    )


def _remove_output(output: str) -> None:
    """Removes what a run leaves that failed."""
    for folder in FOLDERS:
        storage.delete_folder(storage.join(output, folder))
    storage.delete_empty_folder(output)
