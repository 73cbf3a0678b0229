"""A source row -> a record: the four shapes, documents without queries, chats, and BEIR's three
files.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medembed.data.column_names import NAMES
from medembed.data.config import SourceConfig
from medembed.data.fields import (
    key_at,
    language_at,
    objects_at,
    sections_of,
    tags_at,
    texts_at,
    valid_text,
    value_at,
)
from medembed.data.mapping import Mapping
from medembed.data.rows import Document, Fields, Judgment, Qrel, Query, Record
from medembed.schema import SPLITS, WEAK, content_hash

_OTHER_NAMES = {
    "training": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "development": "dev",
    "eval": "dev",
    "testing": "test",
}


def to_record(
    fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None = None
) -> Record:
    """What a row says. `split` is that of its file. Raises ValueError with the fault, never the
    text.
    """
    return _SHAPES[mapping.shape](fields, mapping, source, _split(fields, mapping, split))


def _pair(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    """Pairs and triplets: one query, its documents, and those judged not relevant."""
    positives = _passages(fields, "document", mapping, source)
    if positives is None:
        positives = [_Passage(text) for text in _required(fields, "document", mapping, source)]
    negatives = _passages(fields, "negative", mapping, source)
    if negatives is None:
        negatives = [_Passage(text) for text in _negatives(fields, mapping, source)]
    positives = positives or [_Passage("")]
    passages = [*positives, *negatives]
    documents = _documents(
        [row.text for row in passages], fields, mapping, source, len(passages) == 1
    )
    named = tuple(
        replace(document, document_id=row.document_id or document.document_id)
        for document, row in zip(documents, passages, strict=True)
    )
    judgments = [
        Judgment(0, number, float(number < len(positives))) for number in range(len(documents))
    ]
    return Record(named, (_query(fields, mapping, source, split),), tuple(judgments))


def _scored(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    """A pair with a similarity: positive from `positive_from`, else judged not relevant; the
    similarity is kept.
    """
    text = _only(
        _required(fields, "document", mapping, source), mapping.columns.document[0], "document"
    )
    low, high = source.score_range
    score = _number(value_at(fields, mapping.columns.score[0]), mapping.columns.score[0])
    if not low <= score <= high:
        raise ValueError(
            f"score {score:g} is outside {low:g} to {high:g}; name the scale, e.g. "
            "source.score_range=[0,5], or set source.shape=pairs if it is no similarity."
        )
    similarity = (score - low) / (high - low)
    grade = similarity if similarity >= source.positive_from else 0.0
    documents = _documents([text], fields, mapping, source, True)
    return Record(
        documents, (_query(fields, mapping, source, split),), (Judgment(0, 0, grade, similarity),)
    )


def _classed(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    label = key_at(fields, mapping.columns.label)
    if label is None:
        raise ValueError(f"missing or empty {mapping.columns.label[0]!r}; a text needs its class.")
    text = _only(
        _required(fields, "document", mapping, source), mapping.columns.document[0], "text"
    )
    (document,) = _documents([text], fields, mapping, source, True)
    return Record(
        (
            Document(
                document.text, document.document_id, document.language, label, document.group, split
            ),
        )
    )


def _document(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    """A document whose own structure asks for it: its title, its other names, the headings of its
    sections.
    """
    columns = mapping.columns
    titles = texts_at(fields, columns.title, "title", source.join)
    names = [*titles, *texts_at(fields, columns.synonyms, "synonyms", source.join)]
    texts = _required(fields, "document", mapping, source)
    whole = source.join.join(texts)
    (document,) = _documents([whole], fields, mapping, source, True)
    document = replace(document, split=split)
    sections = sections_of(whole) if source.by_section else []
    if len(sections) < 2:
        queries = tuple(_weak(name, fields, mapping, source) for name in names if name.strip())
        judgments = tuple(Judgment(number, 0) for number in range(len(queries)))
        return Record((document,), queries, judgments)
    own_id = document.document_id
    group = document.group or own_id or content_hash(whole)  # an article stays together
    documents = tuple(
        replace(
            document, text=text, document_id=own_id and f"{own_id}#section-{number}", group=group
        )
        for number, (_, text) in enumerate(sections)
    )
    asked = [" ".join([*titles[:1], heading]) for heading, _ in sections]
    kept = [(number, text) for number, text in enumerate(asked) if text.strip()]
    queries = tuple(_weak(text, fields, mapping, source, group) for _, text in kept)
    return Record(
        documents,
        queries,
        tuple(Judgment(position, number) for position, (number, _) in enumerate(kept)),
    )


def _chat(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    """OpenAI's fine-tuning rows: what a user asked and the assistant answered; preferred answers
    over others.
    """
    group = key_at(fields, mapping.columns.group)
    tags = tags_at(fields, mapping.columns.tags)
    language = source.query_language or language_at(fields, mapping.columns.language)
    answer_language = source.document_language or language_at(fields, mapping.columns.language)
    if "preferred_output" in fields:
        request = fields.get("input")
        asked = _last(request.get("messages") if isinstance(request, dict) else None, "user")
        answers = [(_last(fields.get("preferred_output"), "assistant"), 1.0)]
        answers += [(_last(fields.get("non_preferred_output"), "assistant"), 0.0)]
        documents = tuple(Document(text, language=answer_language) for text, _ in answers)
        queries = (Query(asked, None, language, tags, group, split),)
        return Record(
            documents,
            queries,
            tuple(Judgment(0, number, score) for number, (_, score) in enumerate(answers)),
        )
    turns = [
        (_message(row, "role"), _message(row, "content"), row)
        for row in _list(fields.get("messages"))
    ]
    pairs = [
        (asked, answer)
        for (role, asked, _), (next_role, answer, row) in itertools.pairwise(turns)
        if (role, next_role) == ("user", "assistant") and row.get("weight", 1)
    ]
    if not pairs:
        raise ValueError(
            "no user message followed by an assistant's; expected messages with role and content."
        )
    return Record(
        tuple(Document(answer, language=answer_language) for _, answer in pairs),
        tuple(Query(asked, None, language, tags, group, split) for asked, _ in pairs),
        tuple(Judgment(number, number) for number in range(len(pairs))),
    )


def _beir_document(
    fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None
) -> Record:
    texts = _required(fields, "document", mapping, source)
    documents = _documents([source.join.join(texts)], fields, mapping, source, True)
    if documents[0].document_id is None:
        raise ValueError("missing '_id'; BEIR's documents need one.")
    return Record(documents)


def _beir_query(
    fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None
) -> Record:
    query = _query(fields, mapping, source, None)
    if query.query_id is None:
        raise ValueError("missing '_id'; BEIR's queries need one.")
    return Record(queries=(query,))


def _beir_qrel(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Record:
    query_id, document_id = fields.get("query-id"), fields.get("corpus-id")
    if not query_id or not document_id:
        raise ValueError(
            "missing query-id or corpus-id; expected the columns query-id, corpus-id and score."
        )
    score = _number(fields.get("score"), "score")
    return Record(qrels=(Qrel(query_id, document_id, max(score, 0.0), split),))


_SHAPES: dict[str, Callable[[Fields, Mapping, SourceConfig, str | None], Record]] = {
    "pairs": _pair,
    "triplets": _pair,
    "scores": _scored,
    "classes": _classed,
    "documents": _document,
    "chat": _chat,
    "corpus": _beir_document,
    "queries": _beir_query,
    "qrels": _beir_qrel,
}


def _query(fields: Fields, mapping: Mapping, source: SourceConfig, split: str | None) -> Query:
    columns = mapping.columns
    return Query(
        _only(_required(fields, "query", mapping, source), columns.query[0], "query"),
        key_at(fields, columns.query_id),
        source.query_language or language_at(fields, columns.language),
        tags_at(fields, columns.tags),
        key_at(fields, columns.group),
        split,
    )


def _weak(
    text: str, fields: Fields, mapping: Mapping, source: SourceConfig, group: str | None = None
) -> Query:
    columns = mapping.columns
    language = source.query_language or language_at(fields, columns.language)
    tags = (WEAK, *tags_at(fields, columns.tags))
    return Query(text, None, language, tags, group or key_at(fields, columns.group))


def _documents(
    texts: Sequence[str], fields: Fields, mapping: Mapping, source: SourceConfig, has_id: bool
) -> tuple[Document, ...]:
    """Documents of one row. Its document id names one text, so rows with several give none of them
    that id.
    """
    columns = mapping.columns
    language = source.document_language or language_at(fields, columns.language)
    name = (
        key_at(fields, columns.document_id)
        if has_id and not objects_at(fields, columns.document_id)
        else None
    )
    group = key_at(fields, columns.group)
    return tuple(Document(text, name, language, group=group) for text in texts)


@dataclass(frozen=True)
class _Passage:
    """The text of one of a row's documents, and its own id if it is an object that has one."""

    text: str
    document_id: str | None = None


