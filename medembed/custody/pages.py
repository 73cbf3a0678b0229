"""Find erased ids in pages that people read; a page that shows one is replaced, as it cannot be
taken apart.
"""

import html
import re

from medembed.artifact import today
from medembed.custody.erasure_request import ErasureRequest
from medembed.language import tr
from medembed.privacy import show_id
from medembed.schema import document_of

_TEXT = re.compile("(<[^<>]*>)([^<>]+)")  # a tag and the text behind it


def clean_page(page: bytes, request: ErasureRequest) -> bytes | None:
    """Return what replaces a page that shows an erased id; None for a page that shows none."""
    names = set(map(show_id, _texts_of(page)))
    rows = names.union(map(document_of, names))
    documents = {name for name in request.documents if show_id(name) in rows}
    request.met.update(documents)
    queries = not names.isdisjoint(map(show_id, request.queries))
    if not documents and not queries and not request.has_any([], names, None):
        return None
    text = tr("This report showed rows that were erased on {date}.", date=today())
    return f"<!doctype html><p>{text}</p>".encode("ascii", "xmlcharrefreplace")


def _texts_of(page: bytes) -> set[str]:
    """Return texts that stand alone in an element; a number only where ids stand."""
    texts: set[str] = set()
    for tag, text in _TEXT.findall(page.decode(errors="replace")):
        name = html.unescape(text).strip()
        is_number = name.replace(",", "").replace(".", "").isdecimal()
        if 'class="id"' in tag or not is_number:
            texts.add(name)
    return texts
