from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.data.config import SplitConfig
from medembed.data.grouping import JOINS, LEAK, WEAK_TEST
from medembed.data.judgments import Staged
from medembed.data.memory import Memory
from medembed.data.read_pass import DOCUMENTS, JUDGMENTS, QUERIES
from medembed.data.resolve import Resolved, resolve
from medembed.data.splits import split_of
from medembed.errors import DataError
from medembed.schema import SPLITS, content_hash

CONFIG = SplitConfig(dev=0.3, test=0.3)

# A row is (query number, document number, key number or None): query i asks "text i//2", so that
# some share words.
Row = tuple[int, int, int | None]
rows_of_pairs = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(0, 12), st.one_of(st.none(), st.none(), st.integers(0, 3))
    ),
    min_size=1,
    max_size=30,
)


def stage(
    rows: list[Row], own: dict[int, str] | None = None, weak: frozenset[int] = frozenset()
) -> Staged:
    """Staged keys of pairs; `own` gives some queries a split of the source's own."""
    documents, queries, judgments = [], [], []
    for line, (i, j, key) in enumerate(rows):
        group = None if key is None else f"key {key}"
        documents.append(_text(f"d{j:02}", f"document {j}", f"document {j}", line))
        query = _text(f"q{i:02}", f"Text {i // 2}!{'?' * (i % 2)}#{i}", f"text {i // 2}", line)
        split = (own or {}).get(i)
        queries.append(
            query | {"group": group, "split": split, "tags": ["weak"] if i in weak else []}
        )
        judgments.append(
            {"query_id": f"q{i:02}", "document_id": f"d{j:02}", "score": 1.0, "line": line}
        )
    return Staged(
        pa.Table.from_pylist(documents, DOCUMENTS).drop_columns("text"),
        pa.Table.from_pylist(queries, QUERIES).drop_columns("text"),
        pa.Table.from_pylist(judgments, JUDGMENTS),
    )


def _text(name: str, text: str, words: str, line: int) -> dict[str, object]:
    return {
        "id": name,
        "content": content_hash(text),
        "spelling": content_hash(text),
        "words": content_hash(words),
        "line": line,
    }


def split(staged: Staged, config: SplitConfig = CONFIG, memory: Memory | None = None) -> Resolved:
    return resolve(staged, config, memory or Memory(), None, is_listing=False)


def query_splits(staged: Staged, resolved: Resolved) -> dict[str, str]:
    """query id -> split, of the queries that stay."""
    names, lines = staged.queries["id"].to_pylist(), resolved.queries.to_pylist()
    return {name: line["split"] for name, line in zip(names, lines, strict=True) if line["keep"]}


def remember(staged: Staged, resolved: Resolved) -> Memory:
    documents = staged.documents["id"].combine_chunks().unique()
    return Memory(
        documents, pa.array(list(query_splits(staged, resolved)), pa.string()), resolved.groups
    )


def check_no_group_straddles(rows: list[Row], staged: Staged, resolved: Resolved) -> None:
    splits = query_splits(staged, resolved)
    held = {(row["query_id"], row["document_id"]) for row in resolved.held_out.to_pylist()}
    seen: dict[str, set[str]] = defaultdict(set)
    for i, j, key in rows:
        name = f"q{i:02}"
        if name not in splits:
            continue
        seen[f"words {i // 2}"].add(splits[name])
        if key is not None:
            seen[f"key {key}"].add(splits[name])
        if (name, f"d{j:02}") not in held:
            seen[f"document {j}"].add(splits[name])
    assert all(len(found) == 1 for found in seen.values())


@settings(max_examples=150)
@given(rows_of_pairs)
def test_from_scratch_no_group_straddles_splits_and_nothing_is_held_out(rows: list[Row]):
    staged = stage(rows)
    resolved = split(staged)
    check_no_group_straddles(rows, staged, resolved)
    assert set(query_splits(staged, resolved)) == {f"q{i:02}" for i, _, _ in rows}
    assert resolved.held_out.num_rows == 0


@settings(max_examples=150)
@given(rows_of_pairs, rows_of_pairs, rows_of_pairs)
def test_growth_never_moves_a_row_and_no_group_straddles(
    first: list[Row], second: list[Row], third: list[Row]
):
    rows, memory, before = [], Memory(), {}
    for more in (first, second, third):  # new rows may join groups of different splits
        rows = rows + more
        staged = stage(rows)
        resolved = split(staged, memory=memory)
        after = query_splits(staged, resolved)
        assert all(after.get(name, old) == old for name, old in before.items())
        check_no_group_straddles(rows, staged, resolved)
        before, memory = before | after, remember(staged, resolved)


