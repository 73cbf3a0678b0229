"""Compare lists of an earlier run, mended for what changed, with a look at the whole corpus."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import NO_DELTA
from medembed.mining.nearest import (
    EarlierList,
    Nearest,
    Scope,
    find_nearest,
    join,
    places_of,
    trim_list,
)
from medembed.records import Records
from medembed.schema import document_of
from tests.tables import write_corpus, write_table

Corpus = dict[str, float]  # row id -> score with the one query


def look(corpus: Corpus, depth: int) -> Nearest:
    """Return the nearest documents by brute force, each by its best row; ties by document, row."""
    best_of: dict[str, tuple[float, str, str]] = {}
    for score, document, row in sorted(
        (-score, document_of(row), row) for row, score in corpus.items()
    ):
        best_of.setdefault(document, (score, document, row))
    entries = sorted(best_of.values())
    best = entries[:depth]
    return Nearest(
        [document for _, document, _ in best],
        [row for _, _, row in best],
        np.array([-score for score, _, _ in best]),
        len(entries) <= depth,
    )


names = st.sampled_from(
    [f"d{number}" for number in range(9)] + [f"c{n}#chunk-{part}" for n in (0, 1) for part in "123"]
)
corpora = st.dictionaries(names, st.sampled_from([-0.5, 0.0, 0.25, 0.5]), max_size=15)


@given(corpora, st.sets(names), corpora, st.integers(1, 12), st.integers(1, 12))
def test_a_mended_list_is_what_the_whole_corpus_gives_as_far_as_it_goes(
    before: Corpus, deleted: set[str], added: Corpus, old_depth: int, depth: int
):
    old = look(before, old_depth)
    gone = frozenset(deleted | added.keys()) & before.keys()
    now = {row: score for row, score in before.items() if row not in gone} | added
    known = trim_list(old, frozenset(before.keys() - gone))
    if known is None:
        assert any("#" in row for row in gone)
        return
    mended, whole = join(known, look(added, depth), depth), look(now, depth)
    count = len(mended.rows)
    assert count >= min(depth, len(known.nearest.rows))
    assert (list(mended.rows), list(mended.documents)) == (
        list(whole.rows[:count]),
        list(whole.documents[:count]),
    )
    assert mended.scores.tolist() == whole.scores[:count].tolist()
    if mended.is_whole:
        assert whole.is_whole
        assert count == len(whole.rows)


def test_a_list_that_lost_nothing_is_as_long_as_before():
    known = trim_list(look({"a": 0.5, "b": 0.25, "c": 0.0}, 2), frozenset({"a", "b"}))
    assert known is not None
    assert known.nearest.rows == ["a", "b"]
    assert join(known, look({}, 4), 4).rows == ["a", "b"]
    assert join(known, look({"d": 0.3, "e": 0.1}, 4), 4).rows == ["a", "d", "b"], (
        "e may stand behind what was not seen"
    )


def test_lists_have_places_of_a_few_sizes_so_that_one_query_makes_not_all_of_them_long():
    assert [places_of(known) for known in (0, 8, 9, 56, 57, 1000)] == [16, 16, 64, 64, 256, 1024]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_query_with_many_positives_alone_gets_a_long_list(tmp_path: Path):
    vectors = np.random.default_rng(0).standard_normal((90, 8), dtype=np.float32)
    dataset = write_corpus(
        tmp_path / "data", [{"document_id": f"d{number:02d}"} for number in range(90)], 40
    )
    table = write_table(tmp_path / "t.lance", dataset, vectors)
    scope = Scope(table, 8, EncodingConfig(workers=1), Records(str(tmp_path / "run")), tmp_path)
    lists = find_nearest(vectors[:3], [6, 25, 7], 5, scope, {}, NO_DELTA)
    assert [len(nearest.rows) for nearest in lists] == [21, 69, 21]
    assert [nearest.rows[0] for nearest in lists] == ["d00", "d01", "d02"]
    assert not any(nearest.is_whole for nearest in lists)
    known = {
        line: EarlierList(Nearest(["x"] * 10, ["x"] * 10, np.ones(10), False), (1.0, "x"))
        for line in (0, 1)
    }
    mended = find_nearest(vectors[:3], [6, 25, 7], 5, scope, known, NO_DELTA)
    assert [nearest.rows[0] for nearest in mended] == ["x", "d01", "d02"], (
        "a list that is too short is made anew"
    )
    (whole,) = find_nearest(vectors[:1], [90], 5, scope, {}, NO_DELTA)
    assert (len(whole.rows), whole.is_whole) == (90, True)
