"""Which fields of a source mean what: declared, or found by the names in use across tools."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medembed.data.column_names import (
    CHAT_FIELDS,
    NAMES,
    NUMBERED_NEGATIVE,
    SOURCE,
    are_known,
    ask_for_header,
    explain_absent,
    show_columns,
)
from medembed.data.config import ColumnsConfig, SourceConfig
from medembed.errors import DataError

# Lists of objects with docid, title and text, as Tevatron has them: which fields of each object are
# read.
_NESTED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("positive_passages",): ("positive_passages.title", "positive_passages.text"),
    ("negative_passages",): ("negative_passages.title", "negative_passages.text"),
}
_NESTED_IDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("positive_passages",): ("positive_passages.docid",)
}
# A misspelt one of these would go unseen, and a group that is not read is a leak between splits.
_IN_EVERY_ROW = (
    "query",
    "document",
    "score",
    "label",
    "query_id",
    "document_id",
    "group",
    "split",
    "language",
)
_NEEDS: dict[str, tuple[str, ...]] = {
    "pairs": ("query", "document"),
    "triplets": ("query", "document", "negative"),
    "scores": ("query", "document", "score"),
    "classes": ("document", "label"),
    "documents": ("document",),
    "chat": (),
}
_USES = {
    "pairs": ("query_id", "group", "split", "language"),
    "triplets": ("query_id", "group", "split", "language"),
    "scores": ("query_id", "group", "split", "language"),
    "classes": ("group", "split", "language"),
    "documents": ("title", "synonyms", "group", "split", "language"),
    "chat": ("group", "split", "language"),
}


@dataclass(frozen=True)
class Mapping:
    """A source's shape, the fields of each role, and the names of all fields that rows were seen to
    have.
    """

    shape: str
    columns: ColumnsConfig
    names: tuple[str, ...] = ()

    @property
    def used(self) -> set[str]:
        """Names and paths that are read, and the fields that the paths start from."""
        paths = {path for _, paths in self.columns for path in paths}
        return paths | {path.split(".")[0] for path in paths}

    @property
    def unused(self) -> tuple[str, ...]:
        """The names that nothing uses."""
        used = self.used | (CHAT_FIELDS if self.shape == "chat" else set())
        return tuple(name for name in self.names if name not in used)

    def describe(self) -> str:
        """The mapping on one line for people."""
        roles = ", ".join(f"{role} = {' + '.join(paths)}" for role, paths in self.columns if paths)
        rest = f"; not used: {show_columns(self.unused, is_header=False)}" if self.unused else ""
        return f"read as {self.shape}: {roles or 'by their fields'}{rest}"


def find_mapping(names: Sequence[str], source: SourceConfig, *, is_header: bool = False) -> Mapping:
    """Return the mapping for rows with these field names; `is_header`: they are the first row of a
    table.

    Raises DataError if they fit no shape, or not the declared one.
    """
    declared = {role: paths for role, paths in source.columns if paths}
    _check_declared(names, declared, source, is_header)
    shape = _shape(names, declared, source)
    if shape is None:
        raise DataError(_explain_no_shape(names, source, is_header))
    fields = _choose_fields(shape, names, declared)
    missing = [role for role in _NEEDS[shape] if not fields[role]]
    if missing:
        raise DataError(
            f"{source.path}: columns {show_columns(names, is_header=is_header)} lack the "
            f"{' and '.join(missing)} of {shape}; name it, e.g. "
            f"source.columns.{missing[0]}=your_column."
        )
    allowed = {*_NEEDS[shape], *_USES[shape], "document_id", "tags"}
    kept = {role: paths for role, paths in fields.items() if role in allowed}
    return Mapping(shape, ColumnsConfig(**kept), tuple(names))


def widen_mapping(mapping: Mapping, late: Sequence[str], source: SourceConfig) -> Mapping:
    """Return the mapping with columns that only later rows have.

    Rows without these columns say the same by both. Raises DataError that gives no place if they
    would not: if another shape fits now, or a role would be another column's.
    """
    wider = find_mapping([*mapping.names, *late], source)
    same_shape = wider.shape == mapping.shape or (mapping.shape, wider.shape) == (
        "pairs",
        "triplets",
    )
    if same_shape and all(
        set(paths) <= set(getattr(wider.columns, role)) for role, paths in mapping.columns
    ):
        return wider
    raise DataError(
        f"with it rows would be {wider.describe()}; those before are {mapping.describe()}. Say "
        "which: name the columns, e.g. source.columns.document=..., or set source.shape."
    )


BEIR_ROLES = ("document", "language", "group", "tags")  # that can be declared


def beir_mapping(kind: str, source: SourceConfig) -> Mapping:
    """The fixed mapping of a BEIR file; of a document, title and text are joined unless the config
    says otherwise.
    """
    shared = {"language": source.columns.language, "group": source.columns.group}
    if kind == "corpus":
        columns = ColumnsConfig(
            document=source.columns.document or ("title", "text"), document_id=("_id",)
        )
        return Mapping("corpus", columns.model_copy(update=shared))
    if kind == "queries":
        columns = ColumnsConfig(query=("text",), query_id=("_id",), tags=source.columns.tags)
        return Mapping("queries", columns.model_copy(update=shared))
    return Mapping(
        "qrels", ColumnsConfig(query_id=("query-id",), document_id=("corpus-id",), score=("score",))
    )


def _check_declared(
    names: Sequence[str],
    declared: dict[str, tuple[str, ...]],
    source: SourceConfig,
    is_header: bool,
) -> None:
    for role, paths in declared.items():
        if role in _IN_EVERY_ROW and not any(
            path in names or path.split(".")[0] in names for path in paths
        ):
            absent = explain_absent(role, paths[0], names, SOURCE, is_header=is_header)
            raise DataError(f"{source.path}: {absent}")


def _explain_no_shape(names: Sequence[str], source: SourceConfig, is_header: bool) -> str:
    if is_header and not are_known(names):
        asked = ask_for_header(names, SOURCE)
        return (
            f"{source.path}: {asked} If there is, name yours, e.g. "
            "source.columns.query=your_column."
        )
    example = "your_column" if source.header else "1"
    return (
        f"{source.path}: columns {show_columns(names, is_header=is_header)} fit no shape; expected "
        "query and document, triplets, sentence pairs with a score, text and label, or title and "
        f"text. Name yours, e.g. source.columns.query={example}."
    )


def _shape(
    names: Sequence[str], declared: dict[str, tuple[str, ...]], source: SourceConfig
) -> str | None:
    if {"messages"} <= set(names) or {"input", "preferred_output"} <= set(names):
        return "chat"
    if source.format == "openai" and "prompt" not in names:
        return "chat"
    return _shape_of_columns(names, declared, source) if source.shape == "auto" else source.shape


def _shape_of_columns(
    names: Sequence[str], declared: dict[str, tuple[str, ...]], source: SourceConfig
) -> str | None:
    def has(role: str) -> bool:
        return role in declared or bool(_find_fields(role, names))

    if has("query") and (has("document") or has("text")):
        if has("negative"):
            return "triplets"
        if has("score"):
            return "scores"
        taken = {path for paths in declared.values() for path in paths}
        label = next(
            (name for name in names if name.lower() == "label" and name not in taken), None
        )
        if label is None:
            return "pairs"
        # Two sentences with a label are a pair with a judgment (paraphrase or not): a score of 0 or
        # 1.
        if "query" not in declared and _first("query", names)[0].lower() in (
            "sentence1",
            "sentence_a",
            "text1",
        ):
            return "scores"
        raise DataError(
            f"{source.path}: {label!r} beside query and document may judge the pair or be its "
            f"class; set source.columns.score={label} if it is a score, or source.shape=pairs if "
            "every row is a positive pair."
        )
    if has("text") or "document" in declared:
        return "classes" if has("label") else "documents"
    return None


def _choose_fields(
    shape: str, names: Sequence[str], declared: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The fields of each role of a shape: as declared, or by the names in use."""
    fields = dict(declared)
    if shape in ("classes", "documents"):
        fields.setdefault("document", _first("text", names))
        fields.setdefault("document_id", _first("own_id", names))
    for role in (*_NEEDS[shape], *_USES[shape]):
        fields.setdefault(role, _find_fields(role, names))
    if shape == "scores" and not fields["score"]:
        fields["score"] = _first("label", names)
    if shape in ("pairs", "triplets", "scores"):
        fields["document"] = fields["document"] or _first("text", names)
        fields.setdefault(
            "document_id", _NESTED_IDS.get(fields["document"], _first("document_id", names))
        )
    return {role: _NESTED.get(paths, paths) for role, paths in fields.items()}


def _find_fields(role: str, names: Sequence[str]) -> tuple[str, ...]:
    return _negatives(names) if role == "negative" else _first(role, names)


def _first(role: str, names: Sequence[str]) -> tuple[str, ...]:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next(((by_lower[name.lower()],) for name in NAMES[role] if name.lower() in by_lower), ())


def _negatives(names: Sequence[str]) -> tuple[str, ...]:
    """A column of negatives, and the numbered ones that sentence-transformers writes (negative_1,
    ...).
    """
    numbered = [name for name in names if NUMBERED_NEGATIVE.fullmatch(name.lower())]
    return (
        *_first("negative", names),
        *sorted(numbered, key=lambda name: int(re.findall(r"\d+", name)[0])),
    )
