import itertools
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from medembed.data.cleaning import chunk, clean_text, fault_of


def test_text_is_composed_and_spaced_once_and_keeps_french_letters():
    assert clean_text(unicodedata.normalize("NFD", "  l’œdème\t\x00 aigu\r\n")) == "l’œdème aigu"
    assert clean_text("ÉTAT DE MAL ÉPILEPTIQUE — ﬁèvre") == "ÉTAT DE MAL ÉPILEPTIQUE — ﬁèvre"


def test_empty_and_over_long_texts_are_left_out():
    assert [fault_of(text, 3) for text in ("", "abc", "abcd")] == ["empty", None, "over-long"]


@given(st.lists(st.text("ab", min_size=1), max_size=60), st.integers(16, 30), st.integers(0, 15))
def test_chunks_cover_every_word_overlap_as_asked_and_none_only_repeats(
    words: list[str], size: int, overlap: int
):
    pieces = [piece.split(" ") for piece in chunk(" ".join(words), size, overlap)]
    joined = pieces[0] + [word for piece in pieces[1:] for word in piece[overlap:]]
    assert joined == (words or [""])
    assert all(len(piece) <= size for piece in pieces)
    assert all(len(piece) > overlap for piece in pieces[1:])
    assert all(
        one[len(one) - overlap :] == other[:overlap] for one, other in itertools.pairwise(pieces)
    )


def test_a_short_text_and_one_without_a_limit_stay_whole():
    assert chunk("one two", 16, 4) == ["one two"]
    assert chunk("word " * 100, None, 0) == ["word " * 100]
