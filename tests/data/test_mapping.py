"""The columns that tools write, and what a user would expect them to mean."""

import pytest

from medembed.config import load_config
from medembed.data.config import SourceConfig
from medembed.data.formats.beir import beir_mapping
from medembed.data.mapping import find_mapping
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError

# Columns as sentence-transformers, GLUE, SICK, FlagEmbedding, MS MARCO, SQuAD, GooAQ, MedQuAD, BEIR,
# Tevatron and OpenAI have them.
FOUND = """
anchor positive -> read as pairs: query = anchor, document = positive
anchor positive negative -> read as triplets: query = anchor, document = positive, negative = negative
anchor positive negative_1 negative_2 negative_10 -> read as triplets: query = anchor, document = positive, negative = negative_1 + negative_2 + negative_10
query positive negative negative_2 -> read as triplets: query = query, document = positive, negative = negative + negative_2
sentence1 sentence2 score -> read as scores: query = sentence1, document = sentence2, score = score
sentence1 sentence2 label idx -> read as scores: query = sentence1, document = sentence2, score = label; not used: idx
sentence1 sentence2 -> read as pairs: query = sentence1, document = sentence2
sentence_A sentence_B score label -> read as scores: query = sentence_A, document = sentence_B, score = score; not used: label
sentence_0 sentence_1 -> read as pairs: query = sentence_0, document = sentence_1
sentence_0 sentence_1 sentence_2 -> read as triplets: query = sentence_0, document = sentence_1, negative = sentence_2
text label -> read as classes: document = text, label = label
text label label_text id -> read as classes: document = text, label = label, document_id = id; not used: label_text
question answer -> read as pairs: query = question, document = answer
query answer -> read as pairs: query = query, document = answer
qtype Question Answer -> read as pairs: query = Question, document = Answer; not used: qtype
Question question answer -> read as pairs: query = Question, document = answer; not used: question
id title context question answers -> read as pairs: query = question, document = context; not used: id, title, answers
question context answer -> read as pairs: query = question, document = answer; not used: context
query pos neg -> read as triplets: query = query, document = pos, negative = neg
query pos neg pos_scores neg_scores prompt type -> read as triplets: query = query, document = pos, negative = neg; not used: pos_scores, neg_scores, prompt, type
query document score -> read as scores: query = query, document = document, score = score
qid query docid passage hard_negatives -> read as triplets: query = query, document = passage, negative = hard_negatives, query_id = qid, document_id = docid
query text -> read as pairs: query = query, document = text
question title abstract -> read as pairs: query = question, document = abstract; not used: title
prompt completion -> read as pairs: query = prompt, document = completion
title text -> read as documents: document = text, title = title
pmid title abstract -> read as documents: document = abstract, title = title; not used: pmid
term definition synonyms -> read as documents: document = definition, title = term, synonyms = synonyms
_id title text metadata -> read as documents: document = text, title = title, document_id = _id; not used: metadata
doc_id document -> read as documents: document = document, document_id = doc_id
question answer group_id split lang query_id document_id -> read as pairs: query = question, document = answer, query_id = query_id, document_id = document_id, group = group_id, split = split, language = lang
query_id query positive_passages negative_passages answers -> read as triplets: query = query, document = positive_passages.title + positive_passages.text, negative = negative_passages.title + negative_passages.text, query_id = query_id, document_id = positive_passages.docid; not used: answers
messages group_id split tools -> read as chat: group = group_id, split = split; not used: tools
id question answer -> read as pairs: query = question, document = answer; not used: id
code fr en fr_short -> read as parallel: parallel = fr + en; not used: code, fr_short
id FR De it split -> read as parallel: parallel = FR + De + it, document_id = id, split = split
code Français anglais -> read as parallel: parallel = Français + anglais; not used: code
Phrase_1 phrase-2 label -> read as scores: query = Phrase_1, document = phrase-2, score = label
texte_1 texte_2 -> read as pairs: query = texte_1, document = texte_2
Identifiant question identifiant_document -> read as questions: query = question, query_id = Identifiant, document_id = identifiant_document
text fr en -> read as documents: document = text; not used: fr, en
"""


@pytest.mark.parametrize("case", FOUND.strip().splitlines())
def test_the_columns_of_other_tools_are_understood(case: str):
    names, expected = case.split(" -> ")
    assert find_mapping(names.split(), SourceConfig(path="p")).describe() == expected


