from medembed.custody.erasure_request import Wanted
from medembed.custody.pages import clean_page
from medembed.privacy import show_id


def page(name: str) -> bytes:
    return f'<table><tr><th scope="row" class="id">{name}</th><td>0.5</td></tr></table>'.encode()


def test_a_page_that_shows_an_id_or_its_hash_is_replaced_and_the_id_counts_as_found():
    for name in ("d1", "Anna Muster"):
        for shown in (name, show_id(name), show_id(f"{name}#chunk-2")):
            wanted = Wanted(frozenset([name]))
            assert clean_page(page(shown), wanted) is not None
            assert wanted.met == {name}
        assert clean_page(page(show_id(name)), Wanted(frozenset(), frozenset([name]))) is not None
        assert (
            clean_page(
                page(show_id(name)), Wanted(frozenset(["d2"]), lost={"data": frozenset([name])})
            )
            is not None
        )


def test_a_page_that_shows_others_stays():
    assert (
        clean_page(
            page(show_id("Anna Muster")), Wanted(frozenset(["Anna", "d1"]), frozenset(["q"]))
        )
        is None
    )
