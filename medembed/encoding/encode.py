"""Keeps an embedding table equal to a corpus: Ray Data spreads the work over encoding actors.

Only rows whose text the table does not hold are encoded. The unit of work is one item of `changes`,
which depends on corpus and table alone, so that batches, and with them the last bits of a vector,
do not depend on how many workers there are. What is finished is recorded; a rerun after any death
goes on from there, and one commit ends it.
"""

import json
import logging
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.artifact import place
from medembed.encoding.changes import Changes, compare
from medembed.encoding.codec import Storage
from medembed.encoding.commit import commit_table, show, tag_version
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import CorpusFile, read_keys, sample_texts
from medembed.encoding.index import find_index
from medembed.encoding.isolate import collect_failed, list_failed
from medembed.encoding.model_files import model_fingerprint, model_width, read_card
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.quantize import Ranges
from medembed.encoding.staging import FOLDER, Staging, clear_staging
from medembed.encoding.table import Table, TableInfo, check_encoder, find_table
from medembed.encoding.worker import EncodeRows, MeasureRanges, Target, join_ranges
from medembed.errors import DataError, StorageError
from medembed.matryoshka import check_trained
from medembed.progress import track
from medembed.schema import content_hash, fingerprint
from medembed.spread import spread

logger = logging.getLogger(__name__)

_OWN_FOLDERS = ("data/", "_versions/", "_transactions/", "_deletions/", f"{FOLDER}/")
# Texts whose vectors give the ranges of a new int8 table, and what is added at both ends for texts
# to come.
_CALIBRATION_TEXTS, _CALIBRATION_FILES, _CALIBRATION_ITEM, _MARGIN = 4096, 64, 256, 0.05
_BEYOND_ITEMS = 9_000_000  # numbers under which parts of that sample leave their notes


@dataclass(frozen=True)
class Encoded:
    """The table, and what was done so that it equals the corpus.

    `counts`: rows added, changed, deleted and unchanged, texts encoded. `resumed` rows were
    finished by an earlier run; `failed` is {id: type of the error} of documents that crash the
    encoder; `beyond` counts vectors of an int8 table with values beyond its ranges, which were
    measured on a sample; `tokens`, `padding` (tokens too) and `seconds`, those of all workers
    together, are this run's.
    """

    table: Table
    counts: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    padding: int = 0
    seconds: float = 0.0
    beyond: int = 0


def encode_corpus(
    corpus: Sequence[CorpusFile],
    dataset: str,
    model: str,
    output: str,
    config: EncodingConfig,
    *,
    is_unseen: bool = False,
) -> Table:
    """The embedding table of a corpus at `output`, as `update_table` makes it."""
    return update_table(corpus, dataset, model, output, config, is_unseen=is_unseen).table


def update_table(
    corpus: Sequence[CorpusFile],
    dataset: str,
    model: str,
    output: str,
    config: EncodingConfig,
    *,
    storage_type: Storage | None = None,
    dimensions: int | None = None,
    is_unseen: bool = False,
) -> Encoded:
    """Makes the table at `output` equal to the corpus: a new version, or the one that is there if
    nothing changed.

    A version that `is_unseen` is for the caller alone, until another call makes the same one for
    all. `dataset` is the data set's fingerprint; a table that bears it is not looked into. A new
    table keeps vectors as float32 and whole, unless `storage_type` and `dimensions` say otherwise.
    Until the one commit readers see the old version. Raises StorageError if another encoder's
    table, one that keeps vectors otherwise, or something else is there, or if another run commits
    meanwhile; DataError for a corpus without documents, or with an id twice; ModelError for
    dimensions that the model was not trained for.
    """
    folder = fetch_encoder(model)
    encoder = model_fingerprint(folder)
    output = place(output, encoder)
    base = find_table(output)
    _check(base, output, folder, encoder, storage_type, dimensions)
    if base is not None and base.info.dataset == dataset:
        return _reuse(base if is_unseen else show(base))
    with compare(read_keys(corpus), base.keys() if base else ()) as changes:
        logger.info(
            "corpus: %s", ", ".join(f"{count:,} {name}" for name, count in changes.counts.items())
        )
        items = to_items(changes, corpus, config)
        form = storage_type or "float32", dimensions
        staging = _open_staging(
            output, base.version if base else 0, [dataset, encoder, *form], items
        )
        is_measured = base is None and form[0] == "int8"
        ranges = _find_ranges(corpus, model, config, staging) if is_measured else None
        target = _target_of(base, output) if base else Target(output, 0, *form, ranges)
        found = _work(items, staging, model, target, config)
        failed = collect_failed([record["failed"] for record in found.records], config.max_failed)
        _refuse_nothing(failed, changes.counts, staging)
        # so that the next run compares keys, and tries what was left out again
        named = "" if failed else dataset
        info = (
            replace(base.info, dataset=named)
            if base
            else _info(found.records[0], target, encoder, named)
        )
        fragments = [record["fragments"] for record in found.records]
        table = commit_table(
            output,
            fragments,
            info,
            ranges=target.ranges,
            base=base,
            dead=changes.dead(),
            is_unseen=is_unseen,
        )
    if not failed and not is_unseen:
        tag_version(table)
    clear_staging(output, table.version)
    counts = changes.counts | ({"left out": len(failed)} if failed else {})
    beyond = sum(record["beyond"] for record in found.records)
    return Encoded(
        table, counts, found.resumed, failed, found.tokens, found.padding, found.seconds, beyond
    )


