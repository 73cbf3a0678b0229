"""Messages: each has its French, with the same values, and nothing is written past the catalogue."""

import ast
import os
import pickle
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest

from medembed.errors import DataError
from medembed.language import current_language, tr, use_language
from tests.messages import ERRORS, MARKS, PO, ROOT, called, extract, parts, read_catalogue, sources

SHOWN = {"print", "echo", "info", "warning", "error", "stage", "ValueError"}
# replicas log and answer in English, but what they refuse is also checked before a start
ANSWERS = {("serve", "http"), ("serve", "replica")}
WORDS = re.compile("[A-Za-z]{2}")
MISSING = "{uri}: no such folder."


@pytest.fixture
def french(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = os.environ.get("LANGUAGE", "en")
    use_language("fr")
    yield
    use_language(before)


def values_of(text: str) -> set[str | None]:
    """Return the names of the values that a text has places for, with their formats."""
    return {
        f"{name}!{mark}:{form}" for _, name, form, mark in string.Formatter().parse(text) if name
    }


def words_of(text: ast.expr) -> str:
    """Return what a string or f-string says beside its values."""
    pieces = getattr(text, "values", [text])
    literals = (piece.value for piece in pieces if isinstance(piece, ast.Constant))
    return re.sub(r"%[-+.\d]*[a-z]", "", " ".join(map(str, literals)))


def test_every_message_has_a_translation_and_no_translation_is_left_over():
    translated = {
        message.id: message.string
        for message in read_catalogue()
        if message.id and all(parts(message.string))
    }
    assert set(extract()) == set(translated), "python -m tests.messages brings it up to date"


def test_a_translation_has_the_values_of_its_message():
    for message in read_catalogue():
        if message.id and "{" in parts(message.id)[-1]:
            for text in parts(message.string):
                assert values_of(text) == values_of(parts(message.id)[-1]), message.id


def test_the_compiled_catalogue_is_that_of_the_texts():
    with PO.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in read_catalogue():
        if message.id:
            singular = (
                compiled.gettext(message.id)
                if isinstance(message.id, str)
                else compiled.ngettext(*message.id, 1)
            )
            assert singular == parts(message.string)[0], "python -m tests.messages compiles it"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_error_or_printed_line_is_put_together_outside_the_catalogue(path: Path):
    """An f-string is another text for each value, so that no catalogue has it."""
    shown = set() if path.parent.parts[-2:] in ANSWERS else SHOWN
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and called(node) in ERRORS | MARKS | shown:
            text = node.args[0]
            is_marked = isinstance(text, ast.Constant) and called(node) not in SHOWN
            assert is_marked or not WORDS.search(words_of(text)), f"{path}:{node.lineno}"


def test_an_error_is_in_the_users_language_also_after_a_worker_sent_it(french: None):
    error = pickle.loads(pickle.dumps(DataError(MISSING, uri="/{a}")))
    assert str(error) == "/{a}\N{NO-BREAK SPACE}: ce dossier n'existe pas."


def test_thousands_are_parted_as_the_language_does(french: None):
    assert tr("{count:,}", count=12345) == "12\N{NARROW NO-BREAK SPACE}345"


def test_commas_of_a_text_stay_in_a_column_of_its_own(french: None):
    assert tr("{name:<6}", name="a, b") == "a, b  "


def test_an_empty_text_has_nothing_of_the_catalogue(french: None):
    assert tr("") == ""


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_CA"}, "fr"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "en_US:fr"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:fr"}, "fr"),
    ],
)
def test_the_language_is_the_first_that_the_environment_asks_for(
    environment: dict[str, str], language: str
):
    code = "from medembed.language import current_language; print(current_language())"
    clean = {"PATH": os.environ["PATH"], **environment}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=clean,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == language


def test_a_message_without_values_keeps_its_braces():
    assert current_language() == "en"
    assert tr("source.columns={...}") == "source.columns={...}"
