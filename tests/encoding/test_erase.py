"""Check that no version, file or index has an erased row, and that the rest is what it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from medembed.encoding.commit import commit_table, tag_version
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.index import build_index, find_index
from medembed.encoding.maintain import list_versions
from medembed.encoding.open_table import open_table
from medembed.encoding.table import Table
from medembed.matryoshka import truncate
from tests.tables import write_corpus, write_table

VECTORS = truncate(np.random.default_rng(0).normal(size=(90, 8)).astype(np.float32), 8)


def among(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Return the second version of a table of 90 rows, whose files still hold d1.

    A fragment has 30 rows.
    """
    dataset = write_corpus(tmp_path / "data", [{"document_id": f"d{n}"} for n in range(90)], 30)
    first = write_table(tmp_path / "t.lance", dataset, VECTORS)
    tag_version(first)
    return commit_table(first.uri, [], first.info, base=first, dead=[(0, ["d1"])])


def files_with(folder: str, vector: npt.NDArray[np.float32]) -> list[str]:
    """Return the files below a folder that hold a vector's bytes."""
    return [
        str(path)
        for path in Path(folder).rglob("*")
        if path.is_file() and vector.tobytes() in path.read_bytes()
    ]


def test_no_file_or_version_has_an_erased_vector_and_the_rest_is_what_it_was(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    # nothing is rewritten but for its deletions
    monkeypatch.setattr("medembed.encoding.erase.ROWS_PER_FRAGMENT", 1)
    build_index(table, "IVF_FLAT", 1)
    erasable = find_erasable(table.uri, among("d1", "d35", "nobody"))
    assert (erasable.rows, erasable.is_torn) == ({"d1", "d35"}, False), (
        "one that is only marked as deleted is there still"
    )
    assert files_with(table.uri, VECTORS[35]), "else this test could not fail"
    given: list[Table] = []
    last = erase_rows(table.uri, erasable.rows, given.append)
    assert given == [last]
    assert files_with(table.uri, VECTORS[1]) == files_with(table.uri, VECTORS[35]) == []
    assert find_index(last) is None
    assert [(each.version, each.tags, each.dataset) for each in list_versions(table.uri)] == [
        (last.version, ("by-hand.by-hand",), "by hand")
    ]
    assert find_erasable(table.uri, among("d1", "d35")).rows == set()
    left = [n for n in range(90) if n not in (1, 35)]
    np.testing.assert_array_equal(
        open_table(table.uri).lookup([f"d{n}" for n in left]), VECTORS[left]
    )


def test_a_death_before_old_versions_go_is_seen_and_the_next_call_finishes(table: Table):
    def die(_: Table) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erase_rows(table.uri, {"d35"}, die)
    assert open_table(table.uri).find(["d35"]) == {}
    assert find_erasable(table.uri, among("d35")).rows == {"d35"}, "an old version has it"
    erase_rows(table.uri, {"d35"}, lambda _: None)
    assert find_erasable(table.uri, among("d35")).rows == set()
    assert files_with(table.uri, VECTORS[35]) == []


def test_a_cleaning_that_died_half_way_is_seen_and_finished(table: Table):
    gone = next(Path(table.uri).glob("data/*.lance"))
    with pytest.raises(KeyboardInterrupt):
        erase_rows(table.uri, {"d35"}, lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    for path in Path(table.uri).glob("data/*.lance"):
        if path.name == gone.name:
            path.unlink()
    assert find_erasable(table.uri, among("nobody")).is_torn
    erase_rows(table.uri, {"d35"}, lambda _: None)
    assert not find_erasable(table.uri, among("nobody")).is_torn
    assert open_table(table.uri).rows == 88


def test_a_table_all_of_whose_rows_are_erased_is_empty(table: Table):
    every = {f"d{n}" for n in range(90)}
    assert erase_rows(table.uri, every, lambda _: None).rows == 0
    assert find_erasable(table.uri, lambda _: True).rows == set()
