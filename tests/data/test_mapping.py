"""The columns that tools write, and what a user would expect them to mean."""

from typing import Any

import pytest

from medembed.data.config import ColumnsConfig, SourceConfig
from medembed.data.mapping import beir_mapping, find_mapping
from medembed.errors import DataError

# columns -> (shape, {role: fields}, what nothing uses)
FOUND: dict[str, tuple[str, str, dict[str, tuple[str, ...]], str]] = {
    "sentence-transformers pair": (
        "anchor positive",
        "pairs",
        {"query": ("anchor",), "document": ("positive",)},
        "",
    ),
    "sentence-transformers triplet": (
        "anchor positive negative",
        "triplets",
        {"query": ("anchor",), "document": ("positive",), "negative": ("negative",)},
        "",
    ),
    "sentence-transformers mined negatives, in order of number": (
        "anchor positive negative_1 negative_2 negative_10",
        "triplets",
        {
            "query": ("anchor",),
            "document": ("positive",),
            "negative": ("negative_1", "negative_2", "negative_10"),
        },
        "",
    ),
    "a first negative without a number": (
        "query positive negative negative_2",
        "triplets",
        {"query": ("query",), "document": ("positive",), "negative": ("negative", "negative_2")},
        "",
    ),
    "sentence-transformers STS": (
        "sentence1 sentence2 score",
        "scores",
        {"query": ("sentence1",), "document": ("sentence2",), "score": ("score",)},
        "",
    ),
    "GLUE and pair classes": (
        "sentence1 sentence2 label idx",
        "scores",
        {"query": ("sentence1",), "document": ("sentence2",), "score": ("label",)},
        "idx",
    ),
    "two sentences alone": (
        "sentence1 sentence2",
        "pairs",
        {"query": ("sentence1",), "document": ("sentence2",)},
        "",
    ),
    "SICK": (
        "sentence_A sentence_B score label",
        "scores",
        {"query": ("sentence_A",), "document": ("sentence_B",), "score": ("score",)},
        "label",
    ),
    "sentence-transformers without names": (
        "sentence_0 sentence_1",
        "pairs",
        {"query": ("sentence_0",), "document": ("sentence_1",)},
        "",
    ),
    "sentence-transformers triplet without names": (
        "sentence_0 sentence_1 sentence_2",
        "triplets",
        {"query": ("sentence_0",), "document": ("sentence_1",), "negative": ("sentence_2",)},
        "",
    ),
    "text classification": (
        "text label",
        "classes",
        {"document": ("text",), "label": ("label",)},
        "",
    ),
    "text classification with both forms of the label": (
        "text label label_text id",
        "classes",
        {"document": ("text",), "label": ("label",), "document_id": ("id",)},
        "label_text",
    ),
    "GooAQ": ("question answer", "pairs", {"query": ("question",), "document": ("answer",)}, ""),
    "query and answer": (
        "query answer",
        "pairs",
        {"query": ("query",), "document": ("answer",)},
        "",
    ),
    "capital letters, as in MedQuAD": (
        "qtype Question Answer",
        "pairs",
        {"query": ("Question",), "document": ("Answer",)},
        "qtype",
    ),
    "names that differ in case alone: the first": (
        "Question question answer",
        "pairs",
        {"query": ("Question",), "document": ("answer",)},
        "question",
    ),
    "SQuAD: the context answers the question": (
        "id title context question answers",
        "pairs",
        {"query": ("question",), "document": ("context",)},
        "id title answers",
    ),
    "question, context and answer: the answer answers": (
        "question context answer",
        "pairs",
        {"query": ("question",), "document": ("answer",)},
        "context",
    ),
    "FlagEmbedding": (
        "query pos neg",
        "triplets",
        {"query": ("query",), "document": ("pos",), "negative": ("neg",)},
        "",
    ),
    "FlagEmbedding with teacher scores and a prompt": (
        "query pos neg pos_scores neg_scores prompt type",
        "triplets",
        {"query": ("query",), "document": ("pos",), "negative": ("neg",)},
        "pos_scores neg_scores prompt type",
    ),
    "query, document and score": (
        "query document score",
        "scores",
        {"query": ("query",), "document": ("document",), "score": ("score",)},
        "",
    ),
    "MS MARCO triplets with ids": (
        "qid query docid passage hard_negatives",
        "triplets",
        {
            "query": ("query",),
            "document": ("passage",),
            "negative": ("hard_negatives",),
            "query_id": ("qid",),
            "document_id": ("docid",),
        },
        "",
    ),
    "a query and the text that answers it": (
        "query text",
        "pairs",
        {"query": ("query",), "document": ("text",)},
        "",
    ),
    "a question about an article": (
        "question title abstract",
        "pairs",
        {"query": ("question",), "document": ("abstract",)},
        "title",
    ),
    "prompt and completion": (
        "prompt completion",
        "pairs",
        {"query": ("prompt",), "document": ("completion",)},
        "",
    ),
    "articles": ("title text", "documents", {"title": ("title",), "document": ("text",)}, ""),
    "abstracts": (
        "pmid title abstract",
        "documents",
        {"title": ("title",), "document": ("abstract",)},
        "pmid",
    ),
    "a glossary": (
        "term definition synonyms",
        "documents",
        {"title": ("term",), "document": ("definition",), "synonyms": ("synonyms",)},
        "",
    ),
    "a BEIR corpus alone": (
        "_id title text metadata",
        "documents",
        {"title": ("title",), "document": ("text",), "document_id": ("_id",)},
        "metadata",
    ),
    "documents under that name": (
        "doc_id document",
        "documents",
        {"document": ("document",), "document_id": ("doc_id",)},
        "",
    ),
    "keys, splits and languages": (
        "question answer group_id split lang query_id document_id",
        "pairs",
        {
            "query": ("question",),
            "document": ("answer",),
            "group": ("group_id",),
            "split": ("split",),
            "language": ("lang",),
            "query_id": ("query_id",),
            "document_id": ("document_id",),
        },
        "",
    ),
    "Tevatron": (
        "query_id query positive_passages negative_passages answers",
        "triplets",
        {
            "query": ("query",),
            "document": ("positive_passages.title", "positive_passages.text"),
            "negative": ("negative_passages.title", "negative_passages.text"),
            "query_id": ("query_id",),
            "document_id": ("positive_passages.docid",),
        },
        "answers",
    ),
    "OpenAI chats": (
        "messages group_id split tools",
        "chat",
        {"group": ("group_id",), "split": ("split",)},
        "tools",
    ),
    "the id of a pair is none of its document": (
        "id question answer",
        "pairs",
        {"query": ("question",), "document": ("answer",)},
        "id",
    ),
}


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_the_columns_of_other_tools_are_understood(
    case: tuple[str, str, dict[str, tuple[str, ...]], str],
):
    names, shape, columns, unused = case
    mapping = find_mapping(names.split(), SourceConfig(path="p"))
    assert mapping.shape == shape
    assert {role: paths for role, paths in mapping.columns if paths} == columns
    assert mapping.unused == tuple(unused.split())


