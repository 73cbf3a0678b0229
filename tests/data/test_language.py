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