def _passages(
    fields: Fields, role: str, mapping: Mapping, source: SourceConfig
) -> list[_Passage] | None:
    """What the objects of a list say, as in "passages.text"; None if the role's paths lead to no
    such list.

    An object's id is in the field that the path of the document id ends with, or has one of the
    names in use.
    """
    paths = getattr(mapping.columns, role)
    objects = objects_at(fields, paths)
    if objects is None:
        return None
    names = [path.rpartition(".")[2] for path in paths]
    ids = [path.rpartition(".")[2] for path in mapping.columns.document_id if "." in path]
    passages = []
    for item in objects:
        texts = texts_at(item, names, role, source.join)
        passages.append(
            _Passage(
                _only(texts or [""], paths[0], role), key_at(item, [*ids, *NAMES["document_id"]])
            )
        )
    return passages


def _required(fields: Fields, role: str, mapping: Mapping, source: SourceConfig) -> list[str]:
    """Texts of a role that the row must have a field for; [] or [""] if there is nothing in it."""
    paths = getattr(mapping.columns, role)
    if not any(path in fields or value_at(fields, path) is not None for path in paths):
        raise ValueError(f"no {role}: expected {' or '.join(repr(path) for path in paths)}.")
    return texts_at(fields, paths, role, source.join) or [""]


