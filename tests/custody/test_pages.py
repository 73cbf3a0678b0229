"""A page that shows an erased id is replaced, and no other."""

import pytest

from medembed.custody.erasure_request import ErasureRequest
from medembed.custody.pages import clean_page
from medembed.data.erase import hash_query
from medembed.privacy import show_id

NUMBERS = """<p>ndcg 0.12 at 64 dimensions, 12 queries</p><tr><th scope="row">64<span>256 B</span>
</th><td>12</td><td>0.5</td></tr><dd>12 documents, 0.12</dd>"""


def row(shown: str) -> str:
    return f'<tr><th scope="row" class="id">{shown}<span class="text">a text</span></th></tr>'


@pytest.mark.parametrize("name", ["d1", "Anna Muster"])
def test_a_page_that_shows_an_id_or_its_hash_is_replaced_and_the_id_counts_as_met(name: str):
    for shown in (name, show_id(name), show_id(f"{name}#chunk-2")):
        request = ErasureRequest(frozenset([name]))
        assert clean_page(row(shown).encode(), request) is not None
        assert request.met == {name}
    of_query = ErasureRequest(frozenset(), frozenset([name]))
    lost = ErasureRequest(frozenset(), lost={"data": frozenset([hash_query("data", name)])})
    for request in (of_query, lost):
        assert clean_page(row(show_id(name)).encode(), request) is not None


@pytest.mark.parametrize(
    ("page", "is_replaced"),
    [
        ("<td>d1</td>", True),
        ("<td>a&lt;b</td>", True),
        ("<td>d12</td> <td>xd1</td>", False),
        ('<img src="data:image/png;base64,AA/d1+d1=="/>', False),
        (row(show_id("Anna Muster")), False),
        (NUMBERS, False),
        (NUMBERS + row("12"), True),
        (row("64#chunk-3"), True),
    ],
)
def test_an_id_is_seen_as_a_word_alone_and_a_number_only_where_ids_stand(
    page: str, is_replaced: bool
):
    request = ErasureRequest(frozenset({"d1", "Anna", "12", "64"}), frozenset({"a<b", "0.5"}))
    assert (clean_page(page.encode(), request) is not None) == is_replaced
