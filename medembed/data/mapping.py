"""Which fields of a source mean what: declared, or found by the names in use across tools."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medembed.data.column_names import (
    CHAT_FIELDS,
    NAMES,
    NUMBERED_NEGATIVE,
    SOURCE,
    Keys,
    are_known,
    ask_for_header,
    explain_absent,
    first_known,
    fold_name,
    language_of,
    show_columns,
)
from medembed.data.reading import ColumnsConfig, ReadingConfig
from medembed.errors import DataError
from medembed.language import tr

Paths = tuple[str, ...]
# Lists of objects with docid, title and text, as Tevatron has them: which fields of each object are
# read.
_NESTED: dict[Paths, Paths] = {
    ("positive_passages",): ("positive_passages.title", "positive_passages.text"),
    ("negative_passages",): ("negative_passages.title", "negative_passages.text"),
}
_NESTED_IDS: dict[Paths, Paths] = {("positive_passages",): ("positive_passages.docid",)}
# Others must be in the first rows: a misspelt group would go unseen, and leak between splits.
_MAY_BE_RARE = ("negative", "title", "synonyms", "tags")
NEEDS: dict[str, Paths] = {
    "pairs": ("query", "document"),
    "triplets": ("query", "document", "negative"),
    "scores": ("query", "document", "score"),
    "classes": ("document", "label"),
    "documents": ("document",),
    "questions": ("query",),
    "qrels": ("query_id", "document_id"),
    "parallel": ("parallel",),
    "chat": (),
}
# roles that a shape may have beside those, and those of every shape
_MAY_HAVE: dict[str, Paths] = {
    "classes": (),
    "documents": ("title", "synonyms"),
    "questions": ("query_id", "score"),
    "qrels": ("score",),
    "parallel": (),
    "chat": (),
}
_ANY_MAY_HAVE = ("group", "split", "language")
# first of two sentences, whose label judges the pair (paraphrase or not)
_FIRST_SENTENCE = ("sentence1", "sentence_a", "text1", "phrase1", "phrase_1", "texte1", "texte_1")


@dataclass(frozen=True)
class Mapping:
    """A source's shape, the fields of each role, and all fields that the first rows have.

    `names` is empty where columns are fixed, so that none can come late. `keys` are the config keys
    by which a user says otherwise.
    """

    shape: str
    columns: ColumnsConfig
    names: tuple[str, ...] = ()
    keys: Keys = SOURCE

    def unused(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that nothing uses."""
        used = set(CHAT_FIELDS) if self.shape == "chat" else set()
        for path in self.columns.role_of:
            used |= {path, path.split(".")[0]}
        return [name for name in names if name not in used]

    def describe(self) -> str:
        """Return the mapping on one line for people."""
        roles = ", ".join(f"{role} = {' + '.join(paths)}" for role, paths in self.columns if paths)
        unused = self.unused(self.names)
        shown = show_columns(unused, is_header=False)
        return tr(
            "read as {shape}: {roles}{rest}",
            shape=self.shape,
            roles=roles or tr("by their fields"),
            rest=tr("; not used: {columns}", columns=shown) if unused else "",
        )


def find_mapping(
    names: Sequence[str], source: ReadingConfig, *, is_header: bool = False
) -> Mapping:
    """Return the mapping of rows with these fields; `is_header`: they are the first row of a table.

    Raises DataError if they fit no shape, or not the declared one.
    """
    declared = {role: paths for role, paths in source.columns if paths}
    for role, paths in declared.items():
        starts = {*paths, *(path.split(".")[0] for path in paths)}
        if role not in _MAY_BE_RARE and starts.isdisjoint(names):
            absent = explain_absent(role, paths[0], names, SOURCE, is_header=is_header)
            raise DataError("{place}: {fault}", place=source.path, fault=absent)
    shape = _find_shape(names, declared, source)
    if shape is None:
        raise DataError(_explain_no_shape(names, source, is_header))
    if shape == "parallel" and (source.query_language or source.document_language):
        raise DataError(
            "{path}: found source.query_language or source.document_language, but "
            "parallel texts have a language by column: leave it out, and name the columns by "
            "their languages, e.g. fr and en.",
            path=source.path,
        )
    fields = _choose_fields(shape, names, declared)
    missing = [role for role in NEEDS[shape] if not fields[role]]
    if missing:
        raise DataError(
            "{path}: columns {columns} lack the {roles} of {shape}; name it, e.g. "
            "source.columns.{role}=your_column.",
            path=source.path,
            columns=show_columns(names, is_header=is_header),
            roles=tr(" and ").join(missing),
            shape=shape,
            role=missing[0],
        )
    read = {*_roles(shape), "document_id", "tags"}
    columns = ColumnsConfig(**{role: paths for role, paths in fields.items() if role in read})
    return Mapping(shape, columns, tuple(names))


