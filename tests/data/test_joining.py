"""Questions in one file, documents in another, judgments in a third: joined by their ids."""

import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig
from medembed.data.dataset import Dataset
from tests.data.attempts import fail, make
from tests.inline_spread import alone

COUNT = 12
DOCUMENTS = [f"D{n};SECRET text number {n}" for n in range(COUNT)]
ANSWERED = [f"SECRET question {n};D{n}" for n in range(COUNT - 1)]
ASKED = [f"Q{n};SECRET question {n}" for n in range(COUNT - 1)]
JUDGED = [f"Q{n};D{n};1" for n in range(COUNT - 1)]
PAIRS = {f"SECRET question {n}": f"SECRET text number {n}" for n in range(COUNT - 1)}


@pytest.fixture(autouse=True)
def read_here() -> Iterator[None]:
    with alone():
        yield


def write(folder: Path, files: dict[str, list[str]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        mark = "\t" if name.endswith(".tsv") else ";"
        (folder / name).write_text("".join(line.replace(";", mark) + "\n" for line in lines))
    return folder


def pairs(dataset: Dataset) -> dict[str, str]:
    """Return {question: the text of its document}."""
    texts = {row["document_id"]: row["text"] for row in dataset.corpus().to_pylist()}
    asked = {row["query_id"]: row["text"] for row in dataset.queries().to_pylist()}
    assert len(texts) == COUNT  # that of no question too
    return {
        asked[query_id]: texts[document_id]
        for query_id, judged in dataset.qrels().items()
        for document_id in judged
    }


def test_ids_of_composed_and_decomposed_accents_are_one(tmp_path: Path):
    decomposed = [unicodedata.normalize("NFD", line.replace("D", "É")) for line in DOCUMENTS]
    asked = [line.replace(";D", ";É") for line in ANSWERED]
    files = {"d.csv": ["id;text", *decomposed], "q.csv": ["question;document_id", *asked]}
    assert pairs(make(write(tmp_path / "in", files), tmp_path / "out")) == PAIRS


@pytest.mark.parametrize(
    "files",
    [
        {"d.csv": ["id;text", *DOCUMENTS], "q.csv": ["question;document_id", *ANSWERED]},
        {"d.csv": ["id;text", *DOCUMENTS], "q.tsv": ["question;id", *ANSWERED]},
        {
            "d.csv": ["id;text", *DOCUMENTS[:6]],
            "d2.csv": ["id;text", *DOCUMENTS[6:]],
            "q.csv": ["question;document_id", *ANSWERED],
        },
        {
            "d.csv": ["id;text", *DOCUMENTS],
            "q.csv": ["id;question", *ASKED],
            "judged.csv": ["query_id;document_id;score", *JUDGED],
        },
        {
            "d.csv": ["id;text", *DOCUMENTS],
            "q.csv": ["id;question", *ASKED],
            "qrels.tsv": ["query-id;corpus-id;score", *JUDGED],
        },
        {"d.csv": ["id;text", *DOCUMENTS], "q.csv": ["id;question", *ASKED], "qrels.tsv": JUDGED},
    ],
    ids=["by reference", "by one id", "two of documents", "judged", "BEIR's", "TREC's"],
)
def test_questions_find_their_documents_by_id(files: dict[str, list[str]], tmp_path: Path):
    if "qrels.tsv" in files and files["qrels.tsv"] == JUDGED:
        files = files | {"qrels.tsv": [line.replace(";", ";0;", 1) for line in JUDGED]}
    assert pairs(make(write(tmp_path / "in", files), tmp_path / "out")) == PAIRS


def test_a_list_of_paths_reads_these_files_alone(tmp_path: Path):
    write(tmp_path / "in", {"d.csv": ["id;text", *DOCUMENTS], "other.csv": ["SECRET;SECRET"]})
    write(tmp_path / "asked", {"q.csv": ["question;document_id", *ANSWERED]})
    paths = [f"{tmp_path}/in/d.csv", f"{tmp_path}/asked/q.csv"]
    typed = Path(f"[{','.join(paths)}]")
    assert SourceConfig.model_validate({"path": paths}).path == str(typed)
    assert pairs(make(typed, tmp_path / "out")) == PAIRS


def test_declared_columns_are_those_of_the_files_that_have_them(tmp_path: Path):
    files = {"d.csv": ["code;texte_long", *DOCUMENTS], "q.csv": ["demande_libre;code", *ANSWERED]}
    columns = {"document_id": "code", "document": "texte_long", "query": "demande_libre"}
    source = write(tmp_path / "in", files)
    assert pairs(make(source, tmp_path / "out", columns=columns)) == PAIRS


def test_a_question_without_its_document_is_counted_and_named_by_its_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    asked = ["question;document_id", *ANSWERED, "SECRET lost;D99", "SECRET nameless;"]
    source = write(tmp_path / "in", {"d.csv": ["id;text", *DOCUMENTS], "q.csv": asked})
    with caplog.at_level(logging.INFO):
        dataset = make(source, tmp_path / "out")
    assert pairs(dataset) == PAIRS
    assert dataset.manifest.dropped == {
        "judgment of an absent row": 1,
        "query without a positive": 2,
        "question without a document's id": 1,
    }
    assert f"a document that is absent or left out: {source}/q.csv:13" in caplog.text
    assert "SECRET" not in caplog.text


QUESTIONS = ["question;document_id", *ANSWERED]
CONTRADICTIONS = {
    "{}/q.csv: read as questions: query = question, document_id = document_id, but no docu": {
        "q.csv": QUESTIONS
    },
    "{0}/p.csv (question, answer) cannot be joined with {0}/q.csv (question, document_id); give": {
        "p.csv": ["question;answer", "SECRET a;SECRET b"],
        "q.csv": QUESTIONS,
    },
    "{}/q.csv (question, document_id): names documents that no file has; give questions": {
        "q.csv": QUESTIONS,
        "j.csv": ["query_id;document_id", "Q1;D1"],
    },
    "{}/d.csv (title, text): found no id by which {}/q.csv may name its documents; name its": {
        "d.csv": ["title;text", "SECRET a;SECRET b"],
        "q.csv": QUESTIONS,
    },
    "{0}/d.csv (title, text) has no query as {0}/p.csv (question, answer) has; give files of": {
        "d.csv": ["title;text", "SECRET a;SECRET b"],
        "p.csv": ["question;answer", "SECRET a;SECRET b"],
    },
    "{0}/d.csv:3: document id 'D1' stands for another text in {0}/d.csv:2 (1 such rows in": {
        "d.csv": ["id;text", "D1;SECRET a", "D1;SECRET b"],
        "q.csv": ["question;document_id", "SECRET;D1"],
    },
    "{0}: all 2 judgments name a document that is absent or left out; expected ids as the docu": {
        "d.csv": ["id;title;text", "D1;SECRET title;SECRET a", "D2;SECRET name;SECRET b"],
        "q.csv": ["question;document_id", "SECRET;d1", "SECRET too;d2"],
    },
    "{0}: all 1 judgments name a document that is absent or left out; expected ids as the docu": {
        "d.csv": ["id;text", "D1;SECRET a"],
        "q.csv": ["question;document_id", "SECRET;d1"],
    },
}


@pytest.mark.parametrize("expected", CONTRADICTIONS, ids=lambda text: text[:30])
def test_what_cannot_be_joined_is_an_error_that_names_the_files_and_columns(
    expected: str, tmp_path: Path
):
    files = CONTRADICTIONS[expected]
    source = write(tmp_path / "in", files)
    path = source / "q.csv" if list(files) == ["q.csv"] else source
    error = fail(path, tmp_path / "out")
    assert error.startswith(expected.replace("{}", "{0}").format(source)), error
