"""One embedding table gives the same examples, byte for byte, however it is cut into fragments, on
any workers.
"""

from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.codec import Storage
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import update_table
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.table import Table
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@pytest.fixture(scope="module")
def dataset(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(
        SourceConfig(path=str(pairs_file)),
        SplitConfig(),
        str(tmp_path_factory.mktemp("bytes") / "data"),
    )


@pytest.mark.parametrize(("storage", "dimensions"), [("int8", 16)])
def test_fragments_and_workers_change_no_byte_of_examples_and_counts(
    dataset: Dataset,
    encoder_folder: Path,
    tmp_path: Path,
    storage: Storage,
    dimensions: int | None,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("medembed.search.shards._ROWS_HERE", 0)  # on workers, however small
    model, files = str(encoder_folder), dataset.corpus_files()
    whole = update_table(
        files,
        dataset.fingerprint,
        model,
        str(tmp_path / "whole.lance"),
        EncodingConfig(workers=1),
        storage_type=storage,
        dimensions=dimensions,
    ).table
    written = []
    for number, (rows, workers) in enumerate(((1000, 1), (7, 2))):
        table = recut(whole, str(tmp_path / f"{number}.lance"), rows)
        assert len(table.shards()) == -(-whole.rows // rows)
        config = MiningConfig(negatives=3, window=20, margin=0.02)
        examples = mine(
            dataset,
            table,
            model,
            str(tmp_path / f"out{number}"),
            config,
            EncodingConfig(workers=workers),
        )
        names = examples.manifest.files
        written.append({name: Path(examples.uri, name).read_bytes() for name in names})
    assert written[0] == written[1]
    assert "mining.json" in written[0]


def recut(table: Table, uri: str, rows: int) -> Table:
    """The same rows, in order, in fragments of so many."""
    stored = open_lance(table.uri, table.version).to_table()
    fragments = [
        write_fragment(uri, part, part["embedding"].combine_chunks())
        for part in (stored.slice(start, rows) for start in range(0, table.rows, rows))
    ]
    return commit_table(uri, fragments, table.info, ranges=table.codec().ranges)
