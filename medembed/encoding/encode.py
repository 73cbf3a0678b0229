"""Keep an embedding table equal to a corpus: Ray Data spreads the work over encoding actors.

Only rows whose text the table does not hold are encoded. The unit of work is one item of `changes`,
which depends on corpus and table alone, so that batches, and with them the last bits of a vector,
do not depend on how many workers there are. What is finished is recorded; a rerun after any death
goes on from there, and one commit ends it.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

from medembed.artifact import place
from medembed.bits import calibrate_bits
from medembed.codes import Ranges, calibrate
from medembed.encoding.changes import Changes, compare
from medembed.encoding.codec import Storage
from medembed.encoding.commit import commit_table, show, tag_version
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import CorpusFile, read_keys, sample_texts
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.staging import Finished, clear_staging, open_staging, read_finished
from medembed.encoding.table import Table, TableInfo, find_table
from medembed.encoding.target import Target, check_new, check_same
from medembed.encoding.texts import encode_texts
from medembed.encoding.worker import EncodeRows
from medembed.language import tr
from medembed.matryoshka import truncate
from medembed.progress import track_rows
from medembed.records import Arrays, Records
from medembed.schema import content_hash, fingerprint
from medembed.spread import spread

logger = logging.getLogger(__name__)

# Texts whose vectors give the ranges of a new table of codes, the most files that they come from,
# and the share of an int8 range that is added at both ends for texts to come.
_CALIBRATION_TEXTS = 4096
_CALIBRATION_FILES = 64
_MARGIN = 0.05


@dataclass(frozen=True)
class Encoded:
    """The table, and what was done so that it equals the corpus.

    `counts`: rows added, changed, deleted and unchanged, texts encoded. `resumed` rows were
    finished by an earlier run; `beyond` counts vectors of an int8 table with values beyond its
    ranges, which were measured on a sample; `tokens`, `padding` (tokens too) and `seconds`, those
    of all workers together, are this run's.
    """

    table: Table
    counts: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
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
    """Return the embedding table of a corpus at `output`, as `update_table` makes it."""
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
    """Make the table at `output` equal to the corpus: a new version, unless nothing changed.

    A version that `is_unseen` is for the caller alone, until another call makes the same one for
    all. `dataset` is the data set's fingerprint; a table that bears it is not looked into. A new
    table keeps vectors as float32 and whole, unless `storage_type` and `dimensions` say otherwise.
    Until the one commit readers see the old version. Raises StorageError for another encoder's
    table or something else there, or if another run commits meanwhile; DataError for an empty
    corpus, an id twice, or a text on which the model fails; ModelError for untrained dimensions, or
    one text alone for a new table of codes.
    """
    folder = fetch_encoder(model)
    encoder = encoder_fingerprint(folder, config)
    output = place(output, encoder)
    base = find_table(output)
    if base is None:
        check_new(output, folder, dimensions)
    else:
        check_same(base, encoder, storage_type, dimensions)
        if base.info.dataset == dataset:
            return _reuse(base if is_unseen else show(base))
    target = Target.of(base) if base else Target(output, 0, storage_type or "float32", dimensions)
    with compare(read_keys(corpus), base.keys() if base else ()) as changes:
        logger.info(tr("corpus: {counts}", counts=changes.describe()))
        items = to_items(changes, corpus, config)
        staging = _open_records(target, dataset, encoder, items)
        target = _with_ranges(target, corpus, model, config, staging)
        work = _encode(items, staging, model, target, config)
        info = replace(base.info, dataset=dataset) if base else work.info(target, encoder, dataset)
        table = commit_table(
            output,
            work.fragments,
            info,
            ranges=target.ranges,
            base=base,
            dead=changes.dead(),
            is_unseen=is_unseen,
        )
    _tidy(table, is_new=True)
    return work.describe(table, changes.counts)


def to_items(
    changes: Changes, corpus: Sequence[CorpusFile], config: EncodingConfig
) -> list[dict[str, Any]]:
    """Return {number, rows, work} for `EncodeRows`.

    The work is JSON, since Ray has no column of lists that may all be empty.
    """
    items = []
    for item in changes.deal(corpus, config.texts_per_item):
        items.append({"number": item["number"], "rows": item["rows"], "work": json.dumps(item)})
    return items


@dataclass(frozen=True)
class _Work:
    """Records of all items in order, those of this run's, and rows that an earlier run finished."""

    records: list[Finished]
    new: list[Finished]
    resumed: int

    @property
    def fragments(self) -> list[str]:
        return [finished.fragments for finished in self.records]

    def info(self, target: Target, encoder: str, dataset: str) -> TableInfo:
        """Return what a new table says of itself: its first item knows the encoder."""
        facts = self.records[0].encoder
        assert facts is not None, "the first item of a new table has texts to encode"
        return TableInfo(**asdict(facts), encoder=encoder, dataset=dataset, storage=target.storage)

    def describe(self, table: Table, counts: dict[str, int]) -> Encoded:
        tokens = 0
        padding = 0
        seconds = 0.0
        for finished in self.new:
            tokens += finished.tokens
            padding += finished.padding
            seconds += finished.seconds
        beyond = sum(finished.beyond for finished in self.records)
        return Encoded(table, counts, self.resumed, tokens, padding, seconds, beyond)