# columns, what the user declares -> (shape, the roles that matter)
DECLARED: dict[str, tuple[str, dict[str, Any], str, dict[str, tuple[str, ...]]]] = {
    "the answers of SQuAD": (
        "id question context answers",
        {"columns": {"document": "answers.text"}},
        "pairs",
        {"query": ("question",), "document": ("answers.text",)},
    ),
    "other names": (
        "query document ask reply",
        {"columns": {"query": "ask", "document": "reply"}},
        "pairs",
        {"query": ("ask",), "document": ("reply",)},
    ),
    "joined fields": (
        "question title abstract",
        {"columns": {"document": ["title", "abstract"]}},
        "pairs",
        {"query": ("question",), "document": ("title", "abstract")},
    ),
    "a field whose name has a dot": (
        "q.text document",
        {"columns": {"query": "q.text"}},
        "pairs",
        {"query": ("q.text",), "document": ("document",)},
    ),
    "a document alone": (
        "id note",
        {"columns": {"document": "note"}},
        "documents",
        {"document": ("note",), "document_id": ("id",)},
    ),
    "classes by another name": (
        "note specialty",
        {"columns": {"document": "note", "label": "specialty"}},
        "classes",
        {"document": ("note",), "label": ("specialty",)},
    ),
    "a score by another name": (
        "question answer rating",
        {"columns": {"score": "rating"}},
        "scores",
        {"query": ("question",), "document": ("answer",), "score": ("rating",)},
    ),
    "a label that scores": (
        "query passage label",
        {"columns": {"score": "label"}},
        "scores",
        {"query": ("query",), "document": ("passage",), "score": ("label",)},
    ),
    "a label that does not": (
        "query passage label",
        {"shape": "pairs"},
        "pairs",
        {"query": ("query",), "document": ("passage",)},
    ),
    "a label that tags": (
        "query passage label",
        {"columns": {"tags": "label"}},
        "pairs",
        {"query": ("query",), "document": ("passage",), "tags": ("label",)},
    ),
    "a score that is no similarity": (
        "question answer score",
        {"shape": "pairs"},
        "pairs",
        {"query": ("question",), "document": ("answer",)},
    ),
    "triplets read as pairs": (
        "anchor positive negative",
        {"shape": "pairs"},
        "pairs",
        {"query": ("anchor",), "document": ("positive",)},
    ),
    "scores under a class's name": (
        "text1 text2 category",
        {"shape": "scores", "columns": {"score": "category"}},
        "scores",
        {"query": ("text1",), "document": ("text2",), "score": ("category",)},
    ),
    "questions read as documents": (
        "question answer",
        {"shape": "documents", "columns": {"document": "answer"}},
        "documents",
        {"document": ("answer",)},
    ),
}


