"""What a message may say of an id."""

import pytest

from medembed.errors import show_id


@pytest.mark.parametrize("name", ["d1", "MONDO:0005148", "a" * 64, "é-7", "d1#section-2"])
def test_a_short_word_is_shown(name: str):
    assert show_id(name) == repr(name)


@pytest.mark.parametrize("name", ["Anna Muster", "a" * 65, "line\nbreak", "no\u00a0break", "\ud800", " "])
def test_an_id_that_may_be_a_name_or_a_text_is_told_by_its_length(name: str):
    assert show_id(name) == f"of {len(name)} characters"
