"""Erased ids in what people read: JSON, where an entry that names one goes, and pages, which cannot be taken apart."""

from collections import Counter
from collections.abc import Collection
from html.parser import HTMLParser
from typing import Any

from medembed.custody.rewrite import today
from medembed.custody.wanted import Wanted
from medembed.privacy import show_id
from medembed.schema import document_of

_NAMES = ("query_id", "document_id", "document", "row_id", "positive_id", "negative_id")


def without_ids(value: Any, wanted: Wanted, gone: Collection[str], counts: Counter[str]) -> Any:
    """JSON without entries of lists that are an erased document or a query in `gone`, or that name one."""

    def goes(entry: Any) -> bool:
        names = [entry.get(name) for name in _NAMES] if isinstance(entry, dict) else [entry]
        return any(isinstance(name, str) and (name in gone or wanted.has_row(name)) for name in names)

    if isinstance(value, dict):
        return {name: without_ids(one, wanted, gone, counts) for name, one in value.items()}
    if not isinstance(value, list):
        return value
    counts["entries of a report"] += sum(map(goes, value))
    return [without_ids(one, wanted, gone, counts) for one in value if not goes(one)]


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
    """Texts of a page that may be ids: those that stand alone in an element, a number only where ids stand."""
    shown = _Shown()
    shown.feed(page.decode(errors="replace"))
    shown.close()
    return shown.names


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