DECLARED = """
id question context answers | columns.document=answers.text -> read as pairs: query = question, document = answers.text
query document ask reply | columns.query=ask columns.document=reply -> read as pairs: query = ask, document = reply
question title abstract | columns.document=[title,abstract] -> read as pairs: query = question, document = title + abstract
q.text document | columns.query=q.text -> read as pairs: query = q.text, document = document
id note | columns.document=note -> read as documents: document = note, document_id = id
note specialty | columns.document=note columns.label=specialty -> read as classes: document = note, label = specialty
question answer rating | columns.score=rating -> read as scores: query = question, document = answer, score = rating
query passage label | columns.score=label -> read as scores: query = query, document = passage, score = label
query passage label | shape=pairs -> read as pairs: query = query, document = passage
query passage label | columns.tags=label -> read as pairs: query = query, document = passage, tags = label
question answer score | shape=pairs -> read as pairs: query = question, document = answer
anchor positive negative | shape=pairs -> read as pairs: query = anchor, document = positive
text1 text2 category | shape=scores columns.score=category -> read as scores: query = text1, document = text2, score = category
question answer | shape=documents columns.document=answer -> read as documents: document = answer
"""


def declared(settings: str) -> SourceConfig:
    return load_config(SourceConfig, ["path=p", *settings.split()])


@pytest.mark.parametrize("case", DECLARED.strip().splitlines())
def test_what_is_declared_wins(case: str):
    given, expected = case.split(" -> ")
    names, settings = given.split(" | ")
    described = find_mapping(names.split(), declared(settings)).describe()
    assert described.partition(";")[0] == expected


JUDGES = "p: 'label' beside query and document may judge the pair or be its class; set source.columns.score=label if it is a score, or source.shape=pairs"
REFUSED = f"""
patient note | -> p: columns patient, note fit no shape; expected query and document, triplets, sentence pairs with a score, text and label, title and text, or fr and en. Name yours, e.g. source.columns.query=your_column.
question | -> p: columns question fit no shape;
anchor positive | shape=triplets -> p: columns anchor, positive lack the negative of triplets; name it, e.g. source.columns.negative=your_column.
score | shape=scores -> p: columns score lack the query and document of scores; name it, e.g. source.
text | shape=classes -> p: columns text lack the label of classes;
question answer | columns.query=qestion -> p: source.columns.query names 'qestion'; found no such column, but question, answer.
question answer patient_id | columns.group=patientid -> p: source.columns.group names 'patientid'; found no such column, but question, answer, patient_id.
question answer | columns.document=answers.text -> p: source.columns.document names 'answers.text'; found no such column
query passage label | -> {JUDGES}
sentence_0 sentence_1 label | -> {JUDGES}
premise hypothesis label | -> {JUDGES}
"""


@pytest.mark.parametrize("case", REFUSED.strip().splitlines())
def test_columns_that_cannot_be_understood_are_refused_with_what_to_do(case: str):
    given, expected = case.split("-> ")
    names, settings = given.split(" | ")
    with pytest.raises(DataError) as caught:
        find_mapping(names.split(), declared(settings))
    assert str(caught.value).startswith(expected)


def test_optional_columns_may_be_absent_from_the_rows_looked_at():
    columns = ColumnsConfig(title="heading", synonyms="names", negative="bad", tags="kind")
    mapping = find_mapping(["text"], SourceConfig(path="p", columns=columns))
    assert (mapping.shape, mapping.columns.title, mapping.columns.tags) == (
        "documents",
        ("heading",),
        ("kind",),
    )


def test_beir_has_columns_of_its_own_beside_which_language_group_and_tags_can_be_declared():
    columns = ColumnsConfig(language="lang", group="patient", tags="kind")
    source = SourceConfig(path="p", columns=columns)
    assert [beir_mapping(kind, source).describe() for kind in ("corpus", "queries", "qrels")] == [
        "read as corpus: document = title + text, document_id = _id, group = patient, language = lang",
        "read as queries: query = text, query_id = _id, group = patient, language = lang, tags = kind",
        "read as qrels: score = score, query_id = query-id, document_id = corpus-id",
    ]
    of_text = SourceConfig(path="p", columns=ColumnsConfig(document="text"))
    assert beir_mapping("corpus", of_text).columns.document == ("text",)
