"""Documents alone: their titles and headings ask for them."""

from medembed.data.reading import ColumnsConfig
from medembed.data.rows import Document, Judgment, Query, Record
from medembed.schema import content_hash
from tests.data.test_shapes import fault, read


def test_titles_and_other_names_of_a_document_are_weak_queries():
    row = {
        "id": "d1",
        "term": "T",
        "definition": "D",
        "synonyms": ["S", "", " "],
        "split": "val",
        "group_id": "g",
    }
    assert read(row, document_language="en", query_language="fr") == Record(
        (Document("D", "d1", "en", group="g", split="dev"),),
        (Query("T", None, "fr", ("weak",), "g"), Query("S", None, "fr", ("weak",), "g")),
        (Judgment(0, 0), Judgment(1, 0)),
    )
    assert read({"text": "D"}) == Record((Document("D"),))


ARTICLE = "Preface.\n# Causes\nA virus.\n\n## Empty\n\n## Treatment ##\nRest.\n"


def test_sections_of_a_markdown_document_are_documents_which_their_headings_ask_for():
    record = read({"id": "d1", "title": "Flu", "text": ARTICLE}, by_section=True)
    assert [
        (document.document_id, document.text.strip(), document.group)
        for document in record.documents
    ] == [
        ("d1#section-0", "Preface.", "d1"),
        ("d1#section-1", "A virus.", "d1"),
        ("d1#section-2", "Rest.", "d1"),
    ]
    assert [(query.text, query.tags, query.group) for query in record.queries] == [
        ("Flu ", ("weak",), "d1"),
        ("Flu Causes", ("weak",), "d1"),
        ("Flu Treatment", ("weak",), "d1"),
    ]
    assert record.judgments == (Judgment(0, 0), Judgment(1, 1), Judgment(2, 2))


def test_sections_without_ids_and_titles_stay_together_and_what_has_no_heading_is_not_asked_for():
    record = read({"text": ARTICLE, "split": "train"}, by_section=True)
    group = content_hash(ARTICLE)
    assert [
        (document.document_id, document.group, document.split) for document in record.documents
    ] == [(None, group, "train")] * 3
    assert [query.text for query in record.queries] == ["Causes", "Treatment"]
    assert record.judgments == (Judgment(0, 1), Judgment(1, 2))
    assert read({"text": ARTICLE}).documents == (Document(ARTICLE),)
    assert read({"title": "Flu", "text": "# Causes\nA virus."}, by_section=True).queries == (
        Query("Flu", tags=("weak",)),
    )


def test_a_section_is_chosen_by_its_heading():
    sections = [
        {"heading": "Causes", "text": "A virus."},
        {"heading": "Treatment", "text": "Rest."},
    ]
    columns = ColumnsConfig(query="title", document="sections.Treatment")
    assert read({"title": "Flu", "sections": sections}, columns=columns) == Record(
        (Document("Rest."),), (Query("Flu"),), (Judgment(0, 0),)
    )
    assert fault({"title": "Flu", "sections": sections[:1]}, columns=columns) == (
        "no document: expected 'sections.Treatment'."
    )
