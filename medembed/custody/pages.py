"""Erased ids in pages that people read, which cannot be taken apart: one that shows such an id is
replaced.
"""

from datetime import UTC, datetime
from html.parser import HTMLParser

from medembed.custody.erasure_request import Wanted
from medembed.privacy import show_id
from medembed.schema import document_of


def clean_page(page: bytes, wanted: Wanted) -> bytes | None:
    """What replaces a page that shows an erased id; None for a page that shows none."""
    names = {show_id(name) for name in texts_of(page)}
    rows = names.union(map(document_of, names))
    documents = {name for name in wanted.documents if show_id(name) in rows}
    wanted.met.update(documents)
    queries = wanted.queries.union(*wanted.lost.values())
    if not documents and names.isdisjoint(map(show_id, queries)):
        return None
    return f"<!doctype html><p>This report showed rows that were erased on {today()}.</p>".encode()


def texts_of(page: bytes) -> set[str]:
    """Texts of a page that may be ids: those that stand alone in an element, a number only where
    ids stand.
    """
    shown = _Shown()
    shown.feed(page.decode(errors="replace"))
    shown.close()
    return shown.names


def today() -> str:
    """The date, as manifests, tags and pages have it."""
    return datetime.now(UTC).date().isoformat()


class _Shown(HTMLParser):
    """Collects what `texts_of` gives."""

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
