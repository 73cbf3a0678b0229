"""Makes a data set from its recipe in two passes, whole or not at all.

First every part of the source is read, cleaned and staged; then the driver, from keys alone, merges
duplicates and assigns splits; then every part is written out. Texts are never all in one memory.
Parts are cut by the source, so the data set does not depend on how many workers there are.

Staged rows go from one pass to the other of one run, in a folder of its own, and are removed with
it: they are no memory of finished parts. After a kill the next call begins anew.
"""

import logging
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import NewOutput, find_output
from medembed.data.column_names import show_columns
from medembed.data.dataset import FOLDERS, STAGING, Dataset, tidy
from medembed.data.duplicates import Flags, Ints
from medembed.data.formats.format import Part
from medembed.data.grown import EDITED, find_standing, with_rows_left_out
from medembed.data.judgments import Staged
from medembed.data.language import main_languages, settle_rows
from medembed.data.manifest import describe_build, length_every
from medembed.data.memory import remember
from medembed.data.parts import locate, log_encodings
from medembed.data.read_pass import PLACES_KEPT, SCHEMAS, StagePart
from medembed.data.recipe import Recipe
from medembed.data.resolve import Resolved, resolve
from medembed.data.write_pass import LINES, FinishPart, add_hashes, hash_rows
from medembed.errors import DataError, StorageError
from medembed.language import tr
from medembed.lineage import DatasetManifest
from medembed.progress import track
from medembed.schema import fingerprint
from medembed.spread import spread

logger = logging.getLogger(__name__)

_ROWS_PER_FILE = 100_000  # of the tables that the driver writes: keys, no texts


def find_made(output: str, key: str) -> Dataset | None:
    """Return the data set if it was made before, and remove what a dead run left there."""
    manifest = find_output(output, DatasetManifest, key)
    if manifest is None:
        return None
    logger.info(tr("data set {name}: unchanged, reused", name=manifest.fingerprint))
    dataset = Dataset(output, manifest)
    tidy(dataset)
    return dataset


def build(recipe: Recipe) -> Dataset:
    """Make the data set; several runs that make the same at once all end with it.

    Raises DataError for what is wrong in the source, StorageError if the output is taken.
    """
    _check_free(recipe.output)
    staging = storage.join(recipe.output, STAGING, secrets.token_hex(8))
    try:
        return _run_passes(recipe, staging)
    except BaseException as error:
        manifest = find_output(recipe.output, DatasetManifest, recipe.key)
        # another run has made it meanwhile, and tidied up
        if manifest is not None and isinstance(error, Exception):
            return Dataset(recipe.output, manifest)
        storage.delete_folder(staging)
        if manifest is None and not _is_being_made(recipe.output):
            for folder in FOLDERS:
                storage.delete_folder(storage.join(recipe.output, folder))
            storage.delete_empty_folder(recipe.output)
        raise


def _check_free(output: str) -> None:
    """Raise StorageError if there is anything but a data set or what a dead run left."""
    if not storage.exists(output):
        return
    foreign = [name for name in storage.list_files(output) if name.split("/")[0] not in FOLDERS]
    if foreign:
        raise StorageError(
            "{output}: expected nothing or a data set, found {name!r}; choose another place.",
            output=output,
            name=foreign[0],
        )


def _is_being_made(output: str) -> bool:
    """Return whether another run is at work there; one that was killed looks the same."""
    names = storage.list_files(output) if storage.exists(output) else []
    return any(name.startswith(f"{STAGING}/") for name in names)


def _run_passes(recipe: Recipe, staging: str) -> Dataset:
    log_encodings(recipe.parts)
    parts = [{"number": n, "part": asdict(part)} for n, part in enumerate(recipe.parts)]
    reading = {"source": recipe.source, "mappings": recipe.mappings, "staging": staging}
    staged = run_parts(parts, StagePart, reading, tr("read"), here=recipe.is_small)
    late: dict[str, None] = {}
    for row in staged:
        late |= dict.fromkeys(row["late"])
    if late:
        shown = show_columns(list(late), is_header=False)
        path = recipe.source.path
        logger.info(
            tr(
                "{path}: columns that the first rows lack, not used: {columns}",
                path=path,
                columns=shown,
            )
        )
    recipe.check()

    resolved = _resolve(recipe, staging, staged)
    writing = {
        "source": recipe.source,
        "staging": staging,
        "output": recipe.output,
        "tokenizer": recipe.tokenizer,
        "every": length_every(resolved),
    }
    files = [{"number": row["number"], "files": list(row["files"])} for row in staged]
    written = run_parts(files, FinishPart, writing, tr("write"), here=recipe.is_small)
    with NewOutput(recipe.output, recipe.key) as target:
        for row in written:
            target.files += [file["name"] for file in row["files"]]
        judged = _write_table(target, "qrels", resolved.qrels)
        _write_table(target, "held_out", resolved.held_out)
        _write_table(target, "groups", resolved.groups)
        identity = fingerprint([*(_total_hash(written, kind) for kind in LINES), f"{judged:064x}"])
        manifest = describe_build(recipe, resolved, staged, written, identity)
        dataset = Dataset(recipe.output, target.commit(manifest))
    tidy(dataset)
    return dataset


def run_parts(
    items: list[dict[str, Any]],
    stage: type,
    arguments: dict[str, Any],
    label: str,
    *,
    here: bool = False,
) -> list[dict[str, Any]]:
    """Return the stage's result for every item, in order; one item needs no workers."""
    if here or len(items) == 1:
        work = stage(**arguments)
        return [work(item) for item in items]
    results = ((1, row) for row in spread(items, stage, arguments, workers=None))
    return sorted(
        track(results, len(items), label, tr("parts")), key=lambda row: int(row["number"])
    )


