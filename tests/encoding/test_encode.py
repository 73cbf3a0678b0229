import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from medembed.bits import from_bits, to_bits
from medembed.data.dataset import Dataset, to_table
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import update_table
from medembed.encoding.encoder import Encoder
from medembed.encoding.erase import erase_rows
from medembed.encoding.table import Table, find_table, read_shard
from medembed.encoding.texts import encode_queries
from medembed.encoding.verify import verify
from medembed.encoding.worker import EncodeRows
from medembed.errors import DataError, StorageError
from medembed.matryoshka import truncate
from medembed.schema import CORPUS, content_hash
from tests.inline_spread import alone
from tests.tables import encode_dataset

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = EncodingConfig(workers=1)


def test_the_table_holds_each_documents_embedding_whatever_the_number_of_workers(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path
):
    corpus = dataset.corpus()
    expected = Encoder.load(str(encoder_folder), CONFIG).encode(corpus["text"].to_pylist())
    tables = [
        encode_dataset(dataset, encoder_folder, tmp_path / f"t{workers}.lance", workers)
        for workers in (1, 2)
    ]
    rows = [lance.dataset(table.uri).to_table() for table in tables]
    assert rows[0].equals(rows[1])
    assert rows[0]["document_id"].to_pylist() == corpus["document_id"].to_pylist()
    assert rows[0]["content_hash"].to_pylist() == corpus["content_hash"].to_pylist()
    assert np.abs(np.stack(rows[0]["embedding"].to_pylist()) - expected).max() < 1e-6
    assert [len(read_shard(shard)[0]) for shard in tables[0].shards()] == [50, 50, 20]


@pytest.mark.usefixtures("no_actors")
def test_an_unchanged_corpus_is_found_again_and_another_encoder_is_refused(
    dataset: Dataset, encoder_folder: Path, prompted_folder: Path, tmp_path: Path
):
    place = tmp_path / "t.lance"
    first = encode_dataset(dataset, encoder_folder, place)
    assert encode_dataset(dataset, encoder_folder, place) == first
    with pytest.raises(StorageError, match="never compared"):
        encode_dataset(dataset, prompted_folder, place)


