"""List, go back to, compact, verify and export a table's versions, without a model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, show, tag_version, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.erase import erase_rows
from medembed.encoding.export import export
from medembed.encoding.maintain import compact, list_versions, rollback, settle
from medembed.encoding.open_table import find_newest, open_table, open_table_of
from medembed.encoding.table import Table, TableInfo, find_table
from medembed.encoding.verify import verify
from medembed.errors import StorageError
from medembed.matryoshka import truncate
from tests.inline_spread import alone
from tests.tables import write_corpus, write_table

NAMES = [f"d{n}" for n in range(9)]
VECTORS = truncate(np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32), 8)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Dataset, Table, Table]:
    """Return a data set, the first version of its table, and a second one without d1 and d4."""
    dataset = write_corpus(tmp_path / "data", [{"document_id": name} for name in NAMES], 3)
    first = write_table(tmp_path / "t.lance", dataset, VECTORS)
    second = commit_table(first.uri, [], first.info, base=first, dead=[(0, ["d1"]), (1, ["d4"])])
    tag_version(second)
    return dataset, first, second


def test_versions_are_listed_and_one_can_be_gone_back_to_by_number_or_tag(
    written: tuple[Dataset, Table, Table],
):
    _, first, second = written
    listed = list_versions(first.uri)
    assert [(each.version, each.rows, each.fragments) for each in listed] == [(1, 9, 3), (2, 7, 3)]
    assert listed[1].tags == ("by-hand.by-hand",)
    back = rollback(first.uri, 1)
    assert (back.version, back.rows) == (3, 9)
    assert rollback(first.uri, "by-hand.by-hand").rows == second.rows == 7
    assert open_table(first.uri, 3).rows == 9
    with pytest.raises(
        StorageError, match="no version or tag '9'; there are 1, 2, 3, 4, by-hand.by-hand"
    ):
        rollback(first.uri, 9)
    with pytest.raises(StorageError, match="no embedding table there"):
        open_table(first.uri + "x")


def rows_of(table: Table) -> tuple[pa.Table, pa.FixedSizeListArray]:
    """Return what `write_fragment` takes to write a table's rows again."""
    fragments = table.keys()
    names = [name for keys in fragments for name in keys.ids.to_pylist()]
    return pa.table({"document_id": names, "content_hash": names}), Codec(8).write(
        table.lookup(names)
    )


@pytest.fixture
def kept_back(written: tuple[Dataset, Table, Table]) -> tuple[Table, Table]:
    """Return the version that all see, with 7 rows, and an unseen one behind it with 5."""
    _, _, seen = written
    info = replace(seen.info, dataset="not decided")
    return seen, commit_table(
        seen.uri, [], info, base=seen, dead=[(0, ["d0"]), (2, ["d8"])], is_unseen=True
    )


def test_an_unseen_version_is_nobodys_newest_until_it_is_shown(kept_back: tuple[Table, Table]):
    seen, unseen = kept_back
    assert (
        open_table(seen.uri) == find_newest(seen.uri) == open_table_of(seen.uri, "by hand") == seen
    )
    assert open_table(seen.uri, unseen.version) == find_table(seen.uri) == unseen
    assert [each.is_unseen for each in list_versions(seen.uri)] == [False, False, True]
    shown = show(unseen)
    assert open_table(seen.uri) == shown == replace(unseen, version=4, is_unseen=False)
    assert show(shown) == shown


def test_where_all_is_unseen_the_last_version_is_taken(
    tmp_path: Path, kept_back: tuple[Table, Table]
):
    _, unseen = kept_back
    shard = [write_fragment(str(tmp_path / "u.lance"), *rows_of(unseen))]
    only = commit_table(str(tmp_path / "u.lance"), shard, unseen.info, is_unseen=True)
    assert open_table(only.uri) == settle(only.uri) == only


@pytest.mark.parametrize("change", ["settle", "compact", "erase", "back to seen", "back to unseen"])
def test_what_changes_a_table_leaves_an_unseen_version_behind_or_shows_it(
    kept_back: tuple[Table, Table], change: str
):
    seen, unseen = kept_back
    changes: dict[str, Callable[[], object]] = {
        "settle": lambda: settle(seen.uri),
        "compact": lambda: compact(seen.uri, keep_days=0),
        "erase": lambda: erase_rows(seen.uri, ["d2"], lambda table: None),
        "back to seen": lambda: rollback(seen.uri, seen.version),
        "back to unseen": lambda: rollback(seen.uri, unseen.version),
    }
    changes[change]()
    last = find_table(seen.uri)
    assert last is not None
    assert last == open_table(seen.uri)
    rows = {"erase": 6, "back to unseen": 5}.get(change, 7)
    assert (last.is_unseen, last.rows) == (False, rows)
    assert last.info.dataset == ("not decided" if change == "back to unseen" else seen.info.dataset)


def test_compacting_keeps_rows_and_facts_and_drops_old_versions(
    written: tuple[Dataset, Table, Table],
):
    _, first, second = written
    (Path(first.uri) / "_staging/old").mkdir(parents=True)
    table, counts = compact(first.uri, keep_days=0)
    assert (table.rows, table.info) == (7, second.info)
    assert counts["fragments_removed"] >= 2
    assert counts["versions_removed"] >= 1
    assert np.array_equal(table.lookup(["d0", "d8"]), VECTORS[[0, 8]])
    assert not (Path(first.uri) / "_staging").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_sound_table_verifies_and_each_fault_is_named(
    written: tuple[Dataset, Table, Table], tmp_path: Path
):
    dataset, first, second = written
    config = EncodingConfig(workers=2)
    with alone():
        assert verify(first, dataset.corpus_files(), None, config).rows == 9
        with pytest.raises(StorageError, match=r"version 2: against the data set: 2 added\.$"):
            verify(second, dataset.corpus_files(), None, config)
    broken = VECTORS.copy()
    broken[2, 0] = np.nan
    broken[5] *= 2
    faults = (
        "1 vectors are not numbers, e.g. id 'd2'; 1 vectors are not of unit length, e.g. id 'd5'"
    )
    with pytest.raises(StorageError, match=faults):
        verify(write_table(tmp_path / "b.lance", dataset, broken), None, None, config)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_an_export_is_parquet_with_ids_and_truncated_unit_vectors(
    written: tuple[Dataset, Table, Table], tmp_path: Path
):
    _, first, _ = written
    folder = export(first, str(tmp_path / "out"), 4, 2)
    rows = pq.read_table(f"{folder}/vectors", columns=["document_id", "embedding"]).sort_by(
        "document_id"
    )
    assert rows["document_id"].to_pylist() == NAMES
    assert np.array_equal(np.array(rows["embedding"].to_pylist(), np.float32), truncate(VECTORS, 4))
    assert export(first, str(tmp_path / "out"), 4, 2) == folder


def test_an_empty_table_is_not_exported(tmp_path: Path):
    empty = Table(str(tmp_path / "t.lance"), 1, 0, TableInfo("by hand", "one", 4, (), "", 48))
    with pytest.raises(StorageError, match="is empty; there is nothing to export"):
        export(empty, str(tmp_path / "out"), None, 1)
    assert not (tmp_path / "out").exists()