@dataclass(frozen=True)
class _Keys:
    """The staged rows of one kind without texts, in the order of the staged files.

    `sizes` [files] are the rows of each file, `owners` [files] the part that it is of, and `stands`
    [rows] says which rows stand.
    """

    table: pa.Table
    sizes: list[int]
    owners: list[Part]
    stands: Flags

    def locate(self, row: int) -> str:
        """Return where the n-th row that stands was read."""
        position = int(np.flatnonzero(self.stands)[row])
        owner = self.owners[int(np.searchsorted(np.cumsum(self.sizes), position, side="right"))]
        return locate(owner, self.table["line"][position].as_py())

    @property
    def standing(self) -> pa.Table:
        return self.table.filter(pa.array(self.stands))


def _resolve(recipe: Recipe, staging: str, staged: Sequence[dict[str, Any]]) -> Resolved:
    """Resolve the staged keys, and write beside every staged file what becomes of its rows."""
    files: list[tuple[int, str]] = []
    for row in staged:
        files += [(int(row["number"]), name) for name in row["files"]]
    main = _find_main_languages(staged)
    keys = {kind: _read_keys(recipe, staging, files, kind, main) for kind in SCHEMAS}
    places = (keys["documents"].locate, keys["queries"].locate)
    left_out: Counter[str] = Counter()
    for row in staged:
        left_out.update({entry["rule"]: int(entry["count"]) for entry in row["dropped"]})
    resolved = resolve(
        Staged(**{kind: of_kind.standing for kind, of_kind in keys.items()}),
        recipe.splits,
        remember(recipe.splits),
        None if recipe.source.skip_bad_rows else places,
        left_out,
        is_listing=recipe.lists_documents,
    )
    if len(resolved.absent):
        _report_absent(recipe, keys["judgments"], resolved.absent)
    lines = {"documents": resolved.documents, "queries": resolved.queries}
    for kind in LINES:
        of_kind = keys[kind]
        edited = of_kind.table["id"].filter(pa.array(~of_kind.stands))
        if len(edited):
            resolved.dropped[EDITED[kind]] += len(pc.unique(edited))
        lines[kind] = with_rows_left_out(lines[kind], of_kind.stands)
        lines[kind] = lines[kind].append_column("language", of_kind.table["language"])
        start = 0
        for (_, name), size in zip(files, of_kind.sizes, strict=True):
            uri = storage.join(staging, LINES[kind], f"{name}.parquet")
            storage.write_parquet(uri, lines[kind].slice(start, size))
            start += size
    return replace(resolved, **lines)


def _report_absent(recipe: Recipe, judgments: _Keys, absent: Ints) -> None:
    """Say where documents are named that are not there. Raises DataError if none is there."""
    places = ", ".join(judgments.locate(row) for row in absent[:PLACES_KEPT])
    values = {"path": recipe.source.path, "count": len(absent), "places": places}
    of_parts = zip(judgments.owners, judgments.sizes, strict=True)
    by_id = sum(size for part, size in of_parts if not recipe.lists(part))
    if len(absent) == by_id and recipe.generation is None:
        raise DataError(
            "{path}: all {count:,} judgments name a document that is absent or left out; expected "
            "ids as the documents have them, to the letter. Compare them at {places}.",
            **values,
        )
    logger.warning(
        tr(
            "{path}: {count:,} judgments name a document that is absent or left out: {places}",
            **values,
        )
    )


def _find_main_languages(staged: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return {column: its languages}, by the texts of all parts."""
    weights: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for of_part in staged:
        for entry in of_part["languages"]:
            weights[entry["column"]][entry["language"]] += int(entry["weight"])
    return {column: main_languages(of_column) for column, of_column in weights.items()}


def _read_keys(
    recipe: Recipe,
    staging: str,
    files: Sequence[tuple[int, str]],
    kind: str,
    main: Mapping[str, Sequence[str]],
) -> _Keys:
    columns = [column for column in SCHEMAS[kind].names if column != "text"]
    tables: list[pa.Table] = []
    for _, name in files:
        uri = storage.join(staging, kind, f"{name}.parquet")
        tables.append(storage.read_parquet(uri, columns))
    table = pa.concat_tables(tables)
    if kind in LINES:
        languages = settle_rows(table, main)
        table = table.drop_columns(["column", "guesses"]).append_column("language", languages)
    sizes = [of_file.num_rows for of_file in tables]
    numbers = [number for number, _ in files]
    stands = np.ones(table.num_rows, dtype=np.bool_)
    if recipe.generation is not None and kind in LINES:
        stands = find_standing(table, np.repeat(recipe.generation[numbers], sizes))
    return _Keys(table, sizes, [recipe.parts[number] for number in numbers], stands)


def _write_table(target: NewOutput, name: str, table: pa.Table) -> int:
    """Write a table of the driver in files, and return the hash of its rows as a set."""
    total = 0
    for number, start in enumerate(range(0, table.num_rows, _ROWS_PER_FILE)):
        rows = table.slice(start, _ROWS_PER_FILE)
        target.write_parquet(f"{name}/part-{number:05d}.parquet", rows)
        if name == "qrels":
            total = add_hashes(total, hash_rows(rows.to_pylist()))
    return total


def _total_hash(written: Sequence[dict[str, Any]], kind: str) -> str:
    total = 0
    for row in written:
        total = add_hashes(total, int(row[f"{kind}_hash"], 16))
    return f"{total:064x}"