def test_a_folder_that_holds_something_else_is_refused_and_kept(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"found 'thesis.txt'"):
        encode_dataset(dataset, encoder_folder, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_a_run_that_dies_leaves_no_table_and_the_next_goes_on_from_there(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Failing(EncodeRows):
        def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
            if item["number"] == 2:
                raise StorageError("out of reach")
            return super().__call__(item)

    place = str(tmp_path / "t.lance")
    arguments = (dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), place, CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr("medembed.encoding.encode.EncodeRows", Failing)
        with pytest.raises(StorageError, match="out of reach"):
            update_table(*arguments)
    assert find_table(place) is None
    with alone():
        encoded = update_table(*arguments)
    assert (encoded.resumed, encoded.counts["added"], encoded.counts["encoded"]) == (100, 120, 120)
    assert not list((tmp_path / "t.lance").glob("_staging/*"))
    corpus = dataset.corpus()
    expected = Encoder.load(str(encoder_folder), CONFIG).encode(corpus["text"].to_pylist())
    vectors = encoded.table.lookup(corpus["document_id"].to_pylist())
    assert np.abs(vectors - expected).max() < 1e-6


def write_corpus_file(path: Path, texts: dict[str, str]) -> tuple[str, int]:
    rows = [
        {"document_id": name, "text": text, "content_hash": content_hash(text)}
        for name, text in texts.items()
    ]
    pa.parquet.write_table(to_table(rows, CORPUS), path)
    return str(path), len(rows)


def read_hashes(table: Table) -> dict[str, str]:
    """Return {id: content hash} of a table in which no id stands twice."""
    hashes: dict[str, str] = {}
    fragments = table.keys()
    for keys in fragments:
        hashes |= zip(keys.ids.to_pylist(), keys.hashes.to_pylist(), strict=True)
    assert len(hashes) == table.rows
    return hashes


@pytest.mark.usefixtures("no_actors")
def test_only_texts_that_the_table_lacks_are_encoded_and_the_table_equals_the_corpus(
    encoder_folder: Path, tmp_path: Path
):
    place, model = str(tmp_path / "t.lance"), str(encoder_folder)
    old = {f"d{n}": f"heart pain {n}" for n in range(30)}
    first = update_table([write_corpus_file(tmp_path / "a", old)], "one", model, place, CONFIG)
    new = {name: text for name, text in old.items() if name not in ("d3", "d4")}
    new |= {"d5": "a rash", "e'0": "heart pain 7", "e1": "new", "e2": "new", "e3": "a rash"}
    files = [
        write_corpus_file(tmp_path / "b", dict(list(new.items())[:10])),
        write_corpus_file(tmp_path / "c", dict(list(new.items())[10:])),
    ]
    second = update_table(files, "two", model, place, CONFIG)
    assert second.counts == {"added": 4, "changed": 1, "deleted": 2, "unchanged": 27, "encoded": 2}
    assert second.table.version == first.table.version + 1
    expected = dict(zip(new, Encoder.load(model, CONFIG).encode(list(new.values())), strict=True))
    assert read_hashes(second.table) == {name: content_hash(text) for name, text in new.items()}
    assert np.abs(second.table.lookup(list(new)) - np.stack(list(expected.values()))).max() < 1e-6
    assert sorted(read_hashes(first.table)) == sorted(old)
    assert np.array_equal(second.table.lookup(["d9"]), first.table.lookup(["d9"]))
    assert {name: entry["version"] for name, entry in lance.dataset(place).tags.list().items()} == {
        f"one.{first.table.info.encoder}": 1,
        f"two.{first.table.info.encoder}": 2,
    }


@pytest.mark.usefixtures("no_actors")
def test_a_document_on_which_the_model_fails_ends_the_run_by_its_id_without_its_text(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encode = Encoder.encode_and_count

    def fail(self: Encoder, texts: list[str], *role: Any, **options: Any) -> Any:
        if "SECRET" in texts:
            raise IndexError(texts[0])
        return encode(self, texts, *role, **options)

    place = str(tmp_path / "t.lance")
    files = [write_corpus_file(tmp_path / "a", {"d0": "SECRET", "d1": "pain"})]
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "encode_and_count", fail)
        with pytest.raises(
            DataError, match=r"^document id 'd0': the model fails on its text \(IndexError\)"
        ) as error:
            update_table(files, "one", str(encoder_folder), place, CONFIG)
    assert "SECRET" not in str(error.value)
    assert find_table(place) is None
    assert update_table(files, "one", str(encoder_folder), place, CONFIG).table.rows == 2


@pytest.mark.usefixtures("no_actors")
def test_an_int8_table_of_fewer_dimensions_keeps_its_ranges_when_texts_come_and_a_fragment_goes(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.encoding.changes.items_of", lambda rows, most: 10)
    place, model = str(tmp_path / "t.lance"), str(encoder_folder)
    old = {f"d{n}": f"heart pain {n}" for n in range(30)}
    files = [write_corpus_file(tmp_path / "a", old)]
    first = update_table(
        files, "one", model, place, CONFIG, storage_type="int8", dimensions=8
    ).table
    new = {name: text for name, text in old.items() if not "d10" <= name <= "d19"}
    new |= {"e0": "heart pain 31", "e1": "heart pain 7"}
    files = [write_corpus_file(tmp_path / "b", new)]
    with pytest.raises(
        StorageError, match="keeps 8 dimensions as int8, but 8 as float16 were asked for"
    ):
        update_table(files, "two", model, place, CONFIG, storage_type="float16")
    second = update_table(files, "two", model, place, CONFIG)
    assert second.counts == {"added": 2, "changed": 0, "deleted": 10, "unchanged": 20, "encoded": 1}
    assert (first.info.storage, first.info.width) == ("int8", 8)
    assert second.table.info == replace(first.info, dataset="two")
    ranges = [table.codec().ranges for table in (first, second.table)]
    assert ranges[0].fingerprint == ranges[1].fingerprint
    rows = lance.dataset(place).to_table().to_pylist()
    codes = {row["document_id"]: row["embedding"] for row in rows}
    assert codes["e1"] == codes["d7"]
    expected = truncate(Encoder.load(model, CONFIG).encode(list(new.values())), 8)
    assert (second.table.lookup(list(new)) * expected).sum(axis=1).min() > 0.995
    assert len(second.table.shards()) == 4


@pytest.mark.usefixtures("no_actors")
def test_a_table_of_bits_takes_texts_later_verifies_and_loses_what_is_erased(
    encoder_folder: Path, tmp_path: Path
):
    place, model = str(tmp_path / "t.lance"), str(encoder_folder)
    old = {f"d{n}": f"heart pain {n}" for n in range(30)}
    new = old | {"e0": "skin rash 31", "e1": "heart pain 7"}
    with alone():
        files = [write_corpus_file(tmp_path / "a", old)]
        update_table(files, "one", model, place, CONFIG, storage_type="binary", dimensions=16)
        files = [write_corpus_file(tmp_path / "b", new)]
        table = update_table(files, "two", model, place, CONFIG).table
        verified = verify(table, files, model, CONFIG)
    assert (verified.rows, table.info.width) == (32, 16)
    assert verified.lowest_cosine > 0.8, "at most one of 16 bits is another"
    vectors = Encoder.load(model, CONFIG).encode(list(new.values()))
    levels = table.codec().ranges
    assert levels.count == 30, "those of the first texts"
    bits = from_bits(to_bits(truncate(vectors, 16), levels), levels)
    assert (table.lookup(list(new)) * bits).sum(axis=1).min() > 0.8
    left = [name for name in new if name != "d3"]
    before = table.lookup(left)
    last = erase_rows(place, {"d3"}, lambda _: None)
    assert "d3" not in last.find(new)
    assert np.array_equal(last.lookup(left), before)


def test_queries_come_back_in_order_behind_their_prompt(
    prompted_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.encoding.texts._TEXTS_PER_ITEM", 3)
    texts = [f"heart pain {number}" for number in range(8)]
    expected = Encoder.load(str(prompted_folder), CONFIG).encode(texts, "query")
    assert np.abs(encode_queries(texts, str(prompted_folder), CONFIG) - expected).max() < 1e-6


def test_a_worker_that_dies_is_replaced_and_no_row_is_lost_or_doubled(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marker = tmp_path / "died"

    class Mortal(EncodeRows):
        def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
            if item["number"] == 1 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(item)

    monkeypatch.setattr("medembed.encoding.encode.EncodeRows", Mortal)
    table = encode_dataset(dataset, encoder_folder, tmp_path / "t.lance")
    assert marker.exists()
    ids = lance.dataset(table.uri).to_table()["document_id"].to_pylist()
    assert ids == dataset.corpus()["document_id"].to_pylist()
