"""Which fields of a source mean what: declared, or found by the names in use across tools."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from medembed.data.config import ColumnsConfig, SourceConfig
from medembed.errors import DataError

# Names by role, the likeliest first. An empty part of a source config is filled from here.
NAMES: dict[str, tuple[str, ...]] = {
    "query": ("query", "question", "anchor", "prompt", "sentence_0", "sentence1", "sentence_A", "text1", "premise"),
    "document": (
        "document", "positive", "pos", "positives", "answer", "passage", "response", "completion", "sentence_1",
        "sentence2", "sentence_B", "text2", "hypothesis", "context",
    ),
    "negative": ("negative", "neg", "negatives", "hard_negative", "hard_negatives", "sentence_2"),
    "score": ("score", "similarity", "similarity_score", "relevance"),
    "label": ("label", "class", "category", "label_text", "intent"),
    "text": ("text", "body", "content", "contents", "abstract", "definition", "description", "document", "passage"),
    "title": ("title", "term", "name", "heading", "headline"),
    "synonyms": ("synonyms", "synonym", "aliases", "alt_labels"),
    "query_id": ("query_id", "qid", "query-id"),
    "document_id": ("document_id", "doc_id", "docid", "corpus-id", "corpus_id"),
    "own_id": ("document_id", "doc_id", "docid", "_id", "id"),
    "group": ("group_id",),
    "split": ("split",),
    "language": ("language", "lang"),
}  # fmt: skip
# A misspelt one of these would go unseen, and a group that is not read is a leak between splits.
_IN_EVERY_ROW = ("query", "document", "score", "label", "query_id", "document_id", "group", "split", "language")
_NEEDS = {
    "pairs": ("query", "document"), "triplets": ("query", "document", "negative"),
    "scores": ("query", "document", "score"), "classes": ("document", "label"), "documents": ("document",),
}  # fmt: skip
_USES = {
    "pairs": ("query_id", "group", "split", "language"), "triplets": ("query_id", "group", "split", "language"),
    "scores": ("query_id", "group", "split", "language"), "classes": ("group", "split", "language"),
    "documents": ("title", "synonyms", "group", "split", "language"),
}  # fmt: skip


@dataclass(frozen=True)
class Mapping:
    """A source's shape, the fields of each role, and the fields that nothing uses."""

    shape: str
    columns: ColumnsConfig
    unused: tuple[str, ...] = ()

    def describe(self) -> str:
        """The mapping on one line for people."""
        roles = ", ".join(f"{role} = {' + '.join(paths)}" for role, paths in self.columns if paths)
        rest = f"; not used: {', '.join(self.unused)}" if self.unused else ""
        return f"read as {self.shape}: {roles}{rest}"


def find_mapping(names: Sequence[str], source: SourceConfig) -> Mapping:
    """The mapping for rows with these field names. Raises DataError if they fit no shape, or not the declared one."""
    found = {role: paths for role, paths in source.columns if paths}
    _check_declared(names, found, source)
    shape = source.shape if source.shape != "auto" else _shape(names, found, source)
    if shape is None:
        raise DataError(
            f"{source.path}: columns {_shown(names)} fit no shape; expected query and document, triplets, sentence "
            "pairs with a score, text and label, or title and text. Name yours, e.g. source.columns.query=your_column."
        )
    if shape in ("classes", "documents"):
        found.setdefault("document", _first("text", names))
        found.setdefault("document_id", _first("own_id", names))
    for role in (*_NEEDS[shape], *_USES[shape]):
        found.setdefault(role, _negatives(names) if role == "negative" else _first(role, names))
    if shape == "scores" and not found["score"]:
        found["score"] = _first("label", names)
    if shape not in ("classes", "documents"):
        found["document"] = found["document"] or _first("text", names)
        found.setdefault("document_id", _first("document_id", names))
    missing = [role for role in _NEEDS[shape] if not found[role]]
    if missing:
        raise DataError(
            f"{source.path}: columns {_shown(names)} lack the {' and '.join(missing)} of {shape}; "
            f"name it, e.g. source.columns.{missing[0]}=your_column."
        )
    return _without_unused(shape, ColumnsConfig(**found), names)


