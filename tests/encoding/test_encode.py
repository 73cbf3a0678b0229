import os
import signal
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import EncodeFile, encode_corpus, encode_queries
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import read_shard
from medembed.errors import StorageError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = EncodingConfig(workers=1)


@pytest.fixture
def dataset(pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr("medembed.data.finish.ROWS_PER_FILE", 50)
    return prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(tmp_path / "data"))


def test_the_table_holds_each_documents_embedding_whatever_the_number_of_workers(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path
):
    corpus = dataset.corpus()
    expected = Encoder.load(str(encoder_folder), CONFIG).encode(corpus["text"].to_pylist())
    tables = [
        encode_corpus(
            dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), str(tmp_path / f"t{workers}.lance"),
            EncodingConfig(workers=workers),
        )
        for workers in (1, 2)
    ]  # fmt: skip
    rows = [lance.dataset(table.uri).to_table() for table in tables]
    assert rows[0].equals(rows[1])
    assert rows[0]["document_id"].to_pylist() == corpus["document_id"].to_pylist()
    assert rows[0]["content_hash"].to_pylist() == corpus["content_hash"].to_pylist()
    assert np.abs(np.stack(rows[0]["embedding"].to_pylist()) - expected).max() < 1e-6
    assert [len(read_shard(shard)[0]) for shard in tables[0].shards()] == [50, 50, 20]


def test_an_unchanged_corpus_is_found_again_and_another_encoder_is_refused(
    dataset: Dataset, encoder_folder: Path, prompted_folder: Path, tmp_path: Path
):
    place = str(tmp_path / "t.lance")
    arguments = (dataset.corpus_files(), dataset.fingerprint)
    first = encode_corpus(*arguments, str(encoder_folder), place, CONFIG)
    assert encode_corpus(*arguments, str(encoder_folder), place, CONFIG) == first
    with pytest.raises(StorageError, match="never compared"):
        encode_corpus(*arguments, str(prompted_folder), place, CONFIG)


def test_a_folder_that_holds_something_else_is_refused_and_kept(dataset: Dataset, encoder_folder: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"found 'thesis.txt'"):
        encode_corpus(dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), str(tmp_path / "mine"), CONFIG)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_a_run_that_fails_leaves_no_fragment_behind(dataset: Dataset, encoder_folder: Path, tmp_path: Path):
    files = [*dataset.corpus_files(), (str(tmp_path / "missing.parquet"), 1)]
    with pytest.raises(StorageError, match=r"missing.parquet: no such file"):
        encode_corpus(files, dataset.fingerprint, str(encoder_folder), str(tmp_path / "t.lance"), CONFIG)
    assert not (tmp_path / "t.lance").exists()


def test_lookup_keeps_the_order_that_is_asked_for(dataset: Dataset, encoder_folder: Path, tmp_path: Path):
    table = encode_corpus(
        dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), str(tmp_path / "t.lance"), CONFIG
    )
    ids = dataset.corpus()["document_id"].to_pylist()
    chosen = [ids[70], ids[3], ids[70]]
    texts = [dataset.corpus()["text"][ids.index(name)].as_py() for name in chosen]
    assert np.abs(table.lookup(chosen) - Encoder.load(str(encoder_folder), CONFIG).encode(texts)).max() < 1e-6
    with pytest.raises(StorageError, match="1 documents are not in the table, e.g. id 'absent'"):
        table.lookup(["absent"])


def test_queries_come_back_in_order_behind_their_prompt(prompted_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("medembed.encoding.encode._TEXTS_PER_ITEM", 3)
    texts = [f"heart pain {number}" for number in range(8)]
    expected = Encoder.load(str(prompted_folder), CONFIG).encode(texts, "query")
    assert np.abs(encode_queries(texts, str(prompted_folder), CONFIG) - expected).max() < 1e-6


def test_a_worker_that_dies_is_replaced_and_no_row_is_lost_or_doubled(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marker = tmp_path / "died"

    class Mortal(EncodeFile):
        def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
            if item["number"] == 1 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(item)

    monkeypatch.setattr("medembed.encoding.encode.EncodeFile", Mortal)
    table = encode_corpus(
        dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), str(tmp_path / "t.lance"), CONFIG
    )
    assert marker.exists()
    assert lance.dataset(table.uri).to_table()["document_id"].to_pylist() == dataset.corpus()["document_id"].to_pylist()


def test_another_data_set_becomes_a_new_version_and_the_old_one_stays_readable(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path
):
    place, files = str(tmp_path / "t.lance"), dataset.corpus_files()
    old = encode_corpus(files, dataset.fingerprint, str(encoder_folder), place, CONFIG)
    new = encode_corpus(files[:1], "other data", str(encoder_folder), place, CONFIG)
    assert (new.version, new.rows, new.info.dataset) == (old.version + 1, 50, "other data")
    assert sum(len(read_shard(shard)[0]) for shard in old.shards()) == 120
