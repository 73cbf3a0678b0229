"""`medembed evaluate` of 1,000,000 documents with a tiny encoder: seconds, and the memory of every
process.

Beside it what a user would run instead, sentence-transformers' InformationRetrievalEvaluator, at
one dimension. Exits with 1 if a worker takes 2 GiB.
"""

import json
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.prepare import watch
from tests.tiny import SIGNS, SUBJECTS, make_encoder

_INSTEAD = """
import json, sys
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
folder, model = sys.argv[1:]
def texts(name):
    rows = map(json.loads, open(f"{folder}/{name}.jsonl"))
    return {row["_id"]: row["text"] for row in rows}
corpus, queries = texts("corpus"), texts("queries")
qrels = {}
for line in list(open(f"{folder}/qrels/test.tsv"))[1:]:
    query_id, document_id, _ = line.split()
    qrels.setdefault(query_id, set()).add(document_id)
InformationRetrievalEvaluator(queries, corpus, qrels, write_csv=False, batch_size=256)(
    SentenceTransformer(model, device="cpu"))
"""


@click.command()
@click.option("--documents", default=1_000_000, show_default=True)
@click.option("--queries", default=1000, show_default=True)
@click.option(
    "--instead/--no-instead", default=True, show_default=True, help="run sentence-transformers too"
)
def main(documents: int, queries: int, instead: bool) -> None:
    """Prints seconds and peak resident memory."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        folder = Path(scratch) / "beir"
        model = make_encoder(Path(scratch) / "tiny")
        write_large(folder, documents, queries)
        ours = [
            sys.executable,
            "-m",
            "jobs.evaluate",
            f"model={model}",
            f"data={folder}",
            f"output={scratch}/out",
            "dimensions=[32,16,8]",
            f"registry.tracking_uri=sqlite:///{scratch}/mlflow.db",
        ]
        our_run = watch(ours)
        print(
            f"evaluate {documents:,} documents, {queries:,} queries, 3 dimensions: "
            f"{our_run.seconds:.0f} s, worker {our_run.worker_gib:.2f} GiB, driver "
            f"{our_run.driver_gib:.2f} GiB",
            flush=True,
        )
        if instead:
            other = watch([sys.executable, "-c", _INSTEAD, str(folder), str(model)])
            print(
                f"InformationRetrievalEvaluator, 1 dimension: {other.seconds:.0f} s, "
                f"{other.driver_gib:.2f} GiB"
            )
    sys.exit(our_run.worker_gib >= 2)


def write_large(folder: Path, documents: int, queries: int) -> None:
    """Write a BEIR folder of made-up texts; each query has positives of grades 2, 1 and 1."""
    (folder / "qrels").mkdir(parents=True)
    with open(folder / "corpus.jsonl", "w") as file:
        for number in range(documents):
            text = f"{SIGNS[number % 10]} of the {SUBJECTS[number % 12]}, grade {number}"
            file.write(json.dumps({"_id": f"d{number}", "title": "", "text": text}) + "\n")
    with (
        open(folder / "queries.jsonl", "w") as file,
        open(folder / "qrels" / "test.tsv", "w") as judged,
    ):
        judged.write("query-id\tcorpus-id\tscore\n")
        for number in range(queries):
            best = number * (documents // queries)
            text = f"my {SUBJECTS[best % 12]} {SIGNS[best % 10]} {best}"
            file.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
            for step, grade in enumerate((2, 1, 1)):
                judged.write(f"q{number}\td{(best + 60 * step) % documents}\t{grade}\n")


if __name__ == "__main__":
    main()
