"""What a row of each shape says: pairs, scores, classes, documents, parallel texts."""

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from medembed.data.column_names import NAMES, either, language_of
from medembed.data.config import SourceConfig
from medembed.data.mapping import Mapping
from medembed.data.reading import ColumnsConfig
from medembed.data.row_values import (
    decimal_sign,
    key_at,
    language_at,
    objects_at,
    sections_of,
    tags_at,
    texts_at,
    value_at,
)
from medembed.data.rows import Document, Fields, Judgment, Query, Record
from medembed.language import tr
from medembed.schema import PARALLEL_MARK, WEAK, content_hash
from medembed.spelling import words_key


@dataclass(frozen=True)
class Row:
    """A source row, and what its fields mean. `split` is its own, else that of its file.

    Methods raise ValueError with the fault, never the text.
    """

    fields: Fields
    mapping: Mapping
    source: SourceConfig
    split: str | None = None

    @cached_property
    def group(self) -> str | None:
        return key_at(self.fields, self.columns.group)

    @cached_property
    def language(self) -> str | None:
        return language_at(self.fields, self.columns.language)

    @property
    def columns(self) -> ColumnsConfig:
        return self.mapping.columns

    def texts(self, role: str) -> list[str]:
        """Return texts of a role that must have a field; [""] if there is nothing in it."""
        paths = getattr(self.columns, role)
        if not any(path in self.fields or self.has(path) for path in paths):
            raise ValueError(tr("no {role}: expected {columns}.", role=role, columns=either(paths)))
        return texts_at(self.fields, paths, role, self.source.join) or [""]

    def has(self, path: str) -> bool:
        return value_at(self.fields, path) is not None

    def text(self, role: str, called: str | None = None) -> str:
        """Return the one text of a role."""
        return only(self.texts(role), getattr(self.columns, role)[0], called or role)

    def document(self, text: str) -> Document:
        """Return the one document of the row, with the row's document id."""
        is_of_objects = objects_at(self.fields, self.columns.document_id)
        name = None if is_of_objects else key_at(self.fields, self.columns.document_id)
        return replace(self.answer(text), document_id=name)

    def answer(self, text: str) -> Document:
        """Return one of the row's documents.

        The row's id names one text, so none of several has it.
        """
        language = self.source.document_language or self.language
        return Document(text, language=language, group=self.group)

    def query(self, text: str) -> Query:
        """Return the row's query."""
        columns = self.columns
        language = self.source.query_language or self.language
        tags = tags_at(self.fields, columns.tags)
        name = key_at(self.fields, columns.query_id)
        return Query(text, name, language, tags, self.group, self.split)

    def weak_query(self, text: str) -> Query:
        """Return a query made of a document's own structure; it is in no split of the source."""
        query = self.query(text)
        return replace(query, tags=(WEAK, *query.tags), split=None)


def pair(row: Row) -> Record:
    """Return pairs and triplets: one query, its documents, and those judged not relevant."""
    positives = _passages(row, "document")
    if positives is None:
        positives = [_Passage(text) for text in row.texts("document")]
    positives = positives or [_Passage("")]
    negatives = _passages(row, "negative")
    if negatives is None:
        negatives = []
        for path in row.columns.negative:
            texts = texts_at(row.fields, (path,), "negative", row.source.join)
            negatives += [_Passage(text) for text in texts if text]
    passages = [*positives, *negatives]
    documents: list[Document] = []
    for passage in passages:
        make = row.document if len(passages) == 1 else row.answer
        document = make(passage.text)
        name = passage.document_id or document.document_id
        documents.append(replace(document, document_id=name))
    judgments = [Judgment(0, n, float(n < len(positives))) for n in range(len(documents))]
    return Record(tuple(documents), (row.query(row.text("query")),), tuple(judgments))


def scored(row: Row) -> Record:
    """Return a pair with its similarity; its score is 0 below `positive_from`."""
    text = row.text("document")
    judged = by_similarity(row, 0)
    return Record((row.document(text),), (row.query(row.text("query")),), (judged,))


def by_similarity(row: Row, document: int | str) -> Judgment:
    """Return the row's score as a judgment. Raises ValueError outside `score_range`."""
    low, high = row.source.score_range
    (path,) = row.columns.score[:1]
    score = read_number(value_at(row.fields, path), path)
    if not low <= score <= high:
        raise ValueError(
            tr(
                "score {score:g} is outside {low:g} to {high:g}; name the scale, e.g. "
                "source.score_range=[0,5], or set source.shape=pairs if it is no similarity.",
                score=score,
                low=low,
                high=high,
            )
        )
    similarity = (score - low) / (high - low)
    grade = similarity if similarity >= row.source.positive_from else 0.0
    return Judgment(0, document, grade, similarity)


def classed(row: Row) -> Record:
    """Return a text with its class."""
    label = key_at(row.fields, row.columns.label)
    if label is None:
        path = row.columns.label[0]
        raise ValueError(tr("missing or empty {path!r}; a text needs its class.", path=path))
    document = row.document(row.text("document", "text"))
    return Record((replace(document, label=label, split=row.split),))


