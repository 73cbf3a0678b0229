"""Find the documents nearest to a query in an embedding table: exactly, by a Matryoshka funnel, or
by an index.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Self

from pydantic import Field, model_validator

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.data.query_file import read_queries
from medembed.data.reading import Quoting
from medembed.encoding.config import EncodingConfig
from medembed.encoding.index import REFINE, OpenIndex, check_index
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.open_table import open_table_of
from medembed.encoding.table import TableInfo, read_shard
from medembed.encoding.texts import encode_queries
from medembed.matryoshka import truncate
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.search.find import SearchedTable, Way, check_way, find_documents
from medembed.search.funnel import Funnel
from medembed.search.results import (
    describe_quality,
    describe_way,
    show_rest,
    show_results,
    to_table,
)


class SearchJob(Config):
    """Config of `medembed search`."""

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
    candidates: int = Field(default=200, ge=1, description="candidates of each query in the funnel")
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
            raise ValueError("expected one of query=... and queries=<file>")
        if self.show_text and self.data is None:
            raise ValueError("show_text: the texts lie in the data set; give data=<data set>")
        if self.use_index and self.first_dimensions is not None:
            raise ValueError(
                "use_index: found first_dimensions=... too; choose the index or the funnel"
            )
        if not self.use_index and (self.probes is not None or self.refine != REFINE):
            raise ValueError("probes, refine: only an index has them; give use_index=true")
        if self.measure and self.first_dimensions is None and not self.use_index:
            raise ValueError(
                "measure: nothing to compare with exact search; give first_dimensions=... or "
                "use_index=true"
            )
        return self


def run(job: SearchJob) -> Summary:
    questions = {"query": job.query or ""}
    if job.queries:
        questions = read_queries(storage.absolute(job.queries), job.quoting)
    names = list(questions)
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    table = open_table_of(storage.absolute(job.table), model_fingerprint(fetch_model(model)))
    way = choose_way(job, table.info)
    index = check_index(table) if job.use_index else None
    nearest = OpenIndex(table, job.probes, job.refine) if job.use_index else None

    vectors = encode_queries(list(questions.values()), model, job.encoding)
    outcome = find_documents(
        SearchedTable([(shard, shard["rows"]) for shard in table.shards()], read_shard, nearest),
        truncate(vectors, table.info.width),
        job.k,
        way,
        workers=job.encoding.most_workers,
        measure=job.measure,
    )

    results = to_table(names, outcome.ranking)
    file = None
    if job.output:
        file = storage.join(storage.absolute(job.output), "results.parquet")
        storage.write_parquet(file, results)
    texts: dict[str, str] = {}
    if job.show_text and job.data:
        dataset = open_dataset(storage.absolute(job.data))
        texts = dataset.texts_of(results["row_id"].to_pylist())

    how = describe_way(way, index.kind if index else "", table.rows - index.rows if index else 0)
    lines = [
        f"{table.uri} version {table.version}, {table.rows:,} rows: {how}",
        *show_results(results, names, texts),
        *show_rest(len(names), file),
    ]
    if outcome.quality:
        lines.append(describe_quality(outcome.quality, job.k, way))
    return {
        "output": storage.absolute(job.output) if job.output else None,
        "table": asdict(table),
        "queries": len(names),
        "dimensions": way.dimensions,
        "funnel": asdict(way.funnel) if way.funnel else None,
        "index": asdict(index) if index else None,
        "quality": asdict(outcome.quality) if outcome.quality else None,
        "lines": lines,
    }


def choose_way(job: SearchJob, info: TableInfo) -> Way:
    """Return the way that is asked for. Raises ModelError or ConfigError if the table has none."""
    dimensions = job.dimensions or info.width
    funnel = None
    if job.first_dimensions is not None:
        funnel = Funnel(job.first_dimensions, dimensions, job.candidates)
    way = Way(dimensions, funnel, by_index=job.use_index)
    check_way(way, job.k, info.width, info.dimensions)
    return way


def main(argv: Sequence[str] | None = None) -> None:
    run_job(SearchJob, run, argv)


if __name__ == "__main__":
    main()
