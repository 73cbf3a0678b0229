from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import Table
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.pairs import select_pairs
from tests.inline_spread import alone

ENCODING = EncodingConfig(workers=1)


@pytest.fixture(scope="module")
def dataset(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(
        SourceConfig(path=str(pairs_file)),
        SplitConfig(),
        str(tmp_path_factory.mktemp("mined") / "data"),
    )


@pytest.fixture(scope="module")
def table(
    dataset: Dataset,
    encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ray_local: None,
) -> Table:
    place = str(tmp_path_factory.mktemp("table") / "t.lance")
    with alone():
        return encode_corpus(
            dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), place, ENCODING
        )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_examples_equal_a_brute_force_search_and_load_as_parquet(
    dataset: Dataset, table: Table, encoder_folder: Path, tmp_path: Path
):
    config = MiningConfig(negatives=2, window=10, margin=0.0)
    model = str(encoder_folder)
    examples = mine(dataset, table, model, str(tmp_path / "examples"), config, ENCODING)
    corpus, qrels = dataset.corpus().to_pylist(), dataset.qrels()
    encoder = Encoder.load(model, ENCODING)
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
    assert loaded.num_rows == examples.manifest.example_count == len(select_pairs(dataset, config))
    assert np.ndim(loaded[0]["negatives"]) == 1


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_unchanged_inputs_find_the_examples_again(
    dataset: Dataset, table: Table, encoder_folder: Path, tmp_path: Path
):
    model, place = str(encoder_folder), str(tmp_path / "{key}")
    first = mine(dataset, table, model, place, MiningConfig(max_pairs=20), ENCODING)
    stamp = Path(first.uri, "manifest.json").stat().st_mtime_ns
    again = mine(dataset, table, model, place, MiningConfig(max_pairs=20), ENCODING)
    other = mine(dataset, table, model, place, MiningConfig(max_pairs=21), ENCODING)
    assert (again, Path(again.uri, "manifest.json").stat().st_mtime_ns) == (first, stamp)
    assert other.uri != first.uri