def listed(row: Row) -> Record:
    """Return a document, asked for by its title, its other names and its sections' headings."""
    join = row.source.join
    titles = texts_at(row.fields, row.columns.title, "title", join)
    names = [*titles, *texts_at(row.fields, row.columns.synonyms, "synonyms", join)]
    text = join.join(row.texts("document"))
    document = replace(row.document(text), split=row.split)
    sections = sections_of(text) if row.source.by_section else []
    if len(sections) > 1:
        return _in_sections(row, document, sections, titles[:1])
    queries = tuple(row.weak_query(name) for name in names if name.strip())
    return Record((document,), queries, tuple(Judgment(n, 0) for n in range(len(queries))))


def _in_sections(
    row: Row, whole: Document, sections: list[tuple[str, str]], title: list[str]
) -> Record:
    """Return a document of each section, asked for by its heading; all stay in one group."""
    own_id = whole.document_id
    group = whole.group or own_id or content_hash(whole.text)
    documents: list[Document] = []
    queries: list[Query] = []
    judgments: list[Judgment] = []
    for number, (heading, text) in enumerate(sections):
        name = own_id and f"{own_id}#section-{number}"
        documents.append(replace(whole, text=text, document_id=name, group=group))
        asked = " ".join([*title, heading])
        if asked.strip():
            judgments.append(Judgment(len(queries), number))
            queries.append(replace(row.weak_query(asked), group=group))
    return Record(tuple(documents), tuple(queries), tuple(judgments))


def parallel(row: Row) -> Record:
    """Return texts that say the same: each is a document, and a query that the others answer.

    Two of the same words, as names of drugs are, do not answer each other.
    """
    texts: dict[str, str] = {}
    for path in row.columns.parallel:
        of_path = texts_at(row.fields, (path,), "text", row.source.join) or [""]
        texts[path] = only(of_path, path, "text")
    name = key_at(row.fields, row.columns.document_id)
    if name is None:
        name = content_hash("\n".join(texts.values()))[:16]
    documents: list[Document] = []
    queries: list[Query] = []
    for path, text in texts.items():
        language = language_of(path) or row.language
        own_id = f"{name}{PARALLEL_MARK}{path}"
        document = replace(row.answer(text), document_id=own_id, language=language, column=path)
        documents.append(document)
        query = replace(row.query(text), query_id=own_id, language=language, column=path)
        queries.append(query)
    words = [words_key(text) for text in texts.values()]
    pairs = itertools.permutations(range(len(texts)), 2)
    judgments = tuple(Judgment(q, d) for q, d in pairs if words[q] != words[d])
    return Record(tuple(documents), tuple(queries), judgments)


def own_text(row: Row) -> Record:
    """Return a text with its id, as `encode` reads them; no text where the row has none.

    Raises ValueError if the row has other columns instead of those that the first rows have.
    """
    columns = row.columns
    is_odd = not set(row.mapping.names).issuperset(row.fields)
    for role, paths in (("id", columns.document_id), ("text", columns.document)):
        if row.mapping.names and is_odd and not any(map(row.has, paths)):
            raise ValueError(tr("no {role}: expected {columns}.", role=role, columns=either(paths)))
    texts = texts_at(row.fields, columns.document, "text", row.source.join)
    text = only(texts or [""], columns.document[0], "text")
    return Record((Document(text, key_at(row.fields, columns.document_id)),))


@dataclass(frozen=True)
class _Passage:
    """The text of one of a row's documents, and its own id if it is an object that has one."""

    text: str
    document_id: str | None = None


def _passages(row: Row, role: str) -> list[_Passage] | None:
    """Return what the objects of a list say, as in "passages.text"; None if there is no list.

    An object's id is in the field that the path of the document id ends with, or has one of the
    names in use.
    """
    paths = getattr(row.columns, role)
    objects = objects_at(row.fields, paths)
    if objects is None:
        return None
    names = [path.rpartition(".")[2] for path in paths]
    ids = [path.rpartition(".")[2] for path in row.columns.document_id if "." in path]
    passages = []
    for item in objects:
        texts = texts_at(item, names, role, row.source.join)
        name = key_at(item, [*ids, *NAMES["document_id"]])
        passages.append(_Passage(only(texts or [""], paths[0], role), name))
    return passages


def only(texts: list[str], path: str, role: str) -> str:
    """Return the one text of a list. Raises ValueError if there are several."""
    if len(texts) > 1:
        raise ValueError(
            tr(
                "{path!r} is a list of {count}; a row has one {role}.",
                path=path,
                count=len(texts),
                role=role,
            )
        )
    return texts[0]


def read_number(value: Any, name: str) -> float:
    """Return a finite number, also of a text with a decimal comma. Raises ValueError."""
    try:
        if decimal_sign(value) == ",":
            value = value.replace(",", ".")
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(tr("{name!r} is not a number.", name=name)) from None
    if not math.isfinite(number):
        raise ValueError(tr("{name!r} is not a finite number.", name=name))
    return number
