"""When two texts are one: signs keep them apart, spelling does not."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.spelling import spelling_key, words, words_key

# Of each line, no text may be taken for another, by whatever key.
APART = [
    ["HER2-", "HER2+", "HER2", "HER2 -", "HER2 +", "HER2±", "HER3-"],
    ["Rh-", "Rh+", "Rh", "Rh -", "Rh +"],
    ["CD4-", "CD4+", "CD4", "CD4-/CD8+", "CD4+/CD8-", "CD4+/CD8+", "CD4-CD8+", "CD4+CD8-"],
    ["K+", "K", "[K+]", "[K]"],
    ["β-", "β+", "β", "β'", "b", "ß"],
    ["pH < 7", "pH > 7", "pH ≤ 7", "pH = 7", "pH 7", "pH 7.4", "pH 74", "pH ~ 7"],
    ["5'-", "5'", "5", "3'-", '5"', "-5", "+5", "±5", ".5", "5 %", "5 ‰", "5 °", "0.5", "5.0"],
    ["10^9", "10⁹", "109", "10⁻⁹", "10-9", "10e9"],
    ["½", "1/2", "12", "1½"],
    ["m²", "m³", "m"],
    ["5 µg", "5 mg", "5 g"],
    ["α", "β", "γ", "a", "A´"],
    ["Na < 135", "Na > 135", "Na <= 135"],
    ["A→G", "A>G", "AG", "A&G"],
    ["cote", "côté", "côte"],
    ["?!", "...", "+", "-", "++"],
    ["2 x 3", "2 × 3", "2 * 3"],
]

# Of each line, all are one text.
ONE = [
    [
        "L’œdème aigu.",
        "l'Œdème aigu",
        "L´ŒDÈME AIGU !",
        "lʼœdème aigu",
        "l‘œdème aigu",
        "l`œdème\u00a0aigu…",
    ],
    [
        "« Choléra »",
        '"choléra"',
        "“Choléra”",
        "‘Choléra’.",
        "«\u202fcholéra\u202f» ?",
        "„choléra“",
        "Choléra",
    ],
    ["Type-1  diabetes?", "type–1 diabetes", "type‑1 diabetes", "TYPE−1 DIABETES:"],
    ["item", "- item", "• item", "– Item", "item.", "item?", "item;", "¿Item?"],
    ["HER2-", "her2−", "HER2–", "HER2-.", "« HER2- »", "ＨＥＲ２－"],
    ["5'-UTR", "5’-UTR", "5′-UTR", "5´–utr"],
    ["5 µg", "5 μg", "5 ΜG"],
    ["ΔF508", "∆F508", "δf508"],
    ["Ω", "Ω", "ω"],
    [
        "hypertension",
        "hyper\u00adtension",
        "hyper\u200btension",
        "\ufeffhypertension",
        "hypertension\u200e",
    ],
    ["ﬁbrose", "fibrose"],
    ["STRASSE", "Straße", "strasse"],
    ["Kelvin", "\u212aelvin"],
]

# Of each line, all have the same words and signs, though they are several texts.
SAME_WORDS = [
    ["Na<135", "Na < 135", "na < 135."],
    ["CO₂, high", "CO2 (high)"],
    ["type-1 diabetes", "type 1 diabetes"],
    ["Fever, cough (acute).", "fever; cough: acute"],
    ["the ‘acute’ phase", 'the "acute" phase', "the acute phase"],
    ["5%", "5\u202f%"],
    ["HER2(-)", "HER2 -"],
    ["38 °C", "38°C", "38\u00a0℃"],
]


def pairs(lines: list[list[str]]) -> list[tuple[str, str]]:
    return [pair for line in lines for pair in itertools.combinations(line, 2)]


@pytest.mark.parametrize("key", [spelling_key, words_key])
def test_a_sign_with_a_meaning_makes_another_text(key):
    assert [pair for pair in pairs(APART) if key(pair[0]) == key(pair[1])] == []


def test_spelling_and_punctuation_around_it_do_not_make_another_text():
    assert [pair for pair in pairs(ONE) if spelling_key(pair[0]) != spelling_key(pair[1])] == []


def test_punctuation_and_spacing_inside_make_another_text_of_the_same_words():
    assert [pair for pair in pairs(SAME_WORDS) if words_key(pair[0]) != words_key(pair[1])] == []
    different = [
        ("fever, cough", "fever cough"),
        ("type-1", "type 1"),
        ("No, insulin", "No insulin"),
    ]
    assert [pair for pair in different if spelling_key(pair[0]) == spelling_key(pair[1])] == []


ANY_TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aAéÉ'’-–+<>«».,?5⁹µ°\"() ")),
    max_size=20,
)


@given(ANY_TEXT)
def test_case_composition_and_white_space_never_make_another_text(text: str):
    key = spelling_key(text)
    assert spelling_key(unicodedata.normalize("NFD", text)) == key
    assert spelling_key(unicodedata.normalize("NFC", text)) == key
    assert spelling_key(f"  {text}\u00a0") == key
    assert spelling_key(text.replace("'", "’")) == key
    assert spelling_key(text.casefold()) == key


@given(
    st.text("abéß CD4,.?'’-", min_size=1).filter(lambda text: words(text)),
    st.sampled_from("+-±<>=%°µβ⁹²½^*/"),
)
def test_a_sign_that_is_added_makes_another_text(text: str, sign: str):
    stem = text.rstrip(" .,;:!?'\"-")
    for key in (spelling_key, words_key):
        assert key(stem + sign) != key(stem)
        assert key(f"{stem} {sign}") != key(stem)


@given(ANY_TEXT, ANY_TEXT)
def test_texts_of_one_spelling_have_the_same_words(one: str, other: str):
    for text in (other, f"- {one}", f'"{one}".', one.swapcase(), one.replace("-", "–")):
        if spelling_key(one) == spelling_key(text):
            assert words_key(one) == words_key(text)


def test_words_are_runs_of_letters_and_digits_without_signs():
    assert words("L’œdème, CO₂ 10⁹/L: hyper\u00adtension ﬁ HER2-") == [
        "l",
        "œdème",
        "co2",
        "109",
        "l",
        "hypertension",
        "fi",
        "her2",
    ]
    assert words("?!") == []
