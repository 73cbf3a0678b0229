"""Keeps an embedding table equal to a corpus, and encodes queries: Ray Data spreads the work over encoding actors.

Only rows whose text the table does not hold are encoded. The unit of work is one item of `changes.deal_rows`, which
depends on corpus and table alone, so that batches, and with them the last bits of a vector, do not depend on how many
workers there are. What is finished is recorded; a rerun after any death goes on from there, and one commit ends it.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import storage
from medembed.artifact import place
from medembed.encoding.batching import count_padding
from medembed.encoding.changes import NO_KEYS, Changes, Keys, deal_copies, deal_rows, find_changes
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, Role
from medembed.encoding.isolate import Attempts, encode_apart
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.staging import FOLDER, Staging
from medembed.encoding.table import (
    Table,
    TableInfo,
    check_encoder,
    commit_table,
    find_table,
    find_vectors,
    tag_version,
    write_fragment,
)
from medembed.errors import DataError, StorageError
from medembed.progress import track
from medembed.schema import content_hash, fingerprint
from medembed.spread import spread

logger = logging.getLogger(__name__)

CorpusFile = tuple[str, int]  # (URI of a Parquet file with columns schema.CORPUS, its number of rows)
_TEXTS_PER_ITEM = 1024
_OWN_FOLDERS = ("data/", "_transactions/", "_deletions/", f"{FOLDER}/")


@dataclass(frozen=True)
class Encoded:
    """The table, and what was done so that it equals the corpus.

    `counts`: rows added, changed, deleted and unchanged, texts encoded. `resumed` rows were finished by an earlier run;
    `failed` are ids of documents that crash the encoder; `seconds` are those of all workers together.
    """

    table: Table
    counts: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    failed: tuple[str, ...] = ()
    tokens: int = 0
    padding: int = 0
    seconds: float = 0.0


def encode_corpus(corpus: Sequence[CorpusFile], dataset: str, model: str, output: str, config: EncodingConfig) -> Table:
    """The embedding table of a corpus at `output`, as `update_table` makes it."""
    return update_table(corpus, dataset, model, output, config).table


def update_table(
    corpus: Sequence[CorpusFile], dataset: str, model: str, output: str, config: EncodingConfig
) -> Encoded:
    """Makes the table at `output` equal to the corpus: a new version, or the one that is there if nothing changed.

    `dataset` is the data set's fingerprint; a table that bears it is not looked into. Until the one commit readers see
    the old version. Raises StorageError if another encoder's table or something else is there, or if another run
    commits meanwhile; DataError for a corpus without documents, or with an id twice.
    """
    encoder = model_fingerprint(fetch_model(model))
    output = place(output, encoder)
    base = find_table(output)
    if base is not None:
        check_encoder(base, encoder)
        if base.info.dataset == dataset:
            logger.info("embedding table %s version %d: unchanged, reused", encoder, base.version)
            return Encoded(base, {"unchanged": base.rows})
    else:
        _check_free(output)
    keys = read_keys(corpus)
    sizes = [shard["rows"] for shard in base.shards()] if base else []
    changes = find_changes(keys, base.keys() if base else NO_KEYS, sizes)
    logger.info("corpus: %s", ", ".join(f"{count:,} {name}" for name, count in changes.counts.items()))
    items = _items(changes, keys, corpus)
    staging = Staging(output, fingerprint([base.version if base else 0, dataset, encoder, _identify(items)]))
    records, resumed = _work(items, staging, model, output, base, config)
    failed = _check_failed(records, config.max_failed)
    table = commit_table(output, [record["fragments"] for record in records], _info(records, base, encoder, dataset),
                         base=base, dead=changes.dead)  # fmt: skip
    tag_version(table)
    staging.clear()
    sums = {name: sum(record[name] for record in records) for name in ("tokens", "padding", "seconds")}
    return Encoded(
        table, changes.counts, resumed, failed, int(sums["tokens"]), int(sums["padding"]), float(sums["seconds"])
    )


def _work(
    items: Sequence[dict[str, Any]],
    staging: Staging,
    model: str,
    output: str,
    base: Table | None,
    config: EncodingConfig,
) -> tuple[list[dict[str, Any]], int]:
    """(the record of each item, the rows that an earlier run had finished)."""
    done = staging.read()
    todo = [item for item in items if item["number"] not in done]
    total, rows = (sum(item["rows"] for item in some) for some in (todo, items))
    if total < rows:
        logger.info("%d of %d rows were finished by an earlier run", rows - total, rows)
    if todo:
        arguments = {"model": model, "output": output, "config": config, "staging": staging,
                     "version": base.version if base else None}  # fmt: skip
        results = track(_run(todo, EncodeRows, arguments, config), total, "encode corpus", "documents")
        done |= {row["number"]: json.loads(row["record"]) for row in results}
    return [done[item["number"]] for item in items], rows - total


def _check_failed(records: Sequence[dict[str, Any]], limit: int) -> tuple[str, ...]:
    """Ids of the documents that crash the encoder. Raises DataError if they are more than the limit."""
    failed = tuple(sorted(name for record in records for name in record["failed"]))
    if len(failed) > limit:
        raise DataError(
            f"corpus: {len(failed)} documents crash the encoder, e.g. id {failed[0]!r}; more than encoding.max_failed="
            f"{limit}: mend them, or raise the limit. What is encoded is kept for the next run."
        )
    if failed:
        logger.warning("%d documents crash the encoder and are left out: %s", len(failed), ", ".join(failed))
    return failed


def describe(found: Encoded, seconds: float, workers: int) -> list[str]:
    """Lines for people: the table, what changed, and how the time was spent."""
    table = found.table
    lines = [
        f"embedding table: {table.uri} version {table.version}, {table.rows:,} rows x {table.info.width}",
        ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
        + (f"; {found.resumed:,} of them by an earlier run" if found.resumed else ""),
    ]
    if found.tokens:
        share = found.padding / (found.tokens + found.padding)
        busy = min(found.seconds / (workers * seconds), 1.0)
        lines.append(
            f"{found.tokens:,} tokens, {found.tokens / seconds:,.0f} tokens/s with start; padding {share:.1%}; "
            f"workers busy {busy:.0%} of the time"
        )
    if found.failed:
        lines.append(f"left out, as they crash the encoder: {', '.join(found.failed)}")
    return lines


def read_keys(corpus: Sequence[CorpusFile]) -> Keys:
    """Ids and content hashes of a corpus, read file by file; texts are not."""
    parts = [storage.read_parquet(uri, ["document_id", "content_hash"]) for uri, _ in corpus]
    if not sum(part.num_rows for part in parts):
        raise DataError("corpus: no documents; there is nothing to encode.")
    rows = pa.concat_tables(parts)
    return Keys(*(pa.concat_arrays(rows[name].chunks) for name in ("document_id", "content_hash")))


def encode_queries(texts: Sequence[str], model: str, config: EncodingConfig) -> npt.NDArray[np.float32]:
    """float32 [len(texts), width], unit rows, in the order of `texts`, behind the model's query prompt."""
    return encode_texts({"query": texts}, model, config)["query"]


