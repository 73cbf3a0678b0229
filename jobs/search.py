"""Find the documents nearest to a query in an embedding table: exactly, by a Matryoshka funnel, or
by an index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.config import Quoting
from medembed.data.dataset import open_dataset
from medembed.data.query_file import read_queries
from medembed.encoding.config import EncodingConfig
from medembed.encoding.index import REFINE, OpenIndex, VectorIndex, check_index
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table, TableInfo, open_table_of, read_shard
from medembed.encoding.texts import encode_queries
from medembed.errors import ConfigError
from medembed.matryoshka import check_trained, truncate
from medembed.privacy import show_id
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.search.funnel import Funnel, funnel_search
from medembed.search.indexed import index_search
from medembed.search.quality import SearchQuality, measure_search
from medembed.search.ranking import Ranking
from medembed.search.shards import rank_shards

_QUERIES_SHOWN = 5
_CHARACTERS_SHOWN = 100


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
    questions = (
        read_queries(storage.absolute(job.queries), job.quoting)
        if job.queries
        else {"query": job.query or ""}
    )
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    table = open_table_of(storage.absolute(job.table), model_fingerprint(fetch_model(model)))
    dimensions, funnel = plan(job, table.info)
    index = check_index(table) if job.use_index else None
    vectors = truncate(
        encode_queries(list(questions.values()), model, job.encoding), table.info.width
    )
    found, quality = search(job, table, vectors, dimensions, funnel)
    texts = read_texts(storage.absolute(job.data), found) if job.show_text and job.data else {}
    output = storage.absolute(job.output) if job.output else None
    if output:
        storage.write_parquet(
            storage.join(output, "results.parquet"), to_table(list(questions), found)
        )
    return {
        "output": output,
        "table": asdict(table),
        "queries": len(questions),
        "dimensions": dimensions,
        "funnel": asdict(funnel) if funnel else None,
        "index": asdict(index) if index else None,
        "quality": asdict(quality) if quality else None,
        "lines": [
            _headline(table, dimensions, funnel, index),
            *_results(list(questions), found, texts),
            *_rest(len(questions) - _QUERIES_SHOWN, output),
            *([_quality(quality, job.k, "index" if index else "funnel")] if quality else []),
        ],
    }


def search(
    job: SearchJob,
    table: Table,
    vectors: npt.NDArray[np.float32],
    dimensions: int,
    funnel: Funnel | None,
) -> tuple[Ranking, SearchQuality | None]:
    """(what is found for each query [Q, width], how good it is if that is to be measured)."""
    how: dict[str, Any] = {"by_document": True, "workers": job.encoding.most_workers}
    shards = (
        [(shard, shard["rows"]) for shard in table.shards()]
        if job.measure or not job.use_index
        else []
    )
    nearest = OpenIndex(table, job.probes, job.refine) if job.use_index else None

    def exact(asked: npt.NDArray[np.float32]) -> Ranking:
        return rank_shards(shards, read_shard, asked, job.k, [dimensions], **how)[dimensions]

    def find(asked: npt.NDArray[np.float32]) -> Ranking:
        if nearest is not None:
            return index_search(nearest, asked, job.k, by_document=True)
        return (
            funnel_search(shards, read_shard, asked, job.k, funnel, **how)
            if funnel
            else exact(asked)
        )

    return find(vectors), measure_search(find, exact, vectors) if job.measure else None


def plan(job: SearchJob, info: TableInfo) -> tuple[int, Funnel | None]:
    """(the dimensions that rank, the funnel if one is asked for). Raises ModelError,
    ConfigError.
    """
    dimensions = job.dimensions or info.width
    if job.use_index and dimensions < info.width:
        raise ConfigError(
            f"dimensions: found {dimensions}, but the index has all {info.width}; leave out "
            "dimensions or use_index."
        )
    if job.first_dimensions is None:
        check_trained([dimensions], info.dimensions, info.width)
        return dimensions, None
    check_trained([job.first_dimensions, dimensions], info.dimensions, info.width)
    funnel = Funnel(job.first_dimensions, dimensions, job.candidates)
    funnel.check(job.k, info.width)
    return dimensions, funnel


def read_texts(data: str, found: Ranking) -> dict[str, str]:
    """{row id: text} of what was found, read file by file."""
    wanted = pa.array(sorted(set(found.row_ids.ravel().tolist()) - {""}), pa.string())
    texts: dict[str, str] = {}
    for uri, _ in open_dataset(data).corpus_files():
        rows = storage.read_parquet(uri, ["document_id", "text"])
        kept = rows.filter(pc.is_in(rows["document_id"], value_set=wanted))
        texts |= dict(zip(kept["document_id"].to_pylist(), kept["text"].to_pylist(), strict=True))
    return texts


def to_table(names: Sequence[str], found: Ranking) -> pa.Table:
    """One row per document found: query_id, rank from 1, document_id, row_id (its best chunk, or
    itself), score.
    """
    rows = [
        {"query_id": name, "rank": rank, "document_id": document, "row_id": row, "score": score}
        for name, *found_for in zip(
            names, found.ids.tolist(), found.row_ids.tolist(), found.scores.tolist(), strict=True
        )
        for rank, (document, row, score) in enumerate(zip(*found_for, strict=True), 1)
        if document
    ]
    columns = [
        ("query_id", pa.string()),
        ("rank", pa.int32()),
        ("document_id", pa.string()),
        ("row_id", pa.string()),
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*columns, ("score", pa.float32())]))


def _headline(
    table: Table, dimensions: int, funnel: Funnel | None, index: VectorIndex | None
) -> str:
    how = f"exact search at {dimensions} dimensions"
    if index:
        missing = table.rows - index.rows
        how = f"index {index.kind}" + (
            f"; {missing:,} rows not in it, compared exactly" if missing else ""
        )
    if funnel:
        how = (
            f"{funnel.candidates:,} candidates by {funnel.first_dimensions} dimensions, "
            f"ranked by {dimensions}"
        )
    return f"{table.uri} version {table.version}, {table.rows:,} rows: {how}"


def _results(names: Sequence[str], found: Ranking, texts: Mapping[str, str]) -> list[str]:
    """Rank, cosine and id of each document, and its text if it was asked for; the first queries
    only.
    """
    lines: list[str] = []
    for name, *of_query in list(zip(names, found.ids, found.row_ids, found.scores, strict=True))[
        :_QUERIES_SHOWN
    ]:
        lines += [f"{show_id(name)}:"] if len(names) > 1 else []
        for rank, (document, row, score) in enumerate(zip(*of_query, strict=True), 1):
            if document:
                text = " ".join(texts.get(str(row), "").split())[:_CHARACTERS_SHOWN]
                lines.append(f"{rank:>4}  {score:.4f}  {show_id(row)}  {text}".rstrip())
    return lines


def _rest(hidden: int, output: str | None) -> list[str]:
    where = (
        f"all are in {storage.join(output, 'results.parquet')}"
        if output
        else "output=<folder> keeps all"
    )
    return [f"... and {hidden:,} more queries; {where}"] if hidden > 0 else []


def _quality(quality: SearchQuality, k: int, way: str) -> str:
    return (
        f"the {way} finds {quality.recall:.1%} of exact search's best {k} ({quality.queries:,} "
        f"queries), in {quality.seconds:.1f} s against {quality.exact_seconds:.1f} s, workers' "
        "start included"
    )


def main(argv: Sequence[str] | None = None) -> None:
    run_job(SearchJob, run, argv)


if __name__ == "__main__":
    main()
