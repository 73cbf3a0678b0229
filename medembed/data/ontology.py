"""An ontology in OBO format -> rows: definitions are the documents, names and synonyms the queries.

What gives the answer away stays out. A document is a term's definition alone, without its name, its
synonyms or comments: with them, a synonym query would find its own words. And a query that stands word
for word in the definition of its term is left out and counted, since matching strings would answer it.

Format: OBO 1.4 flat file, "Term" stanzas with the tags id, name, def, synonym, is_obsolete.
"""

import re
from collections.abc import Iterator

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.rows import Document, Dropped, Judgment, Query, Rows
from medembed.errors import DataError
from medembed.schema import normalize_text

LAY = "lay"
_TAGS = {"layperson": LAY, "abbreviation": "abbreviation", "uk_spelling": "uk_spelling", "plural_form": "plural_form"}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(?:EXACT|BROAD|NARROW|RELATED)\s+(\S*)\s*\[')

Stanza = dict[str, list[str]]


def read_ontology(source: SourceConfig) -> Rows:
    """Rows of every term that has a definition; obsolete terms and terms without one are counted as dropped.

    A query is tagged "name" or "synonym", and with its synonym type where the file gives one ("lay", ...).
    Its group is its term, because synonyms of one term are not independent.
    """
    try:
        text = storage.read_bytes(source.path).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{source.path}: not UTF-8 at byte {error.start}; expected an OBO text file.") from None
    found = False
    for term in _stanzas(text):
        found = True
        yield from _term_rows(term, source)
    if not found:
        raise DataError(f"{source.path}: no [Term] stanza found; expected an ontology in OBO format.")


def _stanzas(text: str) -> Iterator[Stanza]:
    term: Stanza | None = None
    for line in [*text.splitlines(), "[End]"]:
        if line.startswith("["):
            if term:
                yield term
            term = {} if line.strip() == "[Term]" else None
        elif term is not None and ": " in line:
            tag, value = line.split(": ", 1)
            term.setdefault(tag, []).append(value.strip())


def _term_rows(term: Stanza, source: SourceConfig) -> Rows:
    if term.get("is_obsolete") == ["true"]:
        yield Dropped("obsolete term")
        return
    definition = _QUOTED.match(term.get("def", [""])[0])
    if definition is None or not definition[1].strip() or "id" not in term:
        yield Dropped("term without definition")
        return
    term_id, answer = term["id"][0], _unescape(definition[1])
    yield Document(term_id, answer, source.language)
    padded_answer = f" {normalize_text(answer)} "
    seen: set[str] = set()
    for text, tags in _labels(term):
        normalized = normalize_text(text)
        if normalized in seen:
            yield Dropped("label repeated in its term")
        elif f" {normalized} " in padded_answer:
            yield Dropped("query contained in its definition")
        else:
            query_id = f"{term_id}#{len(seen)}"
            yield Query(query_id, text, source.language, group_id=term_id, tags=tags)
            yield Judgment(query_id, term_id)
        seen.add(normalized)


def _labels(term: Stanza) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Lay synonyms first: where a label stands twice, the copy with the tag is the one that is kept."""
    synonyms = [match for value in term.get("synonym", []) if (match := _SYNONYM.match(value))]
    tagged = [(_unescape(match[1]), ("synonym", _TAGS[match[2]])) for match in synonyms if match[2] in _TAGS]
    yield from sorted(tagged, key=lambda label: LAY not in label[1])
    yield from ((_unescape(name), ("name",)) for name in term.get("name", []))
    yield from ((_unescape(match[1]), ("synonym",)) for match in synonyms if match[2] not in _TAGS)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": " ", "t": " "}.get(match[1], match[1]), text)
