"""Texts that ask for themselves: the first sentence of each is a query, what follows its document.

Where nobody has asked for a text, this is the only question that it brings along. It is an easy
one, since both speak of the same in the same words; so it measures whether a model still matches
plain texts, not whether it answers people.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medembed.artifact import find_output, place
from medembed.data.cleaning import clean_text
from medembed.data.dataset import Dataset, to_table
from medembed.data.small import Tables, write_small
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash, fingerprint
from medembed.spelling import words_key

FEWEST = 100  # texts; of fewer no set is made
_QUERIES = 300  # at most
_DOCUMENTS = 1000  # at most
_FIRST_WORDS = 4  # at least
_REST_WORDS = 8  # at least
_END = re.compile(r"(?<=[.!?…])\s+(?=[^\W_a-z])")  # no small letter follows: "e.g. this" is no end


class Text(NamedTuple):
    """A text with the id that it has where it comes from, and its language."""

    id: str
    text: str
    language: str


class Asking(NamedTuple):
    """A text cut in two."""

    id: str
    question: str
    rest: str
    language: str


def cut_first_sentence(text: str) -> tuple[str, str] | None:
    """Return (its first sentence, the rest) of a clean text; None if one of them is too short."""
    for end in _END.finditer(text):
        first = text[: end.start()]
        rest = text[end.end() :]
        if len(first.split()) >= _FIRST_WORDS:
            return (first, rest) if len(rest.split()) >= _REST_WORDS else None
    return None


def make_first_sentences(
    texts: Iterable[Text],
    output: str,
    identity: str,
    *,
    source: str,
    licence: str | None = None,
    queries: int = _QUERIES,
    documents: int = _DOCUMENTS,
) -> Dataset | None:
    """Return a data set of the first texts that can be cut; None of fewer than FEWEST.

    `identity` says what the texts are; of the documents, the first `queries` are asked for, all in
    the test split.
    """
    key = fingerprint(["first sentences", identity, queries, documents])
    output = place(output, key)
    manifest = find_output(output, DatasetManifest, key)
    if manifest is not None:
        return Dataset(output, manifest)
    chosen = list(_choose(texts, documents))
    if len(chosen) < FEWEST:
        return None
    asked = chosen[:queries]
    tables = Tables(
        to_table([_document(asking) for asking in chosen], CORPUS),
        to_table([_query(asking) for asking in asked], QUERIES),
        to_table([_judgment(asking) for asking in asked], QRELS),
    )
    return write_small(output, key, tables, form="first sentences", source=source, licence=licence)


def _choose(texts: Iterable[Text], count: int) -> Iterator[Asking]:
    """Yield the first `count` that can be cut, without those whose sentence or rest repeats."""
    seen: Counter[str] = Counter()
    for text in texts:
        cut = cut_first_sentence(clean_text(text.text))
        if cut is None:
            continue
        keys = {words_key(part) for part in cut}
        if not seen.keys().isdisjoint(keys):
            continue
        seen.update(keys)
        yield Asking(text.id, *cut, text.language)
        count -= 1
        if not count:
            return


def _document(asking: Asking) -> dict[str, object]:
    return {
        "document_id": asking.id,
        "text": asking.rest,
        "language": asking.language,
        "content_hash": content_hash(asking.rest),
    }


def _query(asking: Asking) -> dict[str, object]:
    return {
        "query_id": asking.id,
        "text": asking.question,
        "language": asking.language,
        "tags": [],
        "group_id": asking.id,
        "split": "test",
    }


def _judgment(asking: Asking) -> dict[str, object]:
    return {"query_id": asking.id, "document_id": asking.id, "score": 1.0}
