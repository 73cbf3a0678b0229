import pyarrow as pa
import pytest

from medembed.data.config import SplitConfig
from medembed.data.judgments import Staged
from medembed.data.memory import Memory
from medembed.data.read_pass import DOCUMENTS, JUDGMENTS, QUERIES
from medembed.data.resolve import Resolved, resolve
from medembed.errors import DataError
from medembed.schema import WEAK, content_hash
from medembed.spelling import spelling_key, words_key

TRAIN = SplitConfig(dev=0, test=0)


def text(name: str, content: str, **more: object) -> dict[str, object]:
    return {
        "id": name,
        "content": content_hash(content),
        "spelling": content_hash(spelling_key(content)),
        "words": content_hash(words_key(content)),
        "line": 1,
        "tags": [],
        **more,
    }


def judge(
    query: str, document: str, score: float = 1.0, similarity: float | None = None
) -> dict[str, object]:
    return {
        "query_id": query,
        "document_id": document,
        "score": score,
        "similarity": similarity,
        "line": 1,
    }


def stage(documents: list[dict], queries: list[dict], judgments: list[dict]) -> Staged:
    return Staged(
        pa.Table.from_pylist(documents, DOCUMENTS).drop_columns("text"),
        pa.Table.from_pylist(queries, QUERIES).drop_columns("text"),
        pa.Table.from_pylist(judgments, JUDGMENTS),
    )


def run(
    staged: Staged, *, is_listing: bool = False, memory: Memory | None = None, strict: bool = False
) -> Resolved:
    places = ("documents", "queries") if strict else None
    faults = (
        None
        if places is None
        else tuple(lambda row, kind=kind: f"{kind}:{row + 1}" for kind in places)
    )
    return resolve(staged, TRAIN, memory or Memory(), faults, is_listing=is_listing)


def kept(rows: pa.Table, lines: pa.Table) -> list[str]:
    return [
        name
        for name, keep in zip(rows["id"].to_pylist(), lines["keep"].to_pylist(), strict=True)
        if keep
    ]


def test_documents_that_say_the_same_become_one_and_their_judgments_follow():
    staged = stage(
        [
            text("b", "Same text"),
            text("c", "same text."),
            text("a", "Same text"),
            text("x", "other"),
        ],
        [text("q", "why")],
        [judge("q", "c")],
    )
    found = run(staged)
    assert kept(staged.documents, found.documents) == ["a", "x"]
    assert found.qrels.to_pylist() == [
        {"query_id": "q", "document_id": "a", "score": 1.0, "similarity": None}
    ]
    assert found.dropped == {
        "document text repeated under another id": 1,
        "document that differs from another in case or punctuation alone": 1,
    }


def test_the_id_that_an_earlier_data_set_had_stays():
    staged = stage([text("a", "same"), text("b", "same")], [text("q", "why")], [judge("q", "a")])
    found = run(staged, memory=Memory(document_ids=pa.array(["b"])))
    assert kept(staged.documents, found.documents) == ["b"]


def test_queries_that_say_the_same_become_one_with_all_positives_and_tags():
    staged = stage(
        [text("d1", "one"), text("d2", "two")],
        [
            text("q1", "What is it?", tags=["a", WEAK]),
            text("q2", "what is it", tags=["b"]),
            text("q3", "no", tags=["c"]),
        ],
        [judge("q1", "d1"), judge("q2", "d2"), judge("q3", "d1")],
    )
    found = run(staged)
    assert kept(staged.queries, found.queries) == ["q2", "q3"], (
        "a query that somebody asked, before a weak one"
    )
    assert found.queries["tags"].to_pylist()[1:] == [["a", "b"], ["c"]]
    assert {(row["query_id"], row["document_id"]) for row in found.qrels.to_pylist()} == {
        ("q2", "d1"),
        ("q2", "d2"),
        ("q3", "d1"),
    }


def test_groups_are_named_by_their_smallest_document():
    staged = stage(
        [text("d2", "two"), text("d1", "one"), text("d3", "three")],
        [text("q1", "a"), text("q2", "b"), text("q3", "c")],
        [judge("q1", "d2"), judge("q2", "d2"), judge("q2", "d1"), judge("q3", "d3")],
    )
    assert run(staged).queries["group_id"].to_pylist() == ["d1", "d1", "d3"]


def test_judgments_are_joined_once_each_at_their_highest_score_and_every_loss_is_counted():
    staged = stage(
        [text("d", "one"), text("n", "two")],
        [text("q", "a"), text("bare", "b"), text("negative", "c")],
        [
            judge("q", "d", 0.5),
            judge("q", "d", 2.0),
            judge("q", "n", 0.0),
            judge("q", "n", 1.0),
            judge("q", "none"),
            judge("nobody", "d"),
            judge("negative", "n", 0.0),
        ],
    )
    found = run(staged)
    assert [(row["document_id"], row["score"]) for row in found.qrels.to_pylist()] == [
        ("d", 2.0),
        ("n", 1.0),
    ]
    assert found.dropped == {
        "judgment repeated": 2,
        "judgment contradicted by a higher one": 1,
        "judgment of an absent row": 2,
        "query without a positive": 2,
    }


def test_a_scored_pair_stays_with_its_similarity_even_where_it_is_no_positive():
    staged = stage([text("d", "one")], [text("q", "a")], [judge("q", "d", 0.0, 0.25)])
    assert run(staged).qrels.to_pylist() == [
        {"query_id": "q", "document_id": "d", "score": 0.0, "similarity": 0.25}
    ]


def test_a_text_with_several_classes_is_left_out_and_counted():
    staged = stage(
        [
            text("a", "one", label="x"),
            text("b", "ONE", label="y"),
            text("c", "two", label="x"),
            text("c", "two", label="x"),
        ],
        [],
        [],
    )
    found = run(staged, is_listing=True)
    assert kept(staged.documents, found.documents) == ["c"]
    assert found.dropped["text with several classes"] == found.dropped["document repeated"] == 1


def test_a_source_without_a_usable_row_is_an_error_that_says_what_was_left_out():
    with pytest.raises(DataError, match="no usable row found"):
        run(stage([], [text("q", "a")], []))
