"""Find the documents nearest to queries in an embedding table, and say how that was done."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any, Self

import pyarrow as pa
from pydantic import Field, model_validator

from medembed import storage
from medembed.codes import Codes
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.data.query_file import read_queries
from medembed.data.reading import Quoting
from medembed.encoding.config import EncodingConfig
from medembed.encoding.index import REFINE, OpenIndex, VectorIndex, check_index
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.model_files import fetch_model
from medembed.encoding.open_table import open_table_of
from medembed.encoding.rows import check_codes, read_rows
from medembed.encoding.table import Table, TableInfo, read_shard, with_rows
from medembed.encoding.texts import encode_queries
from medembed.language import tr
from medembed.matryoshka import truncate
from medembed.registry.config import RegistryConfig
from medembed.search.find import MeasuredRanking, SearchedTable, Way, check_way, find_documents
from medembed.search.funnel import CANDIDATES, Funnel
from medembed.search.in_memory import Coded, RowsInMemory
from medembed.search.results import (
    describe_quality,
    describe_way,
    show_rest,
    show_results,
    to_table,
)


class TableSearchConfig(Config):
    """What is searched for, in which table, and which way."""

    table: InputUri = Field(
        description="embedding table made by `medembed encode`, or the folder where it keeps one "
        "for each encoder"
    )
    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    query: str | None = Field(default=None, min_length=1, description="what to look for")
    queries: InputUri | None = Field(
        default=None,
        description="file of queries instead: one a line, or JSON, CSV, TSV or Parquet with "
        "query (question, text) and query_id; a TSV without such names has an id and a text in "
        "each line",
    )
    quoting: Quoting = "auto"
    k: int = Field(default=10, ge=1, le=1000, description="documents to find")
    dimensions: int | None = Field(
        default=None, ge=1, description="dimensions that rank; null: all"
    )
    first_dimensions: int | None = Field(
        default=None,
        ge=1,
        description="switches the funnel on: dimensions that nominate candidates; null: exact "
        "search",
    )
    first_codes: Codes | None = Field(
        default=None,
        description="switches the funnel on: candidates are nominated by codes, held in memory: "
        "binary, a bit for each dimension, or int8, a byte; the table's vectors rank them. null: "
        "by vectors",
    )
    candidates: int = Field(
        default=CANDIDATES, ge=1, description="candidates of each query in the funnel"
    )
    use_index: bool = Field(
        default=False, description="search by the table's vector index (medembed table index)"
    )
    probes: int | None = Field(
        default=None,
        ge=1,
        description="use_index: partitions to search at least; null: as many as Lance finds fit",
    )
    refine: int = Field(
        default=REFINE,
        ge=1,
        le=100,
        description="use_index: rows compared by whole vectors, for each row wanted",
    )
    measure: bool = Field(
        default=False, description="compare funnel or index with exact search: recall and seconds"
    )
    show_text: bool = Field(default=False, description="print the documents' texts too; needs data")
    data: InputUri | None = Field(
        default=None, description="data set that the table was made from, for show_text"
    )
    output: OutputUri | None = Field(
        default=None, description="folder for results.parquet and summary.json"
    )
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError(tr("expected one of query=... and queries=<file>"))
        if self.show_text and self.data is None:
            raise ValueError(tr("show_text: the texts lie in the data set; give data=<data set>"))
        is_funnel = self.first_dimensions is not None or self.first_codes is not None
        if self.use_index and is_funnel:
            raise ValueError(
                tr(
                    "use_index: found first_dimensions=... or first_codes=... too; choose the "
                    "index or the funnel"
                )
            )
        if not self.use_index and (self.probes is not None or self.refine != REFINE):
            raise ValueError(tr("probes, refine: only an index has them; give use_index=true"))
        if self.candidates != CANDIDATES and not is_funnel:
            raise ValueError(
                tr(
                    "candidates: only the funnel has them; give first_dimensions=... or "
                    "first_codes=..."
                )
            )
        if self.measure and not is_funnel and not self.use_index:
            raise ValueError(
                tr(
                    "measure: nothing to compare with exact search; give first_dimensions=..., "
                    "first_codes=... or use_index=true"
                )
            )
        return self


def search_table(config: TableSearchConfig) -> dict[str, Any]:
    """Search, keep the results if an output is named, and return the summary."""
    questions = {"query": config.query or ""}
    if config.queries:
        questions = read_queries(storage.absolute(config.queries), config.quoting)
    encoder = encoder_fingerprint(fetch_model(config.model), config.encoding)
    table = open_table_of(storage.absolute(config.table), encoder)
    way = choose_way(config, table.info)
    check_codes(table, config.first_codes)
    index = check_index(table) if config.use_index else None
    measured = _find(config, table, way, list(questions.values()))
    results = to_table(list(questions), measured.ranking)
    line = tr(
        "{uri} version {version}, {rows:,} rows: {way}",
        uri=table.uri,
        version=table.version,
        rows=table.rows,
        way=_how(way, table, index),
    )
    lines = [
        line,
        *show_results(results, list(questions), _read_texts(config, results)),
        *show_rest(len(questions), _keep(config, results)),
    ]
    if measured.quality:
        lines.append(describe_quality(measured.quality, config.k, way))
    return {
        "output": storage.absolute(config.output) if config.output else None,
        "table": asdict(table),
        "queries": len(questions),
        "dimensions": way.dimensions,
        "funnel": asdict(way.funnel) if way.funnel else None,
        "index": asdict(index) if index else None,
        "quality": asdict(measured.quality) if measured.quality else None,
        "lines": lines,
    }


def choose_way(config: TableSearchConfig, info: TableInfo) -> Way:
    """Return the way that is asked for. Raises ModelError or ConfigError if the table has none."""
    dimensions = config.dimensions or info.width
    funnel = None
    if config.first_dimensions is not None or config.first_codes is not None:
        first = config.first_dimensions or dimensions
        funnel = Funnel(first, dimensions, config.candidates, config.first_codes)
    way = Way(dimensions, funnel, by_index=config.use_index)
    check_way(way, config.k, info.width, info.dimensions)
    return way


def _find(
    config: TableSearchConfig, table: Table, way: Way, queries: Sequence[str]
) -> MeasuredRanking:
    nearest = OpenIndex(table, config.probes, config.refine) if config.use_index else None
    vectors = encode_queries(queries, config.model, config.encoding)
    return find_documents(
        SearchedTable(
            with_rows(table.shards()),
            read_shard,
            nearest,
            cache(partial(hold_rows, table, config.first_codes)),
        ),
        truncate(vectors, table.info.width),
        config.k,
        way,
        workers=config.encoding.most_workers,
        measure=config.measure,
    )


def hold_rows(table: Table, codes: Codes | None) -> RowsInMemory:
    """Return the table's rows as codes in memory, with what fetches its vectors."""
    rows = read_rows(table, codes)
    coded = Coded(rows.codes, rows.ranges, rows.fetch) if rows.codes and rows.ranges else None
    return RowsInMemory(rows.ids, rows.parts, table.info.width, coded=coded)


def _how(way: Way, table: Table, index: VectorIndex | None) -> str:
    if index is None:
        return describe_way(way, "", 0)
    return describe_way(way, index.kind, table.rows - index.rows)


def _read_texts(config: TableSearchConfig, results: pa.Table) -> dict[str, str]:
    """Return {row id: text} of the results, if they may be shown."""
    if not config.show_text or config.data is None:
        return {}
    return open_dataset(storage.absolute(config.data)).texts_of(results["row_id"].to_pylist())


def _keep(config: TableSearchConfig, results: pa.Table) -> str | None:
    """Write the results to the output, if one is named, and return the file."""
    if config.output is None:
        return None
    file = storage.join(storage.absolute(config.output), "results.parquet")
    storage.write_parquet(file, results)
    return file
