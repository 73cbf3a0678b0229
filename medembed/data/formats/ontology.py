"""An ontology in OBO format -> rows: definitions are the documents, names and synonyms the queries.

What gives the answer away stays out. A document is a term's definition alone, without its name, its
synonyms or comments: with them, a synonym query would find its own words. And a query that stands
word for word in the definition of its term is left out and counted, since matching strings would
answer it.

Format: OBO 1.4 flat file, "Term" stanzas with the tags id, name, def, synonym, is_obsolete.
"""

import re
from collections.abc import Iterator

from medembed.data.formats.format import Format, Part
from medembed.data.formats.lines import TextFile
from medembed.data.reading import ReadingConfig
from medembed.data.rows import Document, Judgment, Query, Record
from medembed.errors import DataError
from medembed.language import to_translate
from medembed.schema import WEAK
from medembed.spelling import words_key

LAY = "lay"
_TAGS = {
    "layperson": LAY,
    "abbreviation": "abbreviation",
    "uk_spelling": "uk_spelling",
    "plural_form": "plural_form",
}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(?:EXACT|BROAD|NARROW|RELATED)\s+(\S*)\s*\[')

Stanza = dict[str, list[str]]


def read_ontology(part: Part, source: ReadingConfig) -> Iterator[Record]:
    """Yield a record of every term; those that are obsolete or without definition are counted.

    A query is tagged "name" or "synonym", and with its synonym type where the file gives one
    ("lay", ...). All but lay synonyms are weak: they come from the ontology's structure, while lay
    ones were collected to be what people ask.
    """
    count = 0
    for term in _read_terms(part):
        count += 1
        yield _to_record(term, source)
    if not count:
        raise DataError(
            "{uri}: no [Term] stanza found; expected an ontology in OBO format.", uri=part.uri
        )


def _read_terms(part: Part) -> Iterator[Stanza]:
    term: Stanza | None = None
    with TextFile(part.uri, part.encoding) as file:
        for _, line in file.texts():
            if line.startswith("["):
                if term:
                    yield term
                term = {} if line.strip() == "[Term]" else None
            elif term is not None and ": " in line:
                tag, value = line.split(": ", 1)
                term.setdefault(tag, []).append(value.strip())
    if term:
        yield term


def _to_record(term: Stanza, source: ReadingConfig) -> Record:
    if term.get("is_obsolete") == ["true"]:
        return Record(dropped=(to_translate("obsolete term"),))
    definition = _QUOTED.match(term.get("def", [""])[0])
    if definition is None or not definition[1].strip() or "id" not in term:
        return Record(dropped=(to_translate("term without definition"),))
    term_id = term["id"][0]
    answer = _unescape(definition[1])
    padded_answer = f" {words_key(answer)} "
    seen: set[str] = set()
    queries: list[Query] = []
    dropped: list[str] = []
    for text, tags in _labels(term):
        normalized = words_key(text)
        if normalized in seen:
            dropped.append(to_translate("label repeated in its term"))
        elif f" {normalized} " in padded_answer:
            dropped.append(to_translate("query contained in its definition"))
        else:
            weak = () if LAY in tags else (WEAK,)
            queries.append(
                Query(text, f"{term_id}#{len(seen)}", source.query_language, (*tags, *weak))
            )
        seen.add(normalized)
    judgments = tuple(Judgment(number, 0) for number in range(len(queries)))
    document = Document(answer, term_id, source.document_language)
    return Record((document,), tuple(queries), judgments, dropped=tuple(dropped))


def _labels(term: Stanza) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the names of a term with their tags, lay synonyms first, as the first of two stays."""
    synonyms = [match for value in term.get("synonym", []) if (match := _SYNONYM.match(value))]
    tagged = [
        (_unescape(match[1]), ("synonym", _TAGS[match[2]]))
        for match in synonyms
        if match[2] in _TAGS
    ]
    yield from sorted(tagged, key=lambda label: LAY not in label[1])
    yield from ((_unescape(name), ("name",)) for name in term.get("name", []))
    yield from ((_unescape(match[1]), ("synonym",)) for match in synonyms if match[2] not in _TAGS)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": " ", "t": " "}.get(match[1], match[1]), text)


ONTOLOGY = Format(name="ontology", endings=(".obo",), read_records=read_ontology)