@pytest.mark.parametrize("case", DECLARED.values(), ids=DECLARED)
def test_what_is_declared_wins(case: tuple[str, dict[str, Any], str, dict[str, tuple[str, ...]]]):
    names, settings, shape, columns = case
    mapping = find_mapping(names.split(), SourceConfig(path="p", **settings))
    assert mapping.shape == shape
    assert {role: paths for role, paths in mapping.columns if paths} == columns


# columns, what the user declares -> the error
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing known": (
        "patient note",
        {},
        "p: columns patient, note fit no shape; expected query and document, triplets, sentence "
        "pairs with a score, text and label, or title and text. Name yours, e.g. "
        "source.columns.query=your_column.",
    ),
    "a query alone": ("question", {}, "p: columns question fit no shape; "),
    "triplets without a negative": (
        "anchor positive",
        {"shape": "triplets"},
        (
            "p: columns anchor, positive lack the negative of triplets; name it, e.g. "
            "source.columns.negative=your_column."
        ),
    ),
    "scores without texts": (
        "score",
        {"shape": "scores"},
        "p: columns score lack the query and document of scores; name it, e.g. source.",
    ),
    "classes without a label": (
        "text",
        {"shape": "classes"},
        "p: columns text lack the label of classes; ",
    ),
    "a misspelt column": (
        "question answer",
        {"columns": {"query": "qestion"}},
        "p: source.columns.query names 'qestion'; found no such column, but question, answer.",
    ),
    "a misspelt group": (
        "question answer patient_id",
        {"columns": {"group": "patientid"}},
        (
            "p: source.columns.group names 'patientid'; found no such column, but question, "
            "answer, patient_id."
        ),
    ),
    "a path into a column that is not there": (
        "question answer",
        {"columns": {"document": "answers.text"}},
        "p: source.columns.document names 'answers.text'; found no such column",
    ),
    "a label that may judge the pair": (
        "query passage label",
        {},
        "p: 'label' beside query and document may judge the pair or be its class; set "
        "source.columns.score=label if it is a score, or source.shape=pairs if every row is a "
        "positive pair.",
    ),
    "the label that sentence-transformers leaves, a score or nothing": (
        "sentence_0 sentence_1 label",
        {},
        "p: 'label' beside query and document may judge the pair",
    ),
    "NLI, whose labels are no scores": (
        "premise hypothesis label",
        {},
        "p: 'label' beside query and document may judge the pair",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_columns_that_cannot_be_understood_are_refused_with_what_to_do(
    case: tuple[str, dict[str, Any], str],
):
    names, settings, expected = case
    with pytest.raises(DataError) as caught:
        find_mapping(names.split(), SourceConfig(path="p", **settings))
    assert str(caught.value).startswith(expected)


def test_optional_columns_may_be_absent_from_the_rows_looked_at():
    columns = ColumnsConfig(title="heading", synonyms="names", negative="bad", tags="kind")
    mapping = find_mapping(["text"], SourceConfig(path="p", columns=columns))
    assert (mapping.shape, mapping.columns.title, mapping.columns.tags) == (
        "documents",
        ("heading",),
        ("kind",),
    )


def test_a_mapping_is_described_on_one_line():
    source = SourceConfig(path="p", columns=ColumnsConfig(document=("title", "abstract")))
    mapping = find_mapping(["question", "title", "abstract", "pmid"], source)
    assert (
        mapping.describe()
        == "read as pairs: query = question, document = title + abstract; not used: pmid"
    )


def test_beir_has_columns_of_its_own_beside_which_language_group_and_tags_can_be_declared():
    source = SourceConfig(
        path="p", columns=ColumnsConfig(language="lang", group="patient", tags="kind")
    )
    corpus, queries, qrels = (
        beir_mapping(kind, source).columns for kind in ("corpus", "queries", "qrels")
    )
    assert (corpus.document, corpus.document_id, corpus.language, corpus.group) == (
        ("title", "text"),
        ("_id",),
        ("lang",),
        ("patient",),
    )
    assert (queries.query, queries.query_id, queries.language, queries.group, queries.tags) == (
        ("text",),
        ("_id",),
        ("lang",),
        ("patient",),
        ("kind",),
    )
    assert (qrels.query_id, qrels.document_id, qrels.score) == (
        ("query-id",),
        ("corpus-id",),
        ("score",),
    )
    declared = SourceConfig(path="p", columns=ColumnsConfig(document="text"))
    assert beir_mapping("corpus", declared).columns.document == ("text",)
