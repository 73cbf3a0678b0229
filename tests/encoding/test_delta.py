"""Check what a table still has of an earlier time, by its files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.delta import Delta, changes_since, list_files
from medembed.encoding.maintain import compact, rollback
from medembed.encoding.table import Table, find_table, read_shard
from tests.tables import rows_at, write_corpus, write_table

NAMES = [f"d{number}" for number in range(6)]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Return a table of six rows in fragments of two."""
    return remake(tmp_path)


def remake(root: Path) -> Table:
    dataset = write_corpus(root / "data", [{"document_id": name} for name in NAMES], 2)
    return write_table(root / "t.lance", dataset, np.eye(6, dtype=np.float32))


def change(table: Table, deleted: list[int], added: Dataset | None = None) -> Table:
    fragments = []
    if added is not None:
        column = table.codec().write(np.ones((added.corpus().num_rows, 6), np.float32))
        fragments = [write_fragment(table.uri, added.corpus(), column)]
    return commit_table(table.uri, fragments, table.info, base=table, dead=rows_at(table, deleted))


def named(delta: Delta) -> list[str]:
    return sorted(name for shard in delta.added for name in read_shard(shard)[0])


def since(now: Table, before: Table) -> tuple[list[str], list[str]]:
    """Return the ids in added fragments, and those of the six rows that are still there."""
    delta = changes_since(now, list_files(before), before.version)
    return named(delta), sorted(delta.still_there(NAMES))


def test_nothing_has_changed_in_the_same_version_and_after_a_commit_without_rows(table: Table):
    assert since(table, table) == ([], NAMES)
    assert since(change(table, []), table) == ([], NAMES)


def test_a_changed_text_is_added_and_no_longer_what_it_was(table: Table, tmp_path: Path):
    new = write_corpus(
        tmp_path / "new", [{"document_id": "d1", "text": "changed"}, {"document_id": "n"}], 9
    )
    assert since(change(table, [1, 4, 5], new), table) == (["d1", "n"], ["d0", "d2", "d3"])


def test_rows_that_a_rollback_brings_back_count_as_added(table: Table, tmp_path: Path):
    new = write_corpus(tmp_path / "new", [{"document_id": "n"}], 9)
    mined = change(table, [1, 4, 5], new)
    added, there = since(rollback(table.uri, table.version), mined)
    assert added == ["d0", "d1", "d4", "d5"], "the whole fragments of what came back"
    assert there == ["d2", "d3"]


def test_after_a_compaction_nothing_is_known(table: Table):
    mined = change(table, [1])
    files, version = list_files(mined), mined.version
    compacted, _ = compact(table.uri, keep_days=0)
    delta = changes_since(compacted, files, version)
    assert named(delta) == ["d0", "d2", "d3", "d4", "d5"]
    assert delta.still_there(NAMES) == frozenset()


def test_a_table_made_anew_at_the_same_place_shares_nothing_with_the_old_one(
    table: Table, tmp_path: Path
):
    files = list_files(table)
    shutil.rmtree(table.uri)
    again = remake(tmp_path / "again")
    shutil.move(again.uri, table.uri)
    anew = find_table(table.uri)
    assert anew is not None
    assert anew.version == table.version
    assert named(changes_since(anew, files, table.version)) == NAMES


def test_a_deletion_that_cannot_be_looked_up_makes_its_fragment_new(table: Table):
    later = change(table, [1])
    delta = changes_since(later, list_files(table), version=99)
    assert named(delta) == ["d0"]
    assert delta.still_there(NAMES) == frozenset(NAMES[2:])
