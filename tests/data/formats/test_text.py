"""Folders of .txt and .md: a file is a document, for `prepare` and for `encode` alike."""

import logging
from pathlib import Path

import pytest

from medembed import storage
from medembed.data.corpus import open_corpus
from medembed.data.formats import text
from medembed.data.own_texts import TextColumns
from medembed.data.parts import find_parts, read_part
from medembed.data.query_file import read_queries
from tests.data.attempts import config, fail, make
from tests.inline_spread import alone

NOTES = {
    "a.md": "# Pneumonie communautaire\n\nAmoxicilline.\n\n## Suivi\n\nApyrexie.\n",
    "ep.txt": "Embolie pulmonaire\nAnticoagulation.\n",
    "cr/lettre_de-sortie.txt": "\ufeffCher confrère,\r\nVotre patient va mieux.\r\n",
    "cr/seul.txt": "Repos.",
    "cr/vide.txt": " \n",
}
AFTER_HEADING = "Amoxicilline.\n\n## Suivi\n\nApyrexie."
LETTER = "Cher confrère,\nVotre patient va mieux."
ROWS = [
    {"id": "a.md", "title": "Pneumonie communautaire", "text": AFTER_HEADING},
    {"id": "cr/lettre_de-sortie.txt", "title": "lettre de sortie", "text": LETTER},
    {"id": "cr/seul.txt", "title": "seul", "text": "Repos."},
    {"id": "cr/vide.txt", "title": None, "text": ""},
    {"id": "ep.txt", "title": "Embolie pulmonaire", "text": "Anticoagulation."},
]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    for name, content in NOTES.items():
        file = tmp_path / "notes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
    return tmp_path / "notes"


def test_each_file_is_a_row_in_order_of_path_whatever_the_parts(
    notes: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(text, "_FILES_PER_PART", 2)
    source = config(notes)
    parts = find_parts(source).parts
    assert [(part.start, part.end) for part in parts] == [(0, 2), (2, 4), (4, 5)]
    rows = [row for part in parts for _, row in read_part(part, source)]
    assert rows == ROWS


@pytest.mark.parametrize(
    ("written", "settings", "said"),
    [
        ("cp1252", {}, "{}/a.txt (and 1 more file): read as Windows-1252"),
        ("cp850", {"encoding": "cp850"}, "{}: read as cp850"),
    ],
)
def test_files_are_read_in_their_encodings_which_are_said(
    written: str,
    settings: dict[str, str],
    said: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    notes = tmp_path / "notes"
    notes.mkdir()
    texts = {"a.txt": "à l'hôpital.", "b.txt": "État stable.", "c.txt": "Repos.", "d.txt": "été"}
    for name, content in texts.items():
        (notes / name).write_bytes(content.encode(written))
    if not settings:
        (notes / "d.txt").write_text(texts["d.txt"])
    with caplog.at_level(logging.INFO):
        rows = make(notes, tmp_path / "out", **settings).corpus().to_pylist()
    assert {row["document_id"]: row["text"] for row in rows} == texts
    assert said.format(notes) in caplog.messages
    columns = TextColumns.model_validate(settings)
    with alone(), open_corpus(str(notes), columns, str(tmp_path / "copy")) as corpus:
        assert corpus.counts["documents"] == 4


def test_a_file_of_an_unknown_encoding_is_an_error_that_names_it(notes: Path, tmp_path: Path):
    (notes / "ep.txt").write_bytes("SECRET à l'hôpital".encode("mac_roman"))
    error = fail(notes, tmp_path / "out")
    assert error.startswith(f"{notes}/ep.txt:1: not UTF-8; looks like Macintosh: set source.enc")


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        (
            "---\ntitle: Embolie : suites\ntags: [a]\n---\n\n# Suivi\nà lire",
            "Embolie : suites",
            None,
        ),
        ('---\r\nTitre: "Embolie"\r\n---\r\n# Suivi\r\nà lire', "Embolie", None),
        ("---\nauthor: X\n---\n# Suivi\nà lire", "Suivi", "à lire"),
        ("---\ntitle: Embolie\n---\n", None, ""),
        ("---\nà lire", "a", "---\nà lire"),
        ("Suivi\n=====\n\nà lire\n---\nb", "Suivi", "à lire\n---\nb"),
        ("Suivi\nà lire\n---\nb", "Suivi", "à lire\n---\nb"),
    ],
)
def test_front_matter_is_no_text_but_its_title_counts(
    content: str, title: str | None, text: str | None, tmp_path: Path
):
    (tmp_path / "a.md").write_bytes(content.encode())
    source = config(tmp_path / "a.md")
    ((_, row),) = read_part(find_parts(source).parts[0], source)
    assert row == {
        "id": "a.md",
        "title": title,
        "text": "# Suivi\nà lire" if text is None else text,
    }


def test_empty_files_alone_are_counted_in_the_error(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_bytes(b"")
    error = fail(tmp_path / "notes", tmp_path / "out")
    assert error == "no usable row found; left out: 1: empty document."


def test_a_pattern_gives_ids_below_its_folder(notes: Path):
    source = config(notes / "cr/*e*.txt")
    (part,) = find_parts(source).parts
    ids = [row["id"] for _, row in read_part(part, source) if isinstance(row, dict)]
    assert ids == ["lettre_de-sortie.txt", "seul.txt", "vide.txt"]


def test_a_folder_of_texts_becomes_documents_asked_for_by_their_titles(notes: Path, tmp_path: Path):
    dataset = make(notes, tmp_path / "out")
    assert dataset.manifest.dropped["empty document"] == 1
    assert set(dataset.document_ids().to_pylist()) == set(NOTES) - {"cr/vide.txt"}
    titles = {row["title"] for row in ROWS if row["title"]}
    rows = dataset.queries().to_pylist()
    assert titles.issuperset(row["text"] for row in rows)
    assert {tag for row in rows for tag in row["tags"]} == {"weak"}


def test_own_texts_are_encoded_with_their_titles(notes: Path, tmp_path: Path):
    with alone(), open_corpus(str(notes), TextColumns(), str(tmp_path / "copy")) as corpus:
        rows = [row for uri, _ in corpus.files for row in storage.read_parquet(uri).to_pylist()]
    texts = {row["document_id"]: row["text"] for row in rows}
    assert texts["ep.txt"] == "Embolie pulmonaire Anticoagulation."
    assert corpus.counts == {"documents": 4, "empty text": 1}


def test_texts_beside_a_table_are_an_error_that_names_both_formats(notes: Path, tmp_path: Path):
    (notes / "questions.csv").write_text("question,document_id\nq,a.md\n")
    assert fail(notes, tmp_path / "out") == (
        f"{notes}: files of several formats (csv, text); name those of one, e.g. folder/*.jsonl."
    )


def test_a_text_file_of_queries_still_has_one_a_line(notes: Path):
    assert read_queries(str(notes / "ep.txt")) == {
        "1": "Embolie pulmonaire",
        "2": "Anticoagulation.",
    }
