"""Look after an embedding table: log, rollback, compact, index, verify, export."""

import logging
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from medembed import storage
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.own_texts import TextColumns
from medembed.encoding.config import EncodingConfig
from medembed.encoding.export import export
from medembed.encoding.index import IndexKind, build_index, check_index, measure_recall
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.maintain import compact, list_versions, rollback, settle
from medembed.encoding.model_files import fetch_model
from medembed.encoding.open_table import open_table
from medembed.encoding.screen import describe_versions
from medembed.encoding.table import check_encoder
from medembed.encoding.verify import verify
from medembed.language import tr
from medembed.registry.config import RegistryConfig
from medembed.tables.own_corpus import open_texts

Action = Literal["log", "rollback", "compact", "index", "verify", "export"]


class TableConfig(Config):
    """What is done with which version of an embedding table."""

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action == "rollback" and self.version is None:
            raise ValueError(
                tr(
                    "version: missing; give the number or tag to go back to; for those see: "
                    "medembed table log {table}",
                    table=shlex.quote(f"table={self.table}"),
                )
            )
        if self.action == "verify" and self.model and not self.data:
            raise ValueError(tr("model: nothing to encode again; give data=... too."))
        if self.action == "export" and self.output is None:
            raise ValueError(tr("output: missing; give the folder for Parquet files."))
        return self


def maintain_table(config: TableConfig) -> dict[str, Any]:
    """Do what the config asks for, and return the summary."""
    return _ACTIONS[config.action](config, storage.absolute(config.table))


def _log(config: TableConfig, uri: str) -> dict[str, Any]:
    versions = list_versions(uri)
    return {
        "versions": [asdict(version) for version in versions],
        "lines": describe_versions(versions),
    }


def _rollback(config: TableConfig, uri: str) -> dict[str, Any]:
    assert config.version is not None
    table = rollback(uri, config.version)
    line = tr(
        "version {version} is what {old} was: {rows:,} rows",
        version=table.version,
        old=config.version,
        rows=table.rows,
    )
    return {"table": asdict(table), "lines": [line]}


def _compact(config: TableConfig, uri: str) -> dict[str, Any]:
    table, counts = compact(uri, config.keep_days)
    line = tr(
        "version {version}: {fragments_removed} fragments became {fragments_added}, "
        "{versions_removed} old versions and {mebibytes:,.1f} MiB removed",
        version=table.version,
        mebibytes=counts["bytes_removed"] / 2**20,
        **counts,
    )
    return {"table": asdict(table), "counts": counts, "lines": [line]}


def _index(config: TableConfig, uri: str) -> dict[str, Any]:
    table = settle(uri)
    # only now: importing Lance sets it to INFO
    logging.getLogger("pylance").setLevel(logging.WARNING)
    start = time.monotonic()
    table = build_index(table, config.kind, config.partitions)
    seconds = time.monotonic() - start
    index = check_index(table)
    recall = measure_recall(table)
    line = tr(
        "version {version}: {kind} over {rows:,} rows in {seconds:.1f} s, {mebibytes:,.1f} MiB; "
        "recall@10 {recall:.1%} for up to 100 rows of the table",
        version=table.version,
        kind=index.kind,
        rows=index.rows,
        seconds=seconds,
        mebibytes=index.size_bytes / 2**20,
        recall=recall,
    )
    return {"table": asdict(table), "index": asdict(index), "recall@10": recall, "lines": [line]}


def _verify(config: TableConfig, uri: str) -> dict[str, Any]:
    table = open_table(uri, config.version)
    if config.model:
        check_encoder(table, encoder_fingerprint(fetch_model(config.model), config.encoding))
    if config.data is None:
        verified = verify(table, None, None, config.encoding)
    else:
        with open_texts(config.data, config.columns, f"{uri.rstrip('/')}.verify") as corpus:
            verified = verify(table, corpus.files, config.model, config.encoding)
    again = tr(", {count} encoded again", count=verified.encoded_again)
    line = tr(
        "version {version}: {rows:,} rows checked{again}: sound",
        version=table.version,
        rows=verified.rows,
        again=again if verified.encoded_again else "",
    )
    return {"verified": asdict(verified), "lines": [line]}


def _export(config: TableConfig, uri: str) -> dict[str, Any]:
    assert config.output is not None
    table = open_table(uri, config.version)
    folder = export(
        table, storage.absolute(config.output), config.dimensions, config.encoding.most_workers
    )
    line = tr("{rows:,} vectors in {folder}", rows=table.rows, folder=folder)
    return {"output": folder, "rows": table.rows, "lines": [line]}


_ACTIONS: dict[Action, Callable[[TableConfig, str], dict[str, Any]]] = {
    "log": _log,
    "rollback": _rollback,
    "compact": _compact,
    "index": _index,
    "verify": _verify,
    "export": _export,
}