def encode_texts(
    texts: Mapping[Role, Sequence[str]], model: str, config: EncodingConfig
) -> dict[Role, npt.NDArray[np.float32]]:
    """{role: float32 [texts, width]}, unit rows in the order of the texts, behind each role's prompt."""
    items = [
        {"role": role, "number": start, "texts": list(of_role[start : start + _TEXTS_PER_ITEM])}
        for role, of_role in texts.items()
        for start in range(0, len(of_role), _TEXTS_PER_ITEM)
    ]
    results = _run(items, EncodeTexts, {"model": model, "config": config}, config) if items else ()
    total = sum(map(len, texts.values()))
    done = {(row["role"], row["number"]): row["embeddings"] for row in track(results, total, "encode texts", "texts")}
    parts = {role: [done[key] for key in sorted(done) if key[0] == role] for role in texts}
    return {role: np.concatenate(found) if found else np.zeros((0, 0), np.float32) for role, found in parts.items()}


class EncodeRows:
    """Turns an item of `changes` into an uncommitted fragment and a record of it.

    A class, so that the model loads once per actor.
    """

    def __init__(self, model: str, output: str, config: EncodingConfig, staging: Staging, version: int | None) -> None:
        self.encoder, self.config = Encoder.load(model, config), config
        self.output, self.staging, self.version = output, staging, version or 0

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        start, work = time.monotonic(), json.loads(item["work"])
        lengths: list[int] = []
        failed: list[str] = []
        if "hashes" in work:
            rows = pa.table({"document_id": work["ids"], "content_hash": work["hashes"]})
            embeddings = find_vectors(self.output, self.version, work["hashes"])

        else:
            rows, embeddings, lengths, failed = self._encode(work, Attempts(self.staging, item["number"]))
        record = {
            "fragments": write_fragment(self.output, rows, embeddings),
            "info": {"width": self.encoder.width, "dimensions": list(self.encoder.dimensions),
                     "prompt": self.encoder.prompt("document"), "max_length": self.encoder.max_length},
            "tokens": sum(lengths),
            "padding": count_padding(lengths, self.config.batch_tokens),
            "failed": failed,
            "seconds": time.monotonic() - start,
        }  # fmt: skip
        self.staging.write(item["number"], record)
        return {"number": item["number"], "rows": item["rows"], "record": json.dumps(record)}

    def _encode(
        self, work: dict[str, Any], attempts: Attempts
    ) -> tuple[pa.Table, npt.NDArray[np.float32], list[int], list[str]]:
        """(ids and hashes, their embeddings, tokens of each text, ids of documents that crash the encoder).

        Twins stand behind the rows whose text they share.
        """
        parts = [storage.read_parquet(part["file"]).take(pa.array(part["rows"])) for part in work["parts"]]
        corpus = pa.concat_tables(parts)
        embeddings, lengths, kept = encode_apart(
            self.encoder.encode_and_count, corpus["text"].to_pylist(), attempts, self.config.max_failed
        )
        ids, hashes = corpus["document_id"].to_pylist(), corpus["content_hash"].to_pylist()
        place = {row: position for position, row in enumerate(kept)}
        named = [(ids[row], row) for row in range(len(ids))]
        named += [(twin["document_id"], twin["row"]) for twin in work["twins"]]
        written = [(name, row) for name, row in named if row in place]
        rows = pa.table({
            "document_id": pa.array([name for name, _ in written], pa.string()),
            "content_hash": pa.array([hashes[row] for _, row in written], pa.string()),
        })  # fmt: skip
        failed = [name for name, row in named if row not in place]
        return rows, embeddings[[place[row] for _, row in written]], lengths, failed