def _reuse(table: Table) -> Encoded:
    """Return the table as it is; do what a run that died right after its commit has not done."""
    logger.info(
        tr(
            "embedding table {encoder} version {version}: unchanged, reused",
            encoder=table.info.encoder,
            version=table.version,
        )
    )
    _tidy(table, is_new=False)
    return Encoded(table, {"unchanged": table.rows})


def _tidy(table: Table, *, is_new: bool) -> None:
    """Tag a version that readers see, and remove what earlier versions left in staging."""
    if not table.is_unseen:
        tag_version(table, is_new=is_new)
    clear_staging(table.uri, table.version)


def _open_records(
    target: Target, dataset: str, encoder: str, items: Sequence[dict[str, Any]]
) -> Records:
    """Return the records of all runs that had the same to do."""
    work = content_hash("\n".join(item["work"] for item in items))
    key = fingerprint([dataset, encoder, target.storage, target.dimensions, work])
    return open_staging(target.uri, target.version, key)


def _with_ranges(
    target: Target,
    corpus: Sequence[CorpusFile],
    model: str,
    config: EncodingConfig,
    staging: Records,
) -> Target:
    """Return a new table of codes with the ranges of a sample's vectors, any other as it is.

    They are measured once: a rerun takes those it finds.
    """
    if target.ranges is not None or target.storage not in ("int8", "binary"):
        return target

    def measure() -> Arrays:
        sample = sample_texts(corpus, _CALIBRATION_TEXTS, _CALIBRATION_FILES)
        vectors = encode_texts({"document": sample.texts}, model, config)["document"]
        if target.storage == "binary":
            ranges = calibrate_bits(truncate(vectors, target.dimensions or vectors.shape[1]))
        else:
            ranges = calibrate(vectors).widen(_MARGIN)
        return {"low": ranges.low, "high": ranges.high, "count": np.asarray(ranges.count)}

    kept = staging.once("ranges", measure)
    return replace(target, ranges=Ranges(kept["low"], kept["high"], int(kept["count"])))


def _encode(
    items: Sequence[dict[str, Any]],
    staging: Records,
    model: str,
    target: Target,
    config: EncodingConfig,
) -> _Work:
    """Do the items that no earlier run has finished."""
    done = read_finished(staging)
    todo = []
    total = 0
    left = 0
    for item in items:
        total += item["rows"]
        if item["number"] not in done:
            todo.append(item)
            left += item["rows"]
    if left < total:
        logger.info(
            tr(
                "{done} of {total} rows were finished by an earlier run",
                done=total - left,
                total=total,
            )
        )
    new: dict[int, Finished] = {}
    if todo:
        arguments = {
            "model": model,
            "target": target,
            # by all rows, not by those that are left: a rerun computes as the run that died
            "config": config.suited_to(total),
            "staging": staging,
        }
        results = spread(
            todo,
            EncodeRows,
            arguments,
            workers=config.workers,
            cpus=config.cpus_per_worker,
            gpus=config.gpus_per_worker,
        )
        for row in track_rows(
            results, left, tr("encode corpus"), tr("documents"), itemgetter("tokens")
        ):
            new[row["number"]] = Finished.from_json(json.loads(row["record"]))
    finished = done | new
    records = [finished[item["number"]] for item in items]
    return _Work(records, list(new.values()), total - left)
