from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from medembed.encoding.encoder import Encoder
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.pairs import select_pairs
from tests.mining.conftest import ENCODING, Minable

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


def test_examples_equal_a_brute_force_search_and_load_as_parquet(minable: Minable, tmp_path: Path):
    config = MiningConfig(negatives=2, window=10, margin=0.0)
    examples = mine(*minable, str(tmp_path / "examples"), config, ENCODING)
    corpus = minable.dataset.corpus().to_pylist()
    qrels = minable.dataset.qrels()
    pairs = select_pairs(minable.dataset, config)
    encoder = Encoder.load(minable.model, ENCODING)
    documents = encoder.encode([row["text"] for row in corpus])
    for row in examples.read()[:40]:
        scores = (documents @ encoder.encode([row["query"]], "query")[0]).tolist()
        named = sorted(
            zip([document["document_id"] for document in corpus], scores, strict=True),
            key=lambda p: (-p[1], p[0]),
        )
        positive = dict(named)[row["positive_id"]]
        others = [(name, score) for name, score in named if name not in qrels[row["query_id"]]][:10]
        kept = [score for _, score in others if score <= positive + 1e-6][:2]
        assert row["positive_score"] == pytest.approx(positive, abs=1e-5)
        assert row["negative_scores"] == pytest.approx(kept, abs=1e-5)
        assert not set(row["negative_ids"]) & set(qrels[row["query_id"]])
    files = [str(path) for path in (tmp_path / "examples").glob("*.parquet")]
    loaded = load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.num_rows == examples.manifest.example_count == len(pairs)
    assert np.ndim(loaded[0]["negatives"]) == 1


def test_unchanged_inputs_find_the_examples_again(minable: Minable, tmp_path: Path):
    place = str(tmp_path / "{key}")
    first = mine(*minable, place, MiningConfig(max_pairs=20), ENCODING)
    stamp = Path(first.uri, "manifest.json").stat().st_mtime_ns
    again = mine(*minable, place, MiningConfig(max_pairs=20), ENCODING)
    different = mine(*minable, place, MiningConfig(max_pairs=21), ENCODING)
    assert (again, Path(again.uri, "manifest.json").stat().st_mtime_ns) == (first, stamp)
    assert different.uri != first.uri
