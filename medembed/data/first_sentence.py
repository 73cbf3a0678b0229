"""Texts that ask for themselves: the first sentence of each is a query, what follows its document.

Where nobody has asked for a text, this is the only question that it brings along. It is an easy
one, since both speak of the same in the same words; so it measures whether a model still matches
plain texts, not whether it answers people.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

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
    corpus: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    qrels: list[dict[str, Any]] = []
    for text, (question, rest) in itertools.islice(_cut_all(texts), documents):
        document = {"document_id": text.id, "text": rest, "content_hash": content_hash(rest)}
        corpus.append(document | {"language": text.language})
        if len(corpus) > queries:
            continue
        query = {"query_id": text.id, "group_id": text.id, "text": question, "tags": []}
        asked.append(query | {"language": text.language, "split": "test"})
        qrels.append({"query_id": text.id, "document_id": text.id, "score": 1.0})
    if len(corpus) < FEWEST:
        return None
    tables = Tables(to_table(corpus, CORPUS), to_table(asked, QUERIES), to_table(qrels, QRELS))
    return write_small(output, key, tables, form="first sentences", source=source, licence=licence)


def _cut_all(texts: Iterable[Text]) -> Iterator[tuple[Text, tuple[str, str]]]:
    """Yield texts that can be cut, without those whose sentence or rest repeats."""
    seen: set[str] = set()
    for text in texts:
        cut = cut_first_sentence(clean_text(text.text))
        keys = {words_key(half) for half in cut or ()}
        if cut is not None and seen.isdisjoint(keys):
            seen |= keys
            yield text, cut