def beir_mapping(kind: str, source: SourceConfig) -> Mapping:
    """The fixed mapping of a BEIR file; of a document, title and text are joined unless the config says otherwise."""
    shared = {"language": source.columns.language, "group": source.columns.group}
    if kind == "corpus":
        columns = ColumnsConfig(document=source.columns.document or ("title", "text"), document_id=("_id",))
        return Mapping("corpus", columns.model_copy(update=shared))
    if kind == "queries":
        columns = ColumnsConfig(query=("text",), query_id=("_id",), tags=source.columns.tags)
        return Mapping("queries", columns.model_copy(update=shared))
    return Mapping("qrels", ColumnsConfig(query_id=("query-id",), document_id=("corpus-id",), score=("score",)))


def _check_declared(names: Sequence[str], found: dict[str, tuple[str, ...]], source: SourceConfig) -> None:
    for role, paths in found.items():
        if role in _IN_EVERY_ROW and not any(path in names or path.split(".")[0] in names for path in paths):
            raise DataError(
                f"{source.path}: source.columns.{role} names {paths[0]!r}; found no such column, but {_shown(names)}."
            )


def _shape(names: Sequence[str], found: dict[str, tuple[str, ...]], source: SourceConfig) -> str | None:
    def has(role: str) -> bool:
        return role in found or bool(_negatives(names) if role == "negative" else _first(role, names))

    if has("query") and (has("document") or has("text")):
        if has("negative"):
            return "triplets"
        if has("score"):
            return "scores"
        declared = {path for paths in found.values() for path in paths}
        label = next((name for name in names if name.lower() == "label" and name not in declared), None)
        if label is None:
            return "pairs"
        # Two sentences with a label are a pair with a judgment (paraphrase or not): a score of 0 or 1.
        if "query" not in found and _first("query", names)[0].lower() in ("sentence1", "sentence_a", "text1"):
            return "scores"
        raise DataError(
            f"{source.path}: {label!r} beside query and document may judge the pair or be its class; set "
            f"source.columns.score={label} if it is a score, or source.shape=pairs if every row is a positive pair."
        )
    if has("text") or "document" in found:
        return "classes" if has("label") else "documents"
    return None


def _first(role: str, names: Sequence[str]) -> tuple[str, ...]:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next(((by_lower[name.lower()],) for name in NAMES[role] if name.lower() in by_lower), ())


def _negatives(names: Sequence[str]) -> tuple[str, ...]:
    """A column of negatives, and the numbered ones that sentence-transformers writes (negative_1, ...)."""
    numbered = [name for name in names if re.fullmatch(r"(hard_)?neg(ative)?_?\d+", name.lower())]
    return (*_first("negative", names), *sorted(numbered, key=lambda name: int(re.findall(r"\d+", name)[0])))


def _without_unused(shape: str, columns: ColumnsConfig, names: Sequence[str]) -> Mapping:
    allowed = {*_NEEDS[shape], *_USES[shape], "document_id", "tags"}
    kept = ColumnsConfig(**{role: paths for role, paths in columns if role in allowed})
    used = {path.split(".")[0] for _, paths in kept for path in paths} | {path for _, paths in kept for path in paths}
    mapping = Mapping(shape, kept)
    return replace(mapping, unused=tuple(name for name in names if name not in used))


def _shown(names: Sequence[str]) -> str:
    """Field names for a message; a long one might be a text rather than a name, as where a header is missing."""
    return ", ".join(name if _is_short(name) else "(a long name)" for name in names[:20]) or "(none)"


def _is_short(name: str) -> bool:
    return len(name) <= 40 and len(name.split()) <= 3 and name.isprintable()
