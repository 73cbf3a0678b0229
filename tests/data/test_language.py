from collections.abc import Sequence

import pyarrow as pa
import pytest

from medembed.data.language import (
    Guess,
    guess_language,
    know_language,
    main_languages,
    settle,
    settle_column,
    settle_rows,
)

FRENCH = "Le patient se plaint de douleurs dans la poitrine qui irradient vers le bras gauche."
ENGLISH = "The patient complains of chest pain that radiates into the left arm and the jaw."
FRENCH_TERMS = [
    "Tuberculose pulmonaire",
    "TUBERCULOSE PULMONAIRE",
    "Choléra",
    "Méningite virale, sans précision",
    "Infarctus aigu du myocarde, sans précision",
    "Asthme",
    "Rougeole",
    "Lésion du nerf fémoral",
    "Autres formes de cardiopathie ischémique chronique",
    "Salmonella",
    "Insuffisance rénale chronique au stade terminal",
    "Fracture de la diaphyse du fémur",
    "Douleurs de l'estomac après les repas",
]


@pytest.mark.parametrize(
    ("text", "among", "language"),
    [
        ("Quels sont les symptômes du diabète ?", (), "fr"),
        ("What are the symptoms of diabetes?", (), "en"),
        ("heart pain", (), "und"),
        ("12", (), "und"),
        ("heart pain", ("en",), "en"),
        ("Quels sont les symptômes du diabète ?", ("en", "fr"), "fr"),
        ("12", ("fr", "en"), "en"),
    ],
)
def test_a_text_alone_has_the_likeliest_language_of_those_named_or_none(
    text: str, among: tuple[str, ...], language: str
):
    assert settle_column([guess_language(text, among)]) == [language]


def test_the_language_of_a_long_text_is_that_of_most_of_it_and_not_of_its_first_lines():
    english = (
        "This letter was written by the department of cardiology on behalf of the patient. " * 8
    )
    assert guess_language(english + f"{FRENCH} " * 40).languages == ("fr",)
    assert guess_language(FRENCH + english * 5).languages == ("en",)
    assert guess_language(english + f"{FRENCH} " * 40, ("en", "fr")).languages == ("fr",)


def test_short_terms_take_the_language_of_their_column_and_a_clear_text_keeps_its_own():
    texts = [*FRENCH_TERMS * 5, ENGLISH]
    alone = [settle_column([guess_language(text)])[0] for text in FRENCH_TERMS]
    assert alone.count("fr") < 11, "alone they are guessed wrong, which is what the column mends"
    guesses = [guess_language(text) for text in texts]
    assert settle_column(guesses) == ["fr"] * 65 + ["en"]


def test_a_column_of_two_languages_settles_each_text_among_these_two():
    guesses = [guess_language(FRENCH), guess_language(ENGLISH), Guess(("it", "en", "fr"), 20)]
    assert settle_column(guesses) == ["fr", "en", "en"]


def test_a_named_language_counts_for_its_column_and_is_never_changed():
    named = know_language("12", "de")
    unsure = Guess(("nl", "de"), 0)
    assert settle_column([named, unsure]) == ["de", "de"]
    assert settle_column([know_language(ENGLISH, "und"), unsure]) == ["und", "und"]


@pytest.mark.parametrize(
    ("weights", "languages"),
    [
        ({"fr": 91, "en": 9}, ["fr"]),
        ({"en": 10, "fr": 90}, ["fr", "en"]),
        ({"fr": 50, "en": 50}, ["en", "fr"]),
        ({"fr": 0}, []),
        ({}, []),
    ],
)
def test_a_language_is_one_of_a_column_from_a_tenth_of_its_weight(
    weights: dict[str, int], languages: list[str]
):
    assert main_languages(weights) == languages


@pytest.mark.parametrize(
    ("guesses", "of_column", "language"),
    [
        (["es"], ["fr"], "es"),
        (["es", "fr"], ["fr"], "fr"),
        (["es", "it"], ["fr", "en"], "fr"),
        (["es", "en", "fr"], ["fr", "en"], "en"),
        (["es", "en"], [], "und"),
    ],
)
def test_an_unsure_text_is_in_the_likeliest_of_its_columns_languages_else_the_first(
    guesses: Sequence[str], of_column: Sequence[str], language: str
):
    assert settle(guesses, of_column) == language


def test_staged_rows_are_settled_by_their_own_column():
    rows = pa.table(
        {
            "column": ["document", "query", "nom\tfr", "query"],
            "guesses": ["es fr en", "es fr en", "es fr", "de"],
        }
    )
    main = {"document": ["en"], "query": ["fr"]}
    assert settle_rows(rows, main).to_pylist() == ["en", "fr", "und", "de"]
