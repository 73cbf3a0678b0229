import hashlib

import pytest

from medembed.privacy import show_id


def hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@pytest.mark.parametrize(
    "name",
    ["d-4f3a", "HP:0034518", "17", "a/b.txt#section-2", "PMC123#chunk-0", "étude_7", "https://x.org/a?b=1", "x" * 64],
)
def test_what_looks_like_an_id_is_shown(name: str):
    assert show_id(name) == name


@pytest.mark.parametrize(
    "name", ["Anna Muster, HIV positive", "one\ttwo", "x" * 65, "line\nend", "it's", 'say "ah"', "a;b", "<b>"]
)
def test_what_may_be_a_text_is_shown_as_its_hash_and_stays_so(name: str):
    assert show_id(name) == hashed(name)
    assert show_id(show_id(name)) == hashed(name)


def test_a_chunk_is_shown_as_one_of_its_document():
    assert show_id("Anna Muster#chunk-12") == f"{hashed('Anna Muster')}#chunk-12"
    assert "Muster" not in show_id("Anna Muster#chunk-of Mrs Muster")
