"""Queries of a kind are held back from training, and those of the test split measure what is
kept.
"""

import pyarrow as pa
import pytest

from medembed.data.config import HoldBackConfig, SplitConfig
from medembed.data.grouping import HELD, WEAK_TEST
from medembed.data.judgments import Staged
from medembed.errors import DataError
from medembed.schema import HELD_BACK
from tests.data.test_splits import query_splits, split, stage

# Each query asks for a document of its own.
ROWS = [(number, number, None) for number in range(0, 240, 2)]
CONFIG = SplitConfig(dev=0.2, test=0.5)


def staged(tags: dict[int, list[str]], french: frozenset[int] = frozenset()) -> Staged:
    """Staged rows with tags by the number of the query."""
    rows = stage(ROWS)
    numbers = [i for i, _, _ in ROWS]
    own = pa.array([tags.get(i, []) for i in numbers], pa.list_(pa.string()))
    languages = pa.array(["fr" if i in french else "en" for i in numbers])
    place = rows.queries.column_names.index("tags")
    queries = rows.queries.set_column(place, "tags", own).append_column("language", languages)
    return Staged(rows.documents, queries, rows.judgments)


def hold_back(**kinds: str) -> SplitConfig:
    return CONFIG.model_copy(update={"hold_back": HoldBackConfig(**kinds)})


LAY = {i: ["lay"] for i in range(0, 240, 4)}


def test_queries_with_the_tag_measure_where_they_would_test_and_are_held_out_elsewhere():
    rows = staged(LAY)
    before, resolved = query_splits(rows, split(rows, CONFIG)), split(rows, hold_back(tag="lay"))
    lay = {f"q{i:02}" for i in LAY}
    expected = {name: of for name, of in before.items() if name not in lay}
    expected |= {name: HELD_BACK for name, of in before.items() if name in lay and of == "test"}
    assert query_splits(rows, resolved) == expected
    unused = {name for name in lay if before[name] != "test"}
    assert {(row["query_id"], row["reason"]) for row in resolved.held_out.to_pylist()} == {
        (q, HELD) for q in unused
    }
    assert resolved.dropped[f"held out: query, {HELD}"] == len(unused)
    assert resolved.splits[HELD_BACK] == len(lay) - len(unused) >= 10


def test_tag_and_language_may_both_be_held_back():
    french = frozenset(range(2, 240, 8))
    rows = staged(LAY, french)
    splits = query_splits(rows, split(rows, hold_back(tag="lay", language="fr")))
    back = {name for name, of in splits.items() if of == HELD_BACK}
    kinds = {f"q{i:02}" for i in french | LAY.keys()}
    assert back <= kinds
    assert not {name for name, of in splits.items() if of != HELD_BACK} & kinds


def test_one_row_with_the_tag_holds_a_query_back_that_others_ask_too():
    rows = staged(LAY)
    again = rows.queries.set_column(
        rows.queries.column_names.index("tags"),
        "tags",
        pa.array([["expert"]] * len(ROWS), pa.list_(pa.string())),
    )
    twice = Staged(rows.documents, pa.concat_tables([rows.queries, again]), rows.judgments)
    one, both = split(rows, hold_back(tag="lay")), split(twice, hold_back(tag="lay"))
    assert query_splits(twice, both) == query_splits(rows, one)


def test_titles_measure_if_they_are_held_back_and_never_else():
    titles = {i: ["weak"] for i in range(0, 240, 4)}
    rows = staged(titles, frozenset(range(0, 240, 4)) | frozenset(range(2, 240, 8)))
    as_titles = split(rows, hold_back(tag="weak"))
    as_french = split(rows, hold_back(language="fr"))
    weak = {f"q{i:02}" for i in titles}
    assert {name for name, of in query_splits(rows, as_titles).items() if of == HELD_BACK} <= weak
    assert as_titles.dropped[f"held out: query, {WEAK_TEST}"] == 0
    assert not set(query_splits(rows, as_french)) & weak
    assert as_french.dropped[f"held out: query, {WEAK_TEST}"] > 0


@pytest.mark.parametrize(
    ("kinds", "tags", "message"),
    [
        ({"tag": "lai"}, LAY, r"hold_back\.tag: no query has the tag 'lai'; there are lay \(60\)"),
        ({"tag": "lay"}, {}, "no query has the tag 'lay'; there is none; source.columns.tags name"),
        ({"language": "fr"}, {}, r"no query has the language 'fr'; there are en \(120\)\."),
        ({"language": "en"}, {}, "hold_back.language=en: no query is left in the train split, as"),
        ({"tag": "lay"}, {i: ["lay"] for i in range(0, 40, 4)}, r"lay: \d queries .* expected 10"),
    ],
)
def test_what_cannot_be_held_back_is_refused_in_one_line(
    kinds: dict[str, str], tags: dict[int, list[str]], message: str
):
    with pytest.raises(DataError, match=message) as caught:
        split(staged(tags), hold_back(**kinds))
    assert "\n" not in str(caught.value)


def test_a_kind_that_is_all_of_the_test_split_leaves_nothing_to_measure_the_gain_on():
    rows = staged({})
    tested = [
        i
        for i, name in zip(
            range(0, 240, 2), query_splits(rows, split(rows, CONFIG)).values(), strict=True
        )
        if name == "test"
    ]
    rows = staged({i: ["lay"] for i in tested})
    with pytest.raises(
        DataError, match=f"no query is left in the test split, as all {len(tested)} of it"
    ):
        split(rows, hold_back(tag="lay"))
