"""Check that fragments and workers do not change a byte of the examples."""

from pathlib import Path

import pytest

from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import update_table
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.table import Table
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from tests.mining.conftest import ENCODING, Minable

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def test_fragments_and_workers_change_no_byte_of_examples_and_counts(
    minable: Minable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.search.shards._ROWS_HERE", 0)  # on workers, however small
    dataset = minable.dataset
    whole = update_table(
        dataset.corpus_files(),
        dataset.fingerprint,
        minable.model,
        str(tmp_path / "whole.lance"),
        ENCODING,
        storage_type="int8",
        dimensions=16,
    ).table
    config = MiningConfig(negatives=3, window=20, margin=0.02)
    written = []
    for rows, workers in ((1000, 1), (7, 2)):
        table = recut(whole, str(tmp_path / f"{rows}.lance"), rows)
        assert len(table.shards()) == -(-whole.rows // rows)
        encoding = EncodingConfig(workers=workers)
        output = str(tmp_path / f"out{rows}")
        examples = mine(dataset, table, minable.model, output, config, encoding)
        names = examples.manifest.files
        written.append({name: Path(examples.uri, name).read_bytes() for name in names})
    assert written[0] == written[1]
    assert "mining.json" in written[0]


def recut(table: Table, uri: str, rows: int) -> Table:
    """Write the same rows, in order, in fragments of so many."""
    stored = open_lance(table.uri, table.version).to_table()
    fragments = [
        write_fragment(uri, part, part["embedding"].combine_chunks())
        for part in (stored.slice(start, rows) for start in range(0, table.rows, rows))
    ]
    return commit_table(uri, fragments, table.info, ranges=table.codec().ranges)
