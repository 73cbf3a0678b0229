import pytest

from medembed.custody.erasure_request import ErasureRequest
from medembed.custody.pages import clean_page
from medembed.data.erase import hash_query
from medembed.privacy import show_id


def page(name: str) -> bytes:
    return f'<table><tr><th scope="row" class="id">{name}</th><td>0.5</td></tr></table>'.encode()


@pytest.mark.parametrize("name", ["d1", "Anna Muster"])
def test_a_page_that_shows_an_id_or_its_hash_is_replaced_and_the_id_counts_as_found(name: str):
    for shown in (name, show_id(name), show_id(f"{name}#chunk-2")):
        request = ErasureRequest(frozenset([name]))
        assert clean_page(page(shown), request) is not None
        assert request.met == {name}
    of_query = ErasureRequest(frozenset(), frozenset([name]))
    lost = ErasureRequest(frozenset(), lost={"data": frozenset([hash_query("data", name)])})
    for request in (of_query, lost):
        assert clean_page(page(show_id(name)), request) is not None


def test_a_page_that_shows_others_stays():
    request = ErasureRequest(frozenset(["Anna", "d1"]), frozenset(["q"]))
    assert clean_page(page(show_id("Anna Muster")), request) is None
