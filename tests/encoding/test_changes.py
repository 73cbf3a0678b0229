"""Applying the changes to the table gives the corpus, whatever both were."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.encoding import changes as module
from medembed.encoding.changes import Keys, deal_copies, deal_rows, find_changes
from medembed.errors import DataError

STATES = st.dictionaries(st.integers(0, 30).map(str), st.integers(0, 8).map(lambda n: f"text{n}"), max_size=30)


def keys(state: dict[str, str]) -> Keys:
    return Keys(pa.array(list(state), pa.string()), pa.array(list(state.values()), pa.string()))


@given(STATES, STATES)
def test_what_stays_and_what_is_written_is_the_corpus_and_no_text_is_encoded_twice(old, new):
    table, corpus = keys(old), keys(new)
    found = find_changes(corpus, table, [len(old)] * bool(old))
    names = list(new)
    dead = range(len(old)) if found.dead is None else found.dead.tolist()
    kept = {name: text for n, (name, text) in enumerate(old.items()) if n not in dead}
    assert bool(kept) == (found.dead is not None and len(old) > 0)
    encoded = [new[names[row]] for row in found.new]
    assert len(set(encoded)) == len(encoded) == found.counts["encoded"]
    assert not set(encoded) & set(old.values())
    assert all(new[names[row]] in old.values() for row in found.copies)
    assert [new[names[row]] for row in found.twins] == [new[names[row]] for row in found.first]
    written = {names[row]: new[names[row]] for part in (found.new, found.twins, found.copies) for row in part}
    assert not written.keys() & kept.keys()
    assert kept | written == new
    assert found.counts["added"] == len(new.keys() - old.keys())
    assert found.counts["deleted"] == len(old.keys() - new.keys())
    assert found.counts["unchanged"] == len(new.items() & old.items())
    assert found.counts["changed"] == len(new.keys() & old.keys()) - found.counts["unchanged"]


@given(STATES, STATES, st.integers(1, 7), st.integers(1, 9))
def test_items_hold_every_row_to_write_once(old, new, rows_per_item: int, rows_per_file: int):
    corpus = keys(new)
    found = find_changes(corpus, keys(old), [len(old)] * bool(old))
    names = list(new)
    files = [(f"f{start}", len(names[start : start + rows_per_file])) for start in range(0, len(names), rows_per_file)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_ITEM", rows_per_item)
        items = list(deal_rows(found, corpus, files))
        copies = list(deal_copies(found, corpus, len(items)))
    assert [item["number"] for item in [*items, *copies]] == list(range(len(items) + len(copies)))
    written: list[str] = []
    for item in items:
        here = [names[int(part["file"][1:]) + row] for part in item["parts"] for row in part["rows"]]
        assert item["rows"] == len(here) <= rows_per_item
        assert all(new[twin["document_id"]] == new[here[twin["row"]]] for twin in item["twins"])
        written += here + [twin["document_id"] for twin in item["twins"]]
    for item in copies:
        assert [new[name] for name in item["ids"]] == item["hashes"]
        written += item["ids"]
    assert sorted(written) == sorted(names[row] for part in (found.new, found.twins, found.copies) for row in part)


def test_a_new_corpus_makes_an_item_of_each_file():
    corpus = keys({f"d{n}": f"text {n}" for n in range(7)})
    items = list(deal_rows(find_changes(corpus, keys({}), []), corpus, [("a", 3), ("b", 4)]))
    assert [part for item in items for part in item["parts"]] == [
        {"file": "a", "rows": [0, 1, 2]},
        {"file": "b", "rows": [0, 1, 2, 3]},
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [(["a", "b", "a"], "1 ids stand more than once, e.g. 'a'"), (["a", None], "1 documents have no id"),
     (["", "a"], "1 documents have no id")],
)  # fmt: skip
def test_ids_that_are_missing_or_stand_twice_are_refused(ids, expected: str):
    bad = Keys(pa.array(ids, pa.string()), pa.array(["x", "y", "z"][: len(ids)], pa.string()))
    with pytest.raises(DataError, match=expected):
        find_changes(bad, keys({}), [])