class EncodeTexts:
    """Turns {role, number, texts} into {role, number, embeddings}."""

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.encoder = Encoder.load(model, config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        embeddings = self.encoder.encode(list(item["texts"]), item["role"])
        return {"role": item["role"], "number": item["number"], "rows": len(embeddings), "embeddings": embeddings}


def _items(changes: Changes, keys: Keys, corpus: Sequence[CorpusFile]) -> list[dict[str, Any]]:
    """{number, rows, work}: work as JSON, since Ray has no column of lists that may all be empty."""
    items = list(deal_rows(changes, keys, corpus))
    items += deal_copies(changes, keys, len(items))
    return [{"number": item["number"], "rows": item["rows"], "work": json.dumps(item)} for item in items]


def _identify(items: Sequence[dict[str, Any]]) -> str:
    return content_hash("\n".join(item["work"] for item in items))


def _info(records: Sequence[dict[str, Any]], base: Table | None, encoder: str, dataset: str) -> TableInfo:
    if base is not None:
        return replace(base.info, dataset=dataset)
    facts = records[0]["info"]
    return TableInfo(**(facts | {"dimensions": tuple(facts["dimensions"])}), encoder=encoder, dataset=dataset)


def _check_free(output: str) -> None:
    """Raises StorageError if something else than fragments of an unfinished table lies there already."""
    if not storage.exists(output):
        return
    foreign = [name for name in storage.list_files(output) if not name.startswith(_OWN_FOLDERS)]
    if foreign:
        raise StorageError(
            f"{output}: expected nothing or an embedding table, found {foreign[0]!r}; choose another place."
        )


def _run(items: list[dict[str, Any]], stage: type, arguments: dict[str, Any], config: EncodingConfig) -> Any:
    results = spread(
        items, stage, arguments, workers=config.workers, cpus=config.cpus_per_worker, gpus=config.gpus_per_worker
    )
    return ((int(row["rows"]), row) for row in results)