def _target_of(base: Table, output: str) -> Target:
    """A table that is there, which keeps vectors as it did."""
    return Target(output, base.version, base.info.storage, base.info.width, base.codec().ranges)


def to_items(
    changes: Changes, corpus: Sequence[CorpusFile], config: EncodingConfig
) -> list[dict[str, Any]]:
    """{number, rows, work} for `EncodeRows`; work as JSON, since Ray has no column of lists that
    may all be empty.
    """
    dealt = changes.deal(corpus, config.texts_per_item)
    return [
        {"number": item["number"], "rows": item["rows"], "work": json.dumps(item)} for item in dealt
    ]


def _reuse(table: Table) -> Encoded:
    """The table as it is; does what a run that died right after its commit has not done."""
    logger.info(
        "embedding table %s version %d: unchanged, reused", table.info.encoder, table.version
    )
    if not table.is_unseen:
        tag_version(table, is_new=False)
    clear_staging(table.uri, table.version)
    return Encoded(table, {"unchanged": table.rows})


@dataclass
class _Work:
    """Records of all items in order, rows that an earlier run had finished, and what this run
    did.
    """

    records: list[dict[str, Any]]
    resumed: int
    tokens: int
    padding: int
    seconds: float


def _work(
    items: Sequence[dict[str, Any]],
    staging: Staging,
    model: str,
    target: Target,
    config: EncodingConfig,
) -> _Work:
    done = staging.read()
    todo = [item for item in items if item["number"] not in done]
    total, rows = (sum(item["rows"] for item in some) for some in (todo, items))
    if total < rows:
        logger.info("%d of %d rows were finished by an earlier run", rows - total, rows)
    new: dict[int, dict[str, Any]] = {}
    if todo:
        run = secrets.token_hex(8)
        # not of what is left: a rerun computes as the run that died
        suited = config.suited_to(rows)
        arguments = {
            "model": model,
            "target": target,
            "config": suited,
            "staging": staging,
            "run": run,
        }
        results = _spread(todo, EncodeRows, arguments, config)
        tracked = track(
            results, total, "encode corpus", "documents", tokens=lambda row: int(row["tokens"])
        )
        new = {row["number"]: json.loads(row["record"]) for row in tracked}
    sums = {
        name: sum(record[name] for record in new.values())
        for name in ("tokens", "padding", "seconds")
    }
    done |= new
    return _Work([done[item["number"]] for item in items], rows - total, **sums)


def _refuse_nothing(failed: Mapping[str, str], counts: Mapping[str, int], staging: Staging) -> None:
    """Raises DataError if no document could be encoded: an empty table is no success."""
    if len(failed) == sum(counts[name] for name in ("added", "changed", "unchanged")):
        storage.delete_folder(staging.uri)  # a rerun tries them again
        raise DataError(
            f"corpus: all its documents crash the encoder, {list_failed(failed)}; no table is made."
        )


