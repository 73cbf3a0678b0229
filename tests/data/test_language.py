import pytest

from medembed.data.language import detect_language


@pytest.mark.parametrize(
    ("text", "languages", "found"),
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
def test_the_language_is_the_likeliest_of_those_named_or_undetermined(
    text: str, languages: tuple[str, ...], found: str
):
    assert detect_language(text, languages) == found


def test_the_language_of_a_long_text_is_that_of_most_of_it_and_not_of_its_first_lines():
    english = (
        "This letter was written by the department of cardiology on behalf of the patient. " * 8
    )
    french = (
        "Le patient se plaint de douleurs dans la poitrine qui irradient vers le bras gauche. " * 40
    )
    assert detect_language(english + french) == "fr"
    assert detect_language(french[:200] + english * 5) == "en"
    assert detect_language(english + french, ("en", "fr")) == "fr"