def find_own_mapping(names: Sequence[str], source: ReadingConfig) -> Mapping:
    """Return the mapping of one file of a source, which may lack columns that others have."""
    own: dict[str, Paths] = {}
    for role, paths in source.columns:
        is_there = any(path in names or path.split(".")[0] in names for path in paths)
        own[role] = paths if is_there or role in _MAY_BE_RARE else ()
    return find_mapping(names, source.model_copy(update={"columns": ColumnsConfig(**own)}))


def _explain_no_shape(names: Sequence[str], source: ReadingConfig, is_header: bool) -> str:
    if is_header and not are_known(names):
        asked = ask_for_header(names, SOURCE)
        return tr(
            "{path}: {asked} If there is, it must be the first row; name yours, e.g. "
            "source.columns.query=your_column.",
            path=source.path,
            asked=asked,
        )
    return tr(
        "{path}: columns {columns} fit no shape; expected query and document, triplets, sentence "
        "pairs with a score, text and label, title and text, or fr and en. Name yours, e.g. "
        "source.columns.query={example}.",
        path=source.path,
        columns=show_columns(names, is_header=is_header),
        example=tr("your_column") if source.header else 1,
    )


def _find_shape(
    names: Sequence[str], declared: dict[str, Paths], source: ReadingConfig
) -> str | None:
    if "messages" in names or {"input", "preferred_output"} <= set(names):
        return "chat"
    if source.shape != "auto":
        return source.shape
    if "parallel" in declared:
        return "parallel"

    others = [name for name in names if name not in source.columns.document_id]

    def has(role: str) -> bool:
        return role in declared or bool(_find_fields(role, others))

    if has("query") and (has("document") or has("text")):
        if has("negative"):
            return "triplets"
        return "scores" if has("score") else _judge_label(names, declared, source)
    if has("text") or "document" in declared:
        return "classes" if has("label") else "documents"
    if has("query"):
        is_joined = has("document_id") or has("own_id") or has("query_id")
        return "questions" if is_joined else None
    if has("query_id") and has("document_id"):
        return "qrels"
    return "parallel" if has("parallel") else None


def _judge_label(names: Sequence[str], declared: dict[str, Paths], source: ReadingConfig) -> str:
    """Return whether a label beside query and document scores the pair.

    Raises DataError if unclear.
    """
    taken = source.columns.role_of
    label = first_known(["label"], [name for name in names if name not in taken])
    if label is None:
        return "pairs"
    if "query" not in declared and fold_name(_find_fields("query", names)[0]) in _FIRST_SENTENCE:
        return "scores"
    raise DataError(
        "{path}: {label!r} beside query and document may judge the pair or be its "
        "class; set source.columns.score={label} if it is a score, or source.shape=pairs "
        "if every row is a positive pair.",
        path=source.path,
        label=label,
    )


def _choose_fields(
    shape: str, names: Sequence[str], declared: dict[str, Paths]
) -> dict[str, Paths]:
    """Return the fields of each role of a shape: as declared, or by the names in use."""
    fields = dict(declared)
    if shape in ("classes", "documents", "parallel"):
        fields.setdefault("document_id", _find_fields("own_id", names))
    if shape in ("classes", "documents"):
        fields.setdefault("document", _find_fields("text", names))
        if "document" not in declared:  # "libellé" is a title beside a text, else the text itself
            names = [name for name in names if name not in fields["document"]]
    for role in _roles(shape):
        fields.setdefault(role, _find_fields(role, names))
    if shape == "scores" and not fields["score"]:
        fields["score"] = _find_fields("label", names)
    if shape == "questions":
        reference = fields.setdefault("document_id", _find_fields("document_id", names))
        own_id = _find_fields("own_id", [name for name in names if name not in reference])
        if not reference:
            fields["document_id"] = own_id
        elif not fields["query_id"]:
            fields["query_id"] = own_id
    if shape == "qrels":
        fields.setdefault("document_id", _find_fields("document_id", names))
    if shape in ("pairs", "triplets", "scores"):
        fields["document"] = fields["document"] or _find_fields("text", names)
        own_id = _NESTED_IDS.get(fields["document"]) or _find_fields("document_id", names)
        fields.setdefault("document_id", own_id)
    return {role: _NESTED.get(paths, paths) for role, paths in fields.items()}


def _roles(shape: str) -> Paths:
    return (*NEEDS[shape], *_MAY_HAVE.get(shape, ("query_id",)), *_ANY_MAY_HAVE)


def _find_fields(role: str, names: Sequence[str]) -> Paths:
    """Return the field of a role by the names in use; of negatives, the numbered ones too.

    Parallel texts stand in two columns or more that are named by their languages.
    """
    if role == "parallel":
        languages = tuple(name for name in names if language_of(name))
        return languages if len(languages) > 1 else ()
    name = first_known(NAMES[role], names)
    fields = (name,) if name is not None else ()
    if role != "negative":
        return fields
    numbered = [name for name in names if NUMBERED_NEGATIVE.fullmatch(fold_name(name))]
    return (*fields, *sorted(numbered, key=lambda name: int(re.findall(r"\d+", name)[0])))