@settings(max_examples=100)
@given(rows_of_pairs, rows_of_pairs, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(old: list[Row], new: list[Row], random: object):
    memory = remember(stage(old), split(stage(old)))
    rows = old + new
    shuffled = rows + new
    random.shuffle(shuffled)
    one, other = split(stage(rows), memory=memory), split(stage(shuffled), memory=memory)
    assert query_splits(stage(rows), one) == query_splits(stage(shuffled), other)
    assert sorted(map(str, one.held_out.to_pylist())) == sorted(
        map(str, other.held_out.to_pylist())
    )


def rows_in_different_splits() -> tuple[Row, Row]:
    """Two pairs without anything in common whose groups have different splits."""
    rows: list[Row] = [(2 * number, number, None) for number in range(7)]
    splits = query_splits(stage(rows), split(stage(rows)))
    train = next(row for row in rows if splits[f"q{row[0]:02}"] == "train")
    test = next(row for row in rows if splits[f"q{row[0]:02}"] == "test")
    return train, test


def test_a_new_row_that_joins_groups_of_different_splits_is_held_out_counted_and_listed():
    train, test = rows_in_different_splits()
    memory = remember(stage([train, test]), split(stage([train, test])))
    joining: list[Row] = [(20, train[1], None), (20, test[1], None)]
    staged = stage([train, test, *joining])
    resolved = split(staged, memory=memory)
    assert set(query_splits(staged, resolved)) == {f"q{train[0]:02}", f"q{test[0]:02}"}
    assert [(row["query_id"], row["reason"]) for row in resolved.held_out.to_pylist()] == [
        ("q20", JOINS)
    ] * 2
    assert resolved.dropped[f"held out: query, {JOINS}"] == 1


def test_a_new_row_beside_one_that_is_held_out_is_kept():
    train, test = rows_in_different_splits()
    memory = remember(stage([train, test]), split(stage([train, test])))
    staged = stage([train, test, (20, train[1], None), (20, test[1], None), (22, train[1], None)])
    assert query_splits(staged, split(staged, memory=memory))["q22"] == "train"


def test_a_new_judgment_between_known_texts_of_different_splits_is_held_out_alone():
    train, test = rows_in_different_splits()
    memory = remember(stage([train, test]), split(stage([train, test])))
    staged = stage([train, test, (train[0], test[1], None)])
    resolved = split(staged, memory=memory)
    assert len(query_splits(staged, resolved)) == 2
    assert [(row["query_id"], row["document_id"]) for row in resolved.held_out.to_pylist()] == [
        (f"q{train[0]:02}", f"d{test[1]:02}")
    ]


def test_further_queries_about_known_documents_change_nothing_even_without_memory():
    rows: list[Row] = [(2 * number, number, None) for number in range(6)]
    more: list[Row] = rows + [(2 * number + 12, number, None) for number in range(6)]
    before, after = (query_splits(stage(each), split(stage(each))) for each in (rows, more))
    assert before.items() <= after.items()


def test_shares_are_met():
    found = np.array([split_of(f"1{number}", SplitConfig()) for number in range(20_000)])
    assert [(found == code).mean() for code in range(3)] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.008
    )


def test_a_leak_in_the_sources_own_splits_is_an_error_with_counts_and_ids_and_no_text():
    staged = stage(
        [(0, 0, None), (2, 0, None), (4, 1, None)], own={0: "train", 2: "test", 4: "dev"}
    )
    with pytest.raises(DataError) as caught:
        split(staged)
    assert (
        "1 texts stand in several, which 2 queries share, first 'q00' (train), 'q02' (test)"
        in str(caught.value)
    )
    assert "document" not in str(caught.value)


def test_a_leak_can_be_held_out_so_that_the_last_split_stays_clean():
    staged = stage(
        [(0, 0, None), (2, 0, None), (4, 1, None)], own={0: "train", 2: "test", 4: "dev"}
    )
    resolved = split(staged, SplitConfig(on_leak="hold_out"))
    assert query_splits(staged, resolved) == {"q02": "test", "q04": "dev"}
    assert resolved.dropped[f"held out: query, {LEAK}"] == 1


def test_own_splits_are_kept_or_made_anew():
    rows: list[Row] = [(2 * number, number, None) for number in range(10)]
    own = {2 * number: "dev" for number in range(10)}
    assert set(query_splits(stage(rows, own), split(stage(rows, own))).values()) == {"dev"}
    anew = split(stage(rows, own), SplitConfig(dev=0.3, test=0.3, own=False))
    assert len(set(query_splits(stage(rows, own), anew).values())) > 1


def test_own_splits_that_contradict_the_earlier_data_set_are_an_error():
    train, _ = rows_in_different_splits()
    memory = remember(stage([train]), split(stage([train])))
    with pytest.raises(DataError, match=r"texts stand in another split than in splits\.previous"):
        split(stage([train], own={train[0]: "test"}), memory=memory)


def test_weak_queries_are_never_in_the_test_split():
    rows: list[Row] = [(2 * number, number, None) for number in range(10)]
    real = query_splits(stage(rows), split(stage(rows)))
    staged = stage(rows, weak=frozenset(range(0, 20, 2)))
    resolved = split(staged)
    expected = {name: found for name, found in real.items() if found != "test"}
    assert query_splits(staged, resolved) == expected
    assert resolved.dropped[f"held out: query, {WEAK_TEST}"] == len(real) - len(expected) > 0
    assert set(SPLITS) - {"test"} == set(expected.values())
