"""What one row of a source says, by value."""

from typing import Any

import pytest

from medembed.data.config import SourceConfig
from medembed.data.formats.beir import beir_mapping
from medembed.data.mapping import find_mapping
from medembed.data.parse import to_record
from medembed.data.reading import ColumnsConfig
from medembed.data.rows import Document, Judgment, Qrel, Query, Record
from medembed.schema import own_document


def read(row: dict[str, Any], split: str | None = None, **settings: Any) -> Record:
    """The record of a row whose columns are those of its source."""
    source = SourceConfig(path="p", **settings)
    return to_record(row, find_mapping(list(row), source), source, split)


def fault(row: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(row, **settings)
    return str(caught.value)


def test_a_pair_is_a_query_a_document_and_their_judgment():
    assert read({"question": "q", "answer": "d"}) == Record(
        (Document("d"),), (Query("q"),), (Judgment(0, 0),)
    )


def test_a_pair_keeps_its_ids_group_language_split_and_tags():
    row = {"question": "q", "answer": "d", "query_id": 7, "document_id": "d7", "patient": 12}
    row |= {"lang": "fr", "split": "validation", "kind": ["lay", 3, None, " "], "level": "easy"}
    columns = ColumnsConfig(group="patient", tags=("kind", "level", "absent"))
    assert read(row, columns=columns) == Record(
        (Document("d", "d7", "fr", group="12"),),
        (Query("q", "7", "fr", ("lay", "3", "easy"), "12", "dev"),),
        (Judgment(0, 0),),
    )


def test_several_positives_and_negatives_are_documents_in_order_without_the_rows_id():
    row = {"query": "q", "pos": ["a", "b"], "neg": ["c", None, "d"], "document_id": "x"}
    assert read(row) == Record(
        tuple(Document(text) for text in "abcd"),
        (Query("q"),),
        (Judgment(0, 0, 1.0), Judgment(0, 1, 1.0), Judgment(0, 2, 0.0), Judgment(0, 3, 0.0)),
    )


def test_parallel_texts_are_documents_and_queries_for_each_other_under_one_id_each():
    row = {"code": "A15", "français": "Tuberculose", "EN": "Tuberculosis", "chapter": "I"}
    ids = ("A15#text-français", "A15#text-EN")
    texts = (("Tuberculose", "fr", "français"), ("Tuberculosis", "en", "EN"))
    documents = []
    queries = []
    for name, (text, language, column) in zip(ids, texts, strict=True):
        documents.append(Document(text, name, language, column=column))
        queries.append(Query(text, name, language, ("I",), column=column))
    columns = ColumnsConfig(document_id="code", tags="chapter")
    both = (Judgment(0, 1), Judgment(1, 0))
    assert read(row, columns=columns) == Record(tuple(documents), tuple(queries), both)
    assert own_document(ids[0]) == documents[0].document_id


def test_parallel_columns_may_have_any_names_and_the_same_words_do_not_answer_each_other():
    row = {"libellé": "Salmonella", "label": "salmonella.", "third": "Salmonelle"}
    columns = ColumnsConfig(parallel=("libellé", "label", "third"))
    record = read(row, columns=columns)
    assert [query.language for query in record.queries] == [None] * 3
    asked = {(judgment.query, judgment.document) for judgment in record.judgments}
    assert asked == {(0, 2), (2, 0), (1, 2), (2, 1)}
    name, _, column = str(record.documents[0].document_id).partition("#text-")
    assert (len(name), column) == (16, "libellé")


def test_negatives_of_several_columns_are_taken_where_there_are_some():
    row = {"anchor": "q", "positive": "p", "negative_1": "a", "negative_2": "", "negative_3": "b"}
    assert read(row) == Record(
        (Document("p"), Document("a"), Document("b")),
        (Query("q"),),
        (Judgment(0, 0, 1.0), Judgment(0, 1, 0.0), Judgment(0, 2, 0.0)),
    )


def test_answers_are_found_in_a_nested_field_as_in_squad():
    row = {"question": "q", "context": "c", "answers": {"text": ["a", "b"], "answer_start": [1, 2]}}
    columns = ColumnsConfig(document="answers.text")
    assert [document.text for document in read(row, columns=columns).documents] == ["a", "b"]


TEVATRON = {
    "query_id": "q1",
    "query": "q",
    "answers": ["x"],
    "positive_passages": [
        {"docid": "d1", "title": "T", "text": "one"},
        {"docid": 2, "title": "", "text": "two"},
    ],
    "negative_passages": [
        {"docid": "d3", "title": "text", "text": "three"},
        {"docid": "d4", "text": "four"},
    ],
}
IDS = ("d1", "2", "d3", "d4")
FOUR = tuple(map(Document, ("T one", "two", "text three", "four"), IDS))
JUDGED = (Judgment(0, 0, 1.0), Judgment(0, 1, 1.0), Judgment(0, 2, 0.0), Judgment(0, 3, 0.0))


def test_tevatrons_passages_keep_their_ids_and_titles():
    assert read(TEVATRON) == Record(FOUR, (Query("q", "q1"),), JUDGED)


def test_objects_of_a_list_are_read_by_path_with_their_ids():
    """Ids are found by the names in use, or by the field that is named, in the negatives too."""
    columns = ColumnsConfig(document="positive_passages.text", negative="negative_passages.text")
    expected = tuple(map(Document, ("one", "two", "three", "four"), IDS))
    assert read(TEVATRON, columns=columns).documents == expected
    good = [{"key": 1, "body": "one"}, {"key": 2, "body": "two"}]
    row = {"ask": "q", "good": good, "bad": [{"key": 3, "body": "no"}]}
    columns = ColumnsConfig(query="ask", document="good.body", negative="bad.body")
    unnamed = tuple(map(Document, ("one", "two", "no")))
    assert read(row, columns=columns).documents == unnamed
    columns = columns.model_copy(update={"document_id": ("good.key",)})
    named = tuple(map(Document, ("one", "two", "no"), "123"))
    assert read(row, columns=columns).documents == named


def test_an_object_without_a_text_is_an_empty_document_and_never_takes_anothers_id():
    row = TEVATRON | {
        "positive_passages": [{"docid": "d1"}, None, {"text": "two"}, {"docid": "d3", "text": None}]
    }
    assert read(row).documents[:3] == (Document("", "d1"), Document("two"), Document("", "d3"))
    assert read(row | {"positive_passages": []}).documents[0] == Document("")


def test_objects_beside_texts_in_a_list_are_at_fault():
    row = TEVATRON | {"positive_passages": ["SECRET", {"docid": "d1", "text": "SECRET"}]}
    assert (
        fault(row) == "'positive_passages' is a list of 2 items, 1 of them objects; expected all."
    )
    row = TEVATRON | {"positive_passages": [{"docid": ["SECRET"], "text": "SECRET"}]}
    assert fault(row).endswith("is a list; expected a string or an integer.")


def test_fields_are_joined_in_the_order_named_and_blank_or_absent_ones_left_out():
    columns = ColumnsConfig(document=("title", "abstract", "notes", "absent"))
    row = {"question": "q", "abstract": "A.", "title": "T", "notes": " "}
    assert read(row, columns=columns, join="\n").documents == (Document("T\nA."),)
    assert read({"question": "q", "abstract": None, "title": ""}, columns=columns).documents == (
        Document(""),
    )


@pytest.mark.parametrize(
    ("score", "settings", "grade", "similarity"),
    [
        (0.9, {}, 0.9, 0.9),
        ("0.5", {}, 0.5, 0.5),
        (0.49, {}, 0.0, 0.49),
        (0.49, {"positive_from": 0.4}, 0.49, 0.49),
        (4, {"score_range": (0, 5)}, 0.8, 0.8),
        (2, {"score_range": (0, 5)}, 0.0, 0.4),
        (0, {"score_range": (-1, 1)}, 0.5, 0.5),
        (1, {"score_range": (1, 5)}, 0.0, 0.0),
        (5, {"score_range": (1, 5)}, 1.0, 1.0),
    ],
)
def test_a_scored_pair_is_positive_from_its_threshold_and_keeps_its_similarity(
    score: Any, settings: dict[str, Any], grade: float, similarity: float
):
    (judgment,) = read({"sentence1": "q", "sentence2": "d", "score": score}, **settings).judgments
    assert (judgment.score, judgment.similarity) == pytest.approx((grade, similarity))


@pytest.mark.parametrize("score", [1.01, -0.01, "5"])
def test_a_score_outside_its_range_is_at_fault(score: Any):
    row = {"sentence1": "q", "sentence2": "d", "score": score}
    assert fault(row) == (
        f"score {score} is outside 0 to 1; name the scale, e.g. source.score_range=[0,5], or set "
        "source.shape=pairs if it is no similarity."
    )


@pytest.mark.parametrize("score", ["4,5,6", "", None, [1], True, "nan", float("inf"), 10**400])
def test_a_score_that_is_no_finite_number_is_at_fault(score: Any):
    assert fault({"sentence1": "q", "sentence2": "d", "score": score}).startswith(
        "'score' is not a "
    )


def test_a_text_with_its_class_is_a_document_alone():
    row = {"id": 3, "text": "t", "label": 0, "split": "test", "lang": "en", "group_id": "g"}
    assert read(row) == Record((Document("t", "3", "en", "0", "g", "test"),))
    assert fault({"text": "t", "label": ""}) == "missing or empty 'label'; a text needs its class."
    assert fault({"text": ["t", "u"], "label": "x"}) == "'text' is a list of 2; a row has one text."


def test_languages_that_are_declared_for_a_side_come_before_those_of_the_row():
    record = read(
        {"question": "q", "answer": "d", "language": "de"},
        query_language="fr",
        document_language="en",
    )
    assert (record.queries[0].language, record.documents[0].language) == ("fr", "en")


SPLITS = {
    "train": "train training",
    "dev": "dev validation valid val Validation eval",
    "test": "test testing TEST",
}
PAIR = {"question": "q", "answer": "d"}


@pytest.mark.parametrize("ours", SPLITS)
def test_splits_of_other_tools_have_other_names(ours: str):
    for theirs in SPLITS[ours].split():
        assert read(PAIR | {"split": theirs}).queries[0].split == ours
        assert read(PAIR, split=theirs).queries[0].split == ours


def test_a_rows_own_split_comes_before_that_of_its_file_and_may_be_absent():
    assert read(PAIR | {"split": "dev"}, split="test").queries[0].split == "dev"
    assert read(PAIR | {"split": ""}, split="test").queries[0].split == "test"
    assert read(PAIR | {"split": None}).queries[0].split is None


def test_the_three_files_of_beir():
    source = SourceConfig(
        path="p", columns=ColumnsConfig(tags="metadata.kind"), query_language="en"
    )
    corpus, queries, qrels = (beir_mapping(kind, source) for kind in ("corpus", "queries", "qrels"))
    assert to_record(
        {"_id": 4, "title": "T", "text": "D", "metadata": {}}, corpus, source
    ) == Record((Document("T D", "4"),))
    assert to_record(
        {"_id": "q1", "text": "Q", "metadata": {"kind": "lay"}}, queries, source
    ) == Record(queries=(Query("Q", "q1", "en", ("lay",)),))
    for score, grade in (("2", 2.0), ("0", 0.0), ("-1", 0.0)):
        row = {"query-id": "q1", "corpus-id": "4", "score": score}
        assert to_record(row, qrels, source, "validation") == Record(
            qrels=(Qrel("q1", "4", grade, "dev"),)
        )
