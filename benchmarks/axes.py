"""What the principal axes are best made of: the documents of the training, or general texts, too.

Nothing is trained: the base model is turned to each, and its prefixes rank three test sets. A turn
changes no cosine at full width.
"""

import logging
from itertools import islice
from pathlib import Path

import click
import numpy as np

from benchmarks.improvement import MODEL
from benchmarks.retention import read_sets
from benchmarks.training_ways import read_medquad, read_ontology
from jobs.demo_sets import read_docstrings
from jobs.ray_session import ray_session
from medembed.data.collection import open_collection
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model
from medembed.evaluation.sample import score_sample
from medembed.training.model.principal_axes import draw_documents, principal_axes

SHOWN = (384, 128, 64, 32)
FEW, MANY = 512, 2048  # general texts: docstrings of Python's standard library


@click.command()
@click.option("--medquad", required=True, help="MedQuAD's JSON lines, e.g. medquad/*.jsonl")
@click.option("--tico", required=True, help="TICO-19 as a BEIR folder")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="for the data sets")
def main(medquad: str, tico: str, folder: Path) -> None:
    """Prints NDCG@10 of the base model, turned to axes of different texts, as a Markdown table."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    with ray_session(None):
        material = read_ontology(folder, "test", 2)
        others = {
            "MedQuAD": read_medquad(folder, "test", 2, medquad).dataset,
            "TICO-19": open_collection(tico, f"{folder}/tico"),
        }
        sets = read_sets(material, others, 500, 1500)

    encoder = Encoder(load_model(fetch_model(MODEL), EncodingConfig(), "cpu"), EncodingConfig())
    own = encoder.encode(draw_documents(material.dataset, 0), "document")
    texts = [text.text for text in islice(read_docstrings(), MANY)]
    general = encoder.encode(texts, "document")
    made_of = {
        "own documents": own,
        f"and {FEW} general texts": np.concatenate([own, general[:FEW]]),
        f"and {len(texts):,} general texts": np.concatenate([own, general]),
        "general texts alone": general,
    }
    turns = {"not turned": np.eye(encoder.width, dtype=np.float32)}
    turns |= {name: principal_axes(vectors)[0] for name, vectors in made_of.items()}

    print(f"| axes of | NDCG@10 at {' / '.join(map(str, SHOWN))}: {' | '.join(sets)} |")
    print("|---|" + "---|" * len(sets))
    rows: dict[str, list[str]] = {name: [] for name in turns}
    for sample in sets.values():
        queries = encoder.encode([text for _, text in sample.queries], "query")
        documents = encoder.encode([text for _, text in sample.documents], "document")
        for name, axes in turns.items():
            scores = score_sample(sample, queries @ axes.T, documents @ axes.T, SHOWN, "ndcg@10")
            rows[name].append(" / ".join(f"{scores[d].mean():.3f}" for d in SHOWN))
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
