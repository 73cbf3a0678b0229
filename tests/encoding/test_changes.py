"""Check that the changes, applied to the table, give the corpus."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed import database
from medembed.encoding import changes as module
from medembed.encoding.changes import Keys, compare, count_repeated, items_of
from medembed.errors import DataError, StorageError

STATES = st.dictionaries(
    st.integers(0, 30).map(str), st.integers(0, 8).map(lambda n: f"text{n}"), max_size=30
)


def keys(state: dict[str, str], size: int = 50) -> list[Keys]:
    names, texts = list(state), list(state.values())
    return [
        Keys(
            pa.array(names[start : start + size], pa.string()),
            pa.array(texts[start : start + size], pa.string()),
        )
        for start in range(0, len(names), size)
    ]


def names_read(item: dict[str, Any], names: list[str]) -> list[str]:
    """Return the ids that an item reads of its files, which are called after their first row."""
    here: list[str] = []
    for part in item["parts"]:
        first = int(part["file"][1:])
        for start, end in part["ranges"]:
            here += names[first + start : first + end]
    return here


@settings(max_examples=60)
@given(STATES, STATES.filter(bool), st.integers(1, 7), st.integers(1, 9), st.integers(1, 9))
def test_what_stays_and_what_is_written_is_the_corpus_and_no_text_is_encoded_twice(
    old, new, rows_per_item: int, rows_per_file: int, rows_per_fragment: int
):
    names = list(new)
    files = [
        (f"f{start}", len(names[start : start + rows_per_file]))
        for start in range(0, len(names), rows_per_file)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "items_of", lambda rows, most: rows_per_item)
        patch.setattr(database, "_ROWS_PER_READ", 3)
        with compare(keys(new, rows_per_file), keys(old, rows_per_fragment)) as changes:
            items, dead, counts = (
                list(changes.deal(files, 1024)),
                list(changes.dead()),
                changes.counts,
            )
    assert [item["number"] for item in items] == list(range(len(items)))
    kept = dict(old)
    for fragment, ids in dead:
        in_fragment = list(old)[fragment * rows_per_fragment : (fragment + 1) * rows_per_fragment]
        assert set(ids) <= set(in_fragment)
        for name in ids:
            del kept[name]
    written: dict[str, str] = {}
    encoded: list[str] = []
    for item in items:
        if "hashes" in item:
            assert set(item["hashes"]) <= set(old.values())
            rows = dict(zip(item["ids"], item["hashes"], strict=True))
        else:
            here = names_read(item, names)
            assert len(here) <= rows_per_item
            encoded += [new[name] for name in here]
            rows = {name: new[name] for name in here}
            for name, row in zip(item["twin_ids"], item["twin_rows"], strict=True):
                rows[name] = new[here[row]]
        assert item["rows"] == len(rows)
        assert not written.keys() & rows.keys()
        written |= rows
    assert len(set(encoded)) == len(encoded) == counts["encoded"]
    assert not set(encoded) & set(old.values())
    assert not written.keys() & kept.keys()
    assert kept | written == new
    assert counts["added"] == len(new.keys() - old.keys())
    assert counts["deleted"] == len(old.keys() - new.keys())
    assert counts["unchanged"] == len(new.items() & old.items())
    assert counts["changed"] == len(new.keys() & old.keys()) - counts["unchanged"]


def test_a_new_corpus_makes_an_item_of_each_file():
    corpus = keys({f"d{n}": f"text {n}" for n in range(300)}, 100)
    with compare(corpus, []) as changes:
        items = list(changes.deal([("a", 100), ("b", 100), ("c", 100)], 1024))
    assert [item["parts"] for item in items] == [
        [{"file": name, "ranges": [[0, 100]]}] for name in "abc"
    ]


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 128), (4096, 128), (16_000, 500), (32_768, 1024), (10**8, 1024)]
)
def test_a_small_corpus_is_dealt_in_smaller_items(rows: int, expected: int):
    assert items_of(rows, 1024) == expected


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["a", "b", "a"], "1 ids stand more than once, e.g. 'a'"),
        (["a", None], "1 documents have no id"),
        (["", "a"], "1 documents have no id"),
        ([], "no documents; there is nothing to encode"),
    ],
)
def test_ids_that_are_missing_or_stand_twice_and_an_empty_corpus_are_refused(ids, expected: str):
    bad = Keys(pa.array(ids, pa.string()), pa.array(["x", "y", "z"][: len(ids)], pa.string()))
    with pytest.raises(DataError, match=expected), compare([bad], []):
        pass


def test_rows_of_a_table_whose_id_stands_twice_are_counted():
    table = keys({"a": "x", "b": "y"}) + keys({"a": "x", "c": "z"})
    assert count_repeated(table) == 1
    assert count_repeated(table[:1]) == 0


def test_keys_that_outgrow_memory_lie_on_disk_and_too_little_of_either_is_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch,
):
    rows = 200_000  # 15 MB of keys
    hashes = np.random.default_rng(0).permutation(rows)
    corpus = [
        Keys(
            pa.array([f"document-{n:030}" for n in range(rows)]),
            pa.array([f"{n:032x}" for n in hashes]),
        )
    ]
    for limit, does_fit in (("40MB", True), ("10MB", False)):
        monkeypatch.setattr(database, "SETTINGS", database.SETTINGS | {"memory_limit": limit})
        if does_fit:
            with compare(corpus, []) as changes:
                assert changes.counts["encoded"] == rows
        else:
            with pytest.raises(StorageError, match="comparing keys in /.*: "), compare(corpus, []):
                pass