def describe(found: Encoded, seconds: float, workers: int) -> list[str]:
    """Lines for people: the table, what changed, and how the time was spent."""
    table = found.table
    lines = [
        (
            f"embedding table: {table.uri} version {table.version}, {table.rows:,} rows x "
            f"{table.info.width}"
        ),
        ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
        + (f"; {found.resumed:,} of them by an earlier run" if found.resumed else ""),
    ]
    if found.tokens:
        share = found.padding / (found.tokens + found.padding)
        busy = min(found.seconds / (workers * seconds), 1.0)
        lines.append(
            f"{found.tokens:,} tokens, {found.tokens / seconds:,.0f} tokens/s with start; padding "
            f"{share:.1%}; workers busy {busy:.0%} of the time"
        )
    if found.beyond:
        lines.append(
            f"{found.beyond:,} vectors have values beyond the int8 ranges, which a sample gave, "
            "and keep their ends; `medembed table verify` with the model says how near they are"
        )
    index = find_index(table)
    if index and index.rows < table.rows:
        lines.append(
            f"vector index: {table.rows - index.rows:,} rows not in it, compared exactly; renew it "
            f"by: medembed table index {shlex.quote(f'table={table.uri}')} kind={index.kind}"
        )
    if found.failed:
        lines.append(f"left out, as they crash the encoder: {list_failed(found.failed)}")
    return lines


def _open_staging(
    output: str, version: int, what: Sequence[Any], items: Sequence[dict[str, Any]]
) -> Staging:
    """The records of a run that had the same to do."""
    work = content_hash("\n".join(item["work"] for item in items))
    return Staging(output, version, fingerprint([*what, work]))


def _find_ranges(
    corpus: Sequence[CorpusFile], model: str, config: EncodingConfig, staging: Staging
) -> Ranges:
    """Ranges for int8 from a sample's vectors, measured once: a rerun takes those that it finds."""
    found = staging.read_ranges()
    if found is None:
        _, texts = sample_texts(corpus, _CALIBRATION_TEXTS, _CALIBRATION_FILES)
        items = [
            {"number": _BEYOND_ITEMS + start, "texts": texts[start : start + _CALIBRATION_ITEM]}
            for start in range(0, len(texts), _CALIBRATION_ITEM)
        ]
        arguments = {
            "model": model,
            "config": config,
            "staging": staging,
            "run": secrets.token_hex(8),
        }
        results = _spread(items, MeasureRanges, arguments, config)
        found = join_ranges(track(results, len(texts), "measure ranges", "documents")).widen(
            _MARGIN
        )
        staging.write_ranges(found)
    return found


def _spread(
    items: Sequence[dict[str, Any]], stage: type, arguments: dict[str, Any], config: EncodingConfig
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(rows, result) of each item, as they finish."""
    results = spread(
        items,
        stage,
        arguments,
        workers=config.workers,
        cpus=config.cpus_per_worker,
        gpus=config.gpus_per_worker,
    )
    return ((int(row["rows"]), row) for row in results)


def _info(record: dict[str, Any], target: Target, encoder: str, dataset: str) -> TableInfo:
    facts = record["info"] | {"dimensions": tuple(record["info"]["dimensions"])}
    return TableInfo(**facts, encoder=encoder, dataset=dataset, storage=target.storage)


def _check(
    base: Table | None,
    output: str,
    folder: Path,
    encoder: str,
    storage_type: Storage | None,
    dimensions: int | None,
) -> None:
    """Raises the errors of `update_table` that are seen before any work."""
    if base is None:
        _check_free(output)
        if dimensions is not None:
            check_trained(
                [dimensions], read_card(folder).dimensions, model_width(folder) or dimensions
            )
        return
    check_encoder(base, encoder)
    found, asked = (
        (base.info.storage, base.info.width),
        (storage_type or base.info.storage, dimensions),
    )
    if asked not in (found, (found[0], None)):
        raise StorageError(
            f"{base.uri}: keeps {found[1]} dimensions as {found[0]}, but {asked[1] or found[1]} as "
            f"{asked[0]} were asked for; choose another output, or leave storage and dimensions "
            "out."
        )


def _check_free(output: str) -> None:
    """Raises StorageError if something else than fragments of an unfinished table lies there
    already.
    """
    if not storage.exists(output):
        return
    foreign = [
        name
        for name in storage.list_files(output)
        if not name.startswith(_OWN_FOLDERS) or _is_foreign(name)
    ]
    if foreign:
        raise StorageError(
            f"{output}: expected nothing or an embedding table, found {foreign[0]!r}; choose "
            "another place."
        )


def _is_foreign(name: str) -> bool:
    """Whether a file in a folder named as one of Lance's is not Lance's: a data set has a folder
    `data` too.
    """
    return (
        name.startswith("data/")
        and not name.startswith("data/.tmp")
        and not name.endswith(".lance")
    )
