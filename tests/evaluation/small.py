"""A small data set with all that can be measured: grades, similarities, classes, languages, tags."""

from pathlib import Path
from typing import Any

import numpy as np

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES
from tests.tiny import SIGNS, SUBJECTS

TEXTS = {f"d{n:03d}": f"{SIGNS[n % 10]} of the {SUBJECTS[n % 12]}, grade {n}" for n in range(60)}


ASKED = {f"q{n:02d}": f"my {SUBJECTS[n % 12]} {SIGNS[n * 3 % 10]}" for n in range(24)}


def write_dataset(root: Path) -> Dataset:
    """Write the data set, its corpus in files of 16 rows, and open it."""
    corpus = []
    for n, (name, text) in enumerate(TEXTS.items()):
        row = {"document_id": name, "text": text, "language": "en", "content_hash": name}
        corpus.append(row | {"label": name[-1], "split": "train" if n % 4 else "test"})
    queries = []
    for n, (name, text) in enumerate(ASKED.items()):
        row = {"query_id": name, "text": text, "group_id": f"g{n // 2}", "split": "test"}
        tags = [] if n % 3 else ["lay"]
        queries.append(row | {"language": "fr" if n % 2 else "en", "tags": tags})
    qrels = draw_judgments()
    with NewOutput(str(root), "small") as output:
        for start in range(0, 60, 16):
            rows = to_table(corpus[start : start + 16], CORPUS)
            output.write_parquet(f"corpus/part-{start:02d}.parquet", rows)
        row_counts = {name: min(16, 60 - 16 * n) for n, name in enumerate(output.files)}
        output.write_parquet("queries/part-0.parquet", to_table(queries, QUERIES))
        output.write_parquet("qrels/part-0.parquet", to_table(qrels, QRELS))
        counts = {"documents": 60, "queries": 24, "judgments": len(qrels)}
        output.commit(
            DatasetManifest(fingerprint="small", rows=row_counts, counts=counts, source="made up")
        )
    return open_dataset(str(root))


def draw_judgments() -> list[dict[str, Any]]:
    """Draw grades, judged negatives and similarities; the last two queries have no positive."""
    generator = np.random.default_rng(5)
    qrels = []
    for number, query_id in enumerate(ASKED):
        names = generator.choice(list(TEXTS), 6, replace=False)
        grades = [2.0, 1.0, 0.0, 0.0] if number % 3 else [1.0]
        for place, grade in enumerate(grades if number < 22 else [0.0]):
            similarity = float(generator.uniform()) if number % 2 else None
            qrels.append(
                {
                    "query_id": query_id,
                    "document_id": names[place],
                    "score": grade,
                    "similarity": similarity,
                }
            )
    return qrels
