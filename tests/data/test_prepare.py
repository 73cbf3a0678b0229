import json
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import describe, open_dataset
from medembed.data.prepare import prepare
from medembed.errors import DataError, StorageError


def test_a_data_set_holds_every_kept_row_and_its_manifest_counts_them(pairs_file: Path, tmp_path: Path):
    made = prepare(SourceConfig(path=str(pairs_file), licence="CC0"), SplitConfig(), str(tmp_path / "d"))
    dataset = open_dataset(made.uri)
    assert dataset.manifest["counts"] == {"documents": 120, "queries": 240, "judgments": 240}
    assert sum(dataset.manifest["splits"].values()) == dataset.queries().num_rows == 240
    assert dataset.corpus().num_rows == sum(rows for _, rows in dataset.corpus_files()) == 120
    assert set(dataset.qrels()) == set(dataset.queries()["query_id"].to_pylist())
    assert dataset.manifest["licence"] == "CC0"
    assert "120 documents" in describe(dataset)


def test_the_fingerprint_depends_on_content_and_not_on_order(pairs_file: Path, tmp_path: Path):
    lines = pairs_file.read_text().splitlines()
    (tmp_path / "reversed.jsonl").write_text("\n".join(reversed(lines)))
    (tmp_path / "shorter.jsonl").write_text("\n".join(lines[:-1]))
    prints = [
        prepare(SourceConfig(path=str(path)), SplitConfig(), str(tmp_path / f"d{number}")).fingerprint
        for number, path in enumerate([pairs_file, tmp_path / "reversed.jsonl", tmp_path / "shorter.jsonl"])
    ]
    assert prints[0] == prints[1] != prints[2]


def test_the_same_call_finds_it_again_and_another_source_is_refused(pairs_file: Path, tmp_path: Path):
    source = SourceConfig(path=str(pairs_file))
    prepare(source, SplitConfig(), str(tmp_path / "d"))
    stamp = (tmp_path / "d/manifest.json").stat().st_mtime_ns
    prepare(source, SplitConfig(), str(tmp_path / "d"))
    assert (tmp_path / "d/manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(StorageError, match="other inputs"):
        prepare(source, SplitConfig(dev=0.2), str(tmp_path / "d"))


def test_a_source_with_no_usable_pair_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"query": " x ", "document": "\u0000 "}) + "\n")
    with pytest.raises(DataError, match="no usable pair"):
        prepare(SourceConfig(path=str(tmp_path / "p.jsonl")), SplitConfig(), str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()


def test_a_missing_source_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match="no such file"):
        prepare(SourceConfig(path=str(tmp_path / "none.jsonl")), SplitConfig(), str(tmp_path / "d"))
