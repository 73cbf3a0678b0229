"""Look after an embedding table: log, rollback, compact, index, verify, export."""

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import Field

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.corpus import open_corpus
from medembed.data.own_texts import TextColumns
from medembed.encoding.config import EncodingConfig
from medembed.encoding.export import export
from medembed.encoding.index import IndexKind, build_index, check_index, measure_recall
from medembed.encoding.maintain import (
    TableVersion,
    compact,
    list_versions,
    open_table,
    rollback,
    settle,
)
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import check_encoder
from medembed.encoding.verify import verify
from medembed.errors import ConfigError, StorageError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model

Action = Literal["log", "rollback", "compact", "index", "verify", "export"]
ACTIONS: tuple[Action, ...] = ("log", "rollback", "compact", "index", "verify", "export")


class TableJob(Config):
    """Config of `medembed table`."""

    action: Action = Field(
        description="what to do; may stand alone in front: medembed table log table=..."
    )
    table: InputUri = Field(description="URI of the embedding table")
    version: str | None = Field(
        default=None, description="a version's number or tag; null: the newest"
    )
    keep_days: float = Field(
        default=30, ge=0, description="compact: versions younger than this stay"
    )
    kind: IndexKind = Field(
        default="IVF_RQ",
        description="index: how vectors lie in it: IVF_RQ codes of 5 bits; IVF_SQ of 8; IVF_FLAT "
        "whole vectors; IVF_HNSW_SQ a graph, slow to build",
    )
    partitions: int | None = Field(
        default=None,
        ge=1,
        description="index: groups of similar vectors, of which a search looks into some; null: "
        "by rows",
    )
    data: InputUri | None = Field(
        default=None, description="verify: the data set, or files, that the table must equal"
    )
    columns: TextColumns = TextColumns()
    model: ModelUri | None = Field(
        default=None, description="verify: the encoder, to encode a sample again"
    )
    output: OutputUri | None = Field(default=None, description="export: folder for Parquet files")
    dimensions: int | None = Field(default=None, ge=1, description="export: dimensions; null: all")
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: TableJob) -> Summary:
    return _RUN[job.action](job, storage.absolute(job.table))


def _log(job: TableJob, uri: str) -> Summary:
    versions = list_versions(uri)
    lines = [
        "version   rows         fragments   data set           made               index       "
        "             tags"
    ]
    lines += [
        f"{one.version:>7}   {one.rows:<11,}  {one.fragments:<9,}   {one.dataset:<17}  "
        f"{one.made:%Y-%m-%d %H:%M}   "
        f"{_describe_index(one):<23}  "
        f"{', '.join([*one.tags, *(['unseen'] if one.is_unseen else [])])}".rstrip()
        for one in versions
    ]
    return {
        "versions": [asdict(one) for one in versions],
        "lines": [*lines, f"encoder {versions[-1].encoder}"],
    }


def _describe_index(one: TableVersion) -> str:
    if one.index is None:
        return "none"
    missing = one.rows - one.index.rows
    return f"{one.index.kind}" + (f", {missing:,} rows not in it" if missing else "")


def _rollback(job: TableJob, uri: str) -> Summary:
    if job.version is None:
        raise ConfigError(
            "version: missing; give the number or tag to go back to; for those see: "
            f"medembed table log {shlex.quote(f'table={job.table}')}"
        )
    table = rollback(uri, job.version)
    return {
        "table": asdict(table),
        "lines": [f"version {table.version} is what {job.version} was: {table.rows:,} rows"],
    }


def _compact(job: TableJob, uri: str) -> Summary:
    table, counts = compact(uri, job.keep_days)
    line = (
        f"version {table.version}: {counts['fragments_removed']} fragments became "
        f"{counts['fragments_added']}, {counts['versions_removed']} old versions and "
        f"{counts['bytes_removed'] / 2**20:,.1f} MiB removed"
    )
    return {"table": asdict(table), "counts": counts, "lines": [line]}


def _index(job: TableJob, uri: str) -> Summary:
    table, start = settle(uri), time.monotonic()
    # only now: importing Lance sets it to INFO
    logging.getLogger("pylance").setLevel(logging.WARNING)
    table = build_index(table, job.kind, job.partitions)
    seconds, index = time.monotonic() - start, check_index(table)
    recall = measure_recall(table)
    line = (
        f"version {table.version}: {index.kind} over {index.rows:,} rows in {seconds:.1f} s, "
        f"{index.size_bytes / 2**20:,.1f} MiB; recall@10 {recall:.1%} for up to 100 rows of the "
        "table"
    )
    return {"table": asdict(table), "index": asdict(index), "recall@10": recall, "lines": [line]}


def _verify(job: TableJob, uri: str) -> Summary:
    table = open_table(uri, job.version)
    if job.model and not job.data:
        raise ConfigError("model: nothing to encode again; give data=... too.")
    model = (
        resolve_model(job.model, job.registry, on_cluster=is_on_cluster()) if job.model else None
    )
    if model:
        check_encoder(table, model_fingerprint(fetch_model(model)))
    if job.data:
        with open_corpus(
            storage.absolute(job.data), job.columns, f"{uri.rstrip('/')}.verify-texts"
        ) as corpus:
            found = verify(table, corpus.files, model, job.encoding)
    else:
        found = verify(table, None, model, job.encoding)
    if found.faults:
        raise StorageError(f"{uri} version {table.version}: {'; '.join(found.faults)}.")
    again = f", {found.encoded_again} encoded again" if found.encoded_again else ""
    return {
        "verified": asdict(found),
        "lines": [f"version {table.version}: {found.rows:,} rows checked{again}: sound"],
    }


def _export(job: TableJob, uri: str) -> Summary:
    if job.output is None:
        raise ConfigError("output: missing; give the folder for Parquet files.")
    table = open_table(uri, job.version)
    folder = export(table, storage.absolute(job.output), job.dimensions, job.encoding.most_workers)
    return {"output": folder, "rows": table.rows, "lines": [f"{table.rows:,} vectors in {folder}"]}


_RUN = {
    "log": _log,
    "rollback": _rollback,
    "compact": _compact,
    "index": _index,
    "verify": _verify,
    "export": _export,
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ACTIONS:
        arguments = [*arguments[1:], f"action={arguments[0]}"]
    run_job(
        TableJob,
        run,
        arguments,
        ray=lambda job: "any" if job.action in ("verify", "export") else "none",
    )


if __name__ == "__main__":
    main()
