"""What vectors keep as int8 codes and as bits: in memory, and through the API.

On the ontology's definitions, asked by the test split's names and synonyms. First the table that
`medembed evaluate` gives. Then tables of each storage, and a float32 table of which replicas hold
bits, are served: NDCG@10 of the documents found, against those of the float32 table; each query
alone and all in one request must find the same, and embeddings must have the same codes.
"""

import json
import logging
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.improvement import DIMENSIONS, MODEL
from benchmarks.serving import served
from benchmarks.training_ways import ENCODING, read_ontology
from jobs.ray_session import ray_session
from medembed.data.dataset import Dataset
from medembed.encoding.codec import Storage
from medembed.encoding.encode import update_table
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.footprint import Footprints, measure_footprints
from medembed.evaluation.footprint_words import describe_measured, describe_smallest, numbers_label
from medembed.evaluation.metrics import Values
from medembed.evaluation.rank import score_rankings
from medembed.search.ranking import Ranking

METRIC = "ndcg@10"
K = 10
SHORT = 128  # dimensions at which codes of one text and of many are compared, too
CODES = ("int8", "uint8", "binary", "ubinary")


@dataclass(frozen=True)
class Way:
    """A table's storage, and what is asked of the server and of each search."""

    storage: Storage
    settings: Sequence[str] = ()
    search: Mapping[str, Any] = field(default_factory=dict)


WAYS = {
    "float32": Way("float32"),
    "float32, replicas hold bits": Way("float32", ["search.codes=binary"]),
    "int8": Way("int8"),
    "int8, bits first": Way("int8", search={"first_codes": "binary"}),
    "binary": Way("binary"),
    "binary, bits first": Way("binary", search={"first_codes": "binary"}),
}


@dataclass(frozen=True)
class Asked:
    """Queries with their judgments."""

    ids: list[str]
    texts: list[str]
    qrels: Mapping[str, Mapping[str, float]]


def ask(dataset: Dataset, queries: int) -> Asked:
    """Return so many measurable queries of the test split, evenly chosen."""
    qrels = dataset.qrels()
    rows = [row for row in dataset.queries("test").to_pylist() if row["query_id"] in qrels]
    chosen = np.linspace(0, len(rows) - 1, min(queries, len(rows))).astype(int).tolist()
    return Asked(
        [rows[line]["query_id"] for line in chosen],
        [rows[line]["text"] for line in chosen],
        qrels,
    )


def post(url: str, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}{route}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        read: dict[str, Any] = json.load(answer)
        return read


def score(asked: Asked, found: Sequence[Sequence[Mapping[str, Any]]]) -> Values:
    """Return NDCG@10 of each query."""
    ids = np.full((len(found), K), "", dtype="<U200")
    scores = np.full((len(found), K), -np.inf)
    for line, hits in enumerate(found):
        for rank, hit in enumerate(hits):
            ids[line, rank] = hit["id"]
            scores[line, rank] = -rank
    rankings = {1: Ranking.of(ids, scores)}
    return score_rankings(rankings, asked.ids, asked.qrels, [K])[1][METRIC]


def search_both_ways(url: str, asked: Asked, way: Way) -> tuple[Values, float]:
    """Return the scores, and the median milliseconds of a request with one query.

    Raises SystemExit if one query finds other documents than it does among many.
    """
    more = {"k": K, **way.search}
    many = post(url, "/v1/search", {"query": asked.texts, **more})["data"]
    seconds = []
    for line, text in enumerate(asked.texts):
        start = time.perf_counter()
        alone = post(url, "/v1/search", {"query": text, **more})["data"]
        seconds.append(time.perf_counter() - start)
        if [hit["id"] for hit in alone] != [hit["id"] for hit in many[line]["data"]]:
            raise SystemExit(f"query {line} finds other documents alone than among many")
    return score(asked, [each["data"] for each in many]), 1000 * float(np.median(seconds))


def compare_codes(url: str, texts: Sequence[str]) -> str:
    """Count the texts whose codes alone are those among many, at full width and at 128."""
    lines = []
    for codes in CODES:
        for dimensions in (None, SHORT):
            body = {"model": "medembed", "dimensions": dimensions, "output_dtype": codes}
            many = post(url, "/v1/embeddings", {"input": list(texts), **body})["data"]
            equal = 0
            for line, text in enumerate(texts):
                (alone,) = post(url, "/v1/embeddings", {"input": text, **body})["data"]
                equal += alone["embedding"] == many[line]["embedding"]
            lines.append(f"{codes} at {dimensions or 'full width'} {equal}/{len(texts)}")
    return ", ".join(lines)


def print_footprints(footprints: Footprints) -> None:
    head = ("dimensions", "numbers", "bytes", "NDCG@10", "kept", "ms of one query")
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for option in footprints.options:
        cells = (
            str(option.dimension),
            numbers_label(option.numbers),
            str(option.size_bytes),
            f"{option.quality:.3f}",
            f"{option.kept:.1%}",
            f"{option.milliseconds:.2f}",
        )
        print(f"| {' | '.join(cells)} |")
    print(describe_measured(footprints))
    for smallest in footprints.smallest:
        print(describe_smallest(smallest, footprints.objective), flush=True)


def encode(dataset: Dataset, model: str, folder: Path, storage: Storage) -> Any:
    return update_table(
        dataset.corpus_files(),
        dataset.fingerprint,
        model,
        f"{folder}/{storage}.lance",
        ENCODING,
        storage_type=storage,
    ).table


@click.command()
@click.option("--model", default=MODEL, show_default=True, help="stock, or a trained folder")
@click.option("--queries", default=100, show_default=True, help="through the API")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="tables stay there")
def main(model: str, queries: int, folder: Path) -> None:
    """Prints quality, bytes and time of each type of numbers, as tables in Markdown."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ray_session(None):
        dataset = read_ontology(folder, "test", 2).dataset
        tables = {way.storage: encode(dataset, model, folder, way.storage) for way in WAYS.values()}
        config = EvaluationConfig(dimensions=DIMENSIONS)
        footprints = measure_footprints(dataset, tables["float32"], model, config, ENCODING)
    assert footprints is not None
    print_footprints(footprints)
    asked = ask(dataset, queries)
    print("\n| table | NDCG@10 | kept | ms of a request |\n|---|---|---|---|")
    exact: Values | None = None
    for name, way in WAYS.items():
        (folder / "serve").mkdir(exist_ok=True)
        table = tables[way.storage].uri
        with served(folder / "serve", f"model={model}", f"table={table}", *way.settings) as running:
            scores, milliseconds = search_both_ways(running.url, asked, way)
            exact = scores if exact is None else exact
            kept = scores.mean() / exact.mean()
            print(f"| {name} | {scores.mean():.3f} | {kept:.1%} | {milliseconds:.1f} |", flush=True)
            if name == "int8":
                print(f"codes alone as among many: {compare_codes(running.url, asked.texts)}")


if __name__ == "__main__":
    main()
