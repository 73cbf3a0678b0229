"""Find erased ids in pages that people read; a page that shows one is replaced, as it cannot be
taken apart.
"""

from html.parser import HTMLParser

from medembed.artifact import today
from medembed.custody.erasure_request import ErasureRequest
from medembed.privacy import show_id
from medembed.schema import document_of


def clean_page(page: bytes, request: ErasureRequest) -> bytes | None:
    """Return what replaces a page that shows an erased id; None for a page that shows none."""
    names = {show_id(name) for name in _texts_of(page)}
    rows = names.union(map(document_of, names))
    documents = {name for name in request.documents if show_id(name) in rows}
    request.met.update(documents)
    queries = not names.isdisjoint(map(show_id, request.queries))
    if not documents and not queries and not request.has_any([], names, None):
        return None
    return f"<!doctype html><p>This report showed rows that were erased on {today()}.</p>".encode()


def _texts_of(page: bytes) -> set[str]:
    """Return texts that stand alone in an element; a number only where ids stand."""
    shown = _Shown()
    shown.feed(page.decode(errors="replace"))
    shown.close()
    return shown.names


class _Shown(HTMLParser):
    """Collects what `_texts_of` returns."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.is_id = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_id = ("class", "id") in attrs

    def handle_endtag(self, tag: str) -> None:
        self.is_id = False

    def handle_data(self, data: str) -> None:
        name = data.strip()
        if self.is_id or not name.replace(",", "").replace(".", "").isdecimal():
            self.names.add(name)
