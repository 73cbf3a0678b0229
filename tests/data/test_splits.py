import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.data.config import SplitConfig
from medembed.data.rows import Document, Judgment, Query
from medembed.data.splits import HELD_OUT, assign_splits, check_leaks, split_of
from medembed.errors import DataError

CONFIG = SplitConfig(dev=0.3, test=0.3)
edges = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40)


def build(pairs: list[tuple[int, int]]) -> tuple[dict[str, Query], dict[str, Document], list[Judgment]]:
    """Query i asks "text i//2", so that some queries share a text; document j is "document j"."""
    queries = {f"q{i}": Query(f"q{i}", f"Text {i // 2}!", "en", "g") for i, _ in pairs}
    documents = {f"d{j}": Document(f"d{j}", f"document {j}", "en") for _, j in pairs}
    return queries, documents, [Judgment(f"q{i}", f"d{j}") for i, j in pairs]


@given(edges)
def test_no_query_text_and_no_positive_document_is_in_two_splits(pairs: list[tuple[int, int]]):
    queries, documents, judgments = build(pairs)
    check_leaks(queries, documents, judgments, assign_splits(queries, documents, judgments, CONFIG))


@settings(max_examples=200)
@given(edges, edges)
def test_growth_never_moves_a_query_from_one_split_to_another(old: list[tuple[int, int]], new: list[tuple[int, int]]):
    before = assign_splits(*build(old), CONFIG)
    after = assign_splits(*build(old + new), CONFIG)
    assert all(after[name] in (split, HELD_OUT) for name, split in before.items())


@given(st.randoms(use_true_random=False), edges)
def test_order_does_not_matter(random: object, pairs: list[tuple[int, int]]):
    shuffled = pairs[:]
    random.shuffle(shuffled)
    assert assign_splits(*build(pairs), CONFIG) == assign_splits(*build(shuffled), CONFIG)


def test_shares_are_met_and_normalised_texts_stay_together():
    splits = [split_of(f"document {number}", SplitConfig()) for number in range(20_000)]
    assert splits.count("test") == pytest.approx(2_000, rel=0.08)
    assert splits.count("dev") == pytest.approx(2_000, rel=0.08)
    assert split_of("Document, 5", SplitConfig()) == split_of("document 5", SplitConfig())


def test_a_leak_is_an_error_with_counts_and_ids_and_no_text():
    queries, documents, judgments = build([(0, 0), (2, 0)])
    with pytest.raises(
        DataError, match=r"1 texts stand in more than one split.*'q0' \(test\), 'q2' \(train\)"
    ) as caught:
        check_leaks(queries, documents, judgments, {"q0": "test", "q2": "train"})
    assert "document 0" not in str(caught.value)
