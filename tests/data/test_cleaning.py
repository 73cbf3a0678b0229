import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.data.cleaning import chunk, clean_text, fault_of, spelling_key, words_key


def test_text_is_composed_and_spaced_once_and_keeps_french_letters():
    assert clean_text(unicodedata.normalize("NFD", "  l’œdème\t\x00 aigu\r\n")) == "l’œdème aigu"
    assert clean_text("ÉTAT DE MAL ÉPILEPTIQUE — ﬁèvre") == "ÉTAT DE MAL ÉPILEPTIQUE — ﬁèvre"


@pytest.mark.parametrize(
    ("one", "other"),
    [("L’œdème aigu.", "l'Œdème aigu"), ("« Choléra »", '"choléra"'), ("Type-1  diabetes?", "type–1 diabetes")],
)
def test_case_apostrophes_dashes_and_outer_punctuation_do_not_make_another_text(one: str, other: str):
    assert spelling_key(clean_text(one)) == spelling_key(clean_text(other))


@pytest.mark.parametrize(
    ("one", "other"), [("Na < 135", "Na > 135"), ("10⁵ CFU", "105 CFU"), ("pH 7.4", "pH 74"), ("cote", "côté")]
)
def test_what_changes_the_meaning_makes_another_text(one: str, other: str):
    assert spelling_key(one) != spelling_key(other)


def test_texts_with_the_same_words_are_one_for_splits():
    assert words_key("Na < 135") == words_key("na, 135") != words_key("na 136")
    assert words_key("???") == "???"


def test_empty_and_over_long_texts_are_left_out():
    assert [fault_of(text, 3) for text in ("", "abc", "abcd")] == ["empty", None, "over-long"]


@given(st.lists(st.text("ab", min_size=1), max_size=60), st.integers(16, 30), st.integers(0, 15))
def test_chunks_cover_every_word_overlap_as_asked_and_none_only_repeats(words: list[str], size: int, overlap: int):
    pieces = [piece.split(" ") for piece in chunk(" ".join(words), size, overlap)]
    joined = pieces[0] + [word for piece in pieces[1:] for word in piece[overlap:]]
    assert joined == (words or [""])
    assert all(len(piece) <= size for piece in pieces)
    assert all(len(piece) > overlap for piece in pieces[1:])
    assert all(one[len(one) - overlap :] == other[:overlap] for one, other in itertools.pairwise(pieces))


def test_a_short_text_and_one_without_a_limit_stay_whole():
    assert chunk("one two", 16, 4) == ["one two"]
    assert chunk("word " * 100, None, 0) == ["word " * 100]