def _only(texts: list[str], path: str, role: str) -> str:
    if len(texts) > 1:
        raise ValueError(f"{path!r} is a list of {len(texts)}; a row has one {role}.")
    return texts[0]


def _negatives(fields: Fields, mapping: Mapping, source: SourceConfig) -> list[str]:
    return [
        text
        for path in mapping.columns.negative
        for text in texts_at(fields, (path,), "negative", source.join)
        if text
    ]


def _number(value: Any, name: str) -> float:
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name!r} is not a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name!r} is not a finite number.")
    return number


def _split(fields: Fields, mapping: Mapping, split: str | None) -> str | None:
    named = (key_at(fields, mapping.columns.split) or split) if mapping.columns.split else split
    if named is None:
        return None
    name = _OTHER_NAMES.get(named.lower(), named.lower())
    if name not in SPLITS:
        what = f"split {split!r}" if named == split else f"{mapping.columns.split[0]!r} is no split"
        raise ValueError(f"{what}; expected train, dev (validation) or test.")
    return name


def _list(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _last(messages: Any, role: str) -> str:
    found = [_message(row, "content") for row in _list(messages) if _message(row, "role") == role]
    if not found:
        raise ValueError(f"no {role} message; expected messages with role and content.")
    return found[-1]


def _message(row: dict[str, Any], key: str) -> str:
    """A message's role or content; content in parts is joined from its text parts."""
    value = row.get(key)
    if isinstance(value, list):
        value = " ".join(part["text"] for part in _list(value) if isinstance(part.get("text"), str))
    return valid_text(value, key) if isinstance(value, str) else ""
