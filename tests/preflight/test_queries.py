import pytest

from medembed.preflight.config import PreflightConfig
from medembed.preflight.queries import SMALLEST_SLICE, QuerySample, choose_queries, find_positives
from medembed.schema import WEAK, content_hash


def query(name: str, *tags: str, language: str = "en", group: str = "") -> dict[str, object]:
    return {
        "query_id": name,
        "text": f"text of {name}",
        "language": language,
        "tags": list(tags),
        "group_id": group or name,
    }


def choose(
    rows: list[dict[str, object]],
    qrels: dict[str, dict[str, float]],
    config: PreflightConfig | None = None,
    french: frozenset[str] = frozenset(),
) -> QuerySample:
    languages = {name: "fr" if name in french else "en" for name in find_positives(rows, qrels)}
    return choose_queries(rows, qrels, languages, config or PreflightConfig())


def slices(chosen: QuerySample) -> dict[str, list[str]]:
    return {entry.name: [chosen.ids[line] for line in entry.lines] for entry in chosen.slices}


def test_weak_queries_are_left_alone_where_there_are_others():
    rows = [query("a", WEAK), query("b"), query("c", "lay"), query("none")]
    qrels = {"a": {"d1": 1.0}, "b": {"d1": 1.0, "d2": 0.0}, "c": {"d3": 2.0}, "none": {"d4": 0.0}}
    chosen = choose(rows, qrels)
    assert sorted(chosen.ids) == ["b", "c"]
    assert chosen.positives[chosen.ids.index("b")] == {"d1": 1.0}
    assert not chosen.are_weak
    only_weak = choose(rows[:1], qrels)
    assert (only_weak.ids, only_weak.are_weak) == (("a",), True)
    nothing = choose(rows[3:], qrels)
    assert (nothing.ids, nothing.core, nothing.are_weak) == ((), 0, False)


def test_a_hash_chooses_queries_and_they_stop_where_positives_fill_half_of_the_documents():
    rows = [query(f"q{number}") for number in range(40)]
    qrels = {f"q{number}": {f"d{number}-{copy}": 1.0 for copy in range(4)} for number in range(40)}
    ordered = sorted(qrels, key=content_hash)
    assert list(choose(rows, qrels, PreflightConfig(sample_queries=7)).ids) == ordered[:7]
    few = choose(rows, qrels, PreflightConfig(sample_documents=41))
    assert list(few.ids) == ordered[:5], "5 x 4 documents are half of 41"
    many = {"q0": {f"d{number}": 1.0 for number in range(100)}}
    assert choose(rows, many, PreflightConfig(sample_documents=20)).ids == ("q0",), "one at least"


def test_a_language_of_a_few_percent_is_filled_up_beside_a_sample_that_stays_fair():
    rows = [
        query(f"q{number}", language="fr" if number % 20 == 0 else "en") for number in range(2000)
    ]
    qrels = {f"q{number}": {f"d{number}": 1.0} for number in range(2000)}
    chosen = choose(rows, qrels)
    ordered = sorted(qrels, key=content_hash)
    french = [name for name in ordered if int(name[1:]) % 20 == 0]
    assert list(chosen.ids[: chosen.core]) == ordered[:300]
    assert slices(chosen)["fr -> en"] == french[:SMALLEST_SLICE]
    assert len(chosen.ids) < 300 + SMALLEST_SLICE, (
        "those that the fair sample has are not taken again"
    )


def test_what_another_slice_added_does_not_count_in_a_slice():
    rows = [query(f"a{number}", "large", group=f"g{number // 3}") for number in range(120)]
    rows += [query(f"b{number}", "small") for number in range(40)]
    rows += [query(f"c{number}") for number in range(3000)]
    for row in rows[:120:3]:
        row["tags"] = ["large", "small"]
    qrels = {str(row["query_id"]): {f"d-{row['query_id']}": 1.0} for row in rows}
    found = slices(choose(rows, qrels))
    small = [str(row["query_id"]) for row in rows if "small" in row["tags"]]
    assert found["tag small"] == sorted(small, key=content_hash)[:SMALLEST_SLICE]
    both = set(found["tag large"]) & set(small)
    assert not both <= set(found["tag small"]), (
        "the larger slice needs more queries for as many groups"
    )


def test_a_slice_needs_groups_and_small_ones_are_named_with_their_queries():
    rows = [query(f"a{number}", "alone", group=f"g{number // 2}") for number in range(58)]
    rows += [query(f"b{number}", "patient") for number in range(9)]
    rows += [query(f"c{number}", "other") for number in range(4)]
    qrels = {str(row["query_id"]): {"d": 1.0} for row in rows}
    chosen = choose(rows, qrels)
    assert chosen.slices == (), "58 queries of 29 groups"
    assert chosen.few == {"tag alone": 58, "others": 13}, "a tag of nine may name a person"
    more = [*rows, query("a58", "alone", group="g29")]
    assert list(slices(choose(more, qrels | {"a58": {"d": 1.0}}))) == ["tag alone"]


def test_queries_with_answers_in_two_languages_are_a_slice_for_each():
    rows = [query(f"q{number}", language="fr") for number in range(40)]
    qrels = {f"q{number}": {f"fr{number}": 1.0, f"en{number}": 1.0} for number in range(40)}
    chosen = choose(rows, qrels, french=frozenset(f"fr{number}" for number in range(40)))
    assert [(entry.name, entry.document_language, len(entry.lines)) for entry in chosen.slices] == [
        ("fr -> en", "en", 40),
        ("fr -> fr", "fr", 40),
    ]


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        (lambda number: ["all"], []),
        (lambda number: ["x", "y"] if number % 2 else [], ["tag x"]),
        (lambda number: ["fr"] if number % 3 else [], ["tag fr"]),
    ],
    ids=["all alike", "two names for the same", "some"],
)
def test_no_slice_is_all_queries_or_another_slice(tags, names: list[str]):
    rows = [query(f"q{number}", *tags(number)) for number in range(120)]
    assert list(slices(choose(rows, {f"q{number}": {"d": 1.0} for number in range(120)}))) == names
