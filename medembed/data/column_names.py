"""Names of columns in use across tools, and how a message speaks of columns that may be data."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from medembed.language import to_translate, tr, tr_count

# Names by role, the likeliest first, as `fold_name` compares them. An empty part of a source config
# is filled from here.
_IN_USE = {
    "query": "query question anchor prompt sentence_0 sentence1 sentence_A text1 premise "
    "requête requêtes demande demandes phrase1 phrase_1 texte1 texte_1",
    "document": "document positive pos positives answer passage response completion sentence_1 "
    "sentence2 sentence_B text2 hypothesis context positive_passages "
    "réponse réponses phrase2 phrase_2 texte2 texte_2",
    "negative": "negative neg negatives hard_negative hard_negatives sentence_2 negative_passages "
    "négatif négatifs",
    "score": "score similarity similarity_score relevance similarité similarités",
    "label": "label class category label_text intent étiquette étiquettes classe catégorie",
    "text": "text body content contents abstract definition description document passage "
    "texte textes contenu compte_rendu comptes_rendus résumé résumés libellé libellés",
    "title": "title term name heading headline titre titres terme intitulé libellé libellés",
    "synonyms": "synonyms synonym aliases alt_labels synonyme synonymes",
    "query_id": "query_id qid query-id question_id id_question id_requête identifiant_question",
    "document_id": "document_id doc_id docid corpus-id corpus_id id_document "
    "id_doc identifiant_document",
    "own_id": "document_id doc_id docid id_document _id id identifiant",
    "group": "group_id",
    "split": "split",
    "language": "language lang langue",
}
NAMES = {role: tuple(names.split()) for role, names in _IN_USE.items()}
# as sentence-transformers writes: negative_1, ...
NUMBERED_NEGATIVE = re.compile(r"(hard_)?neg(ative|atif)?_?\d+")
# languages as columns and cells name them
_LANGUAGES = {name: name for name in ("en", "fr", "de", "es", "it", "nl", "pt")} | {
    "english": "en",
    "french": "fr",
    "anglais": "en",
    "francais": "fr",
}
CHAT_FIELDS = {"messages", "input", "preferred_output", "non_preferred_output"}
# names in use that are cells of many a table of tests, too
_FINDINGS = {"positive", "negative", "pos", "neg", "positif", "negatif"}
_LONGEST_NAME = 40
_LISTED = 20
_SAME_WORD = 0.8  # likeness from which a name is a declared one but for a slip of the fingers


@dataclass(frozen=True)
class Keys:
    """The config keys by which the columns of a reader are named, for messages; `choice` by tr."""

    columns: str
    header: str
    example: str
    choice: str


SOURCE = Keys(
    "source.columns",
    "source.header",
    "source.columns.query=1 source.columns.document=2",
    to_translate("name the columns, e.g. source.columns.document=..., or set source.shape"),
)
OWN_TEXTS = Keys(
    "columns",
    "columns.header",
    "columns.id=1 columns.text=2",
    to_translate("name the columns, columns.id=... and columns.text=..., several if rows differ"),
)


@lru_cache(4096)
def fold_name(name: str) -> str:
    """Return a name as it is compared: without case and accents, "_" for spaces and hyphens."""
    plain = unicodedata.normalize("NFKD", name.strip().casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return re.sub(r"[\s_-]+", "_", letters)


def language_of(name: str) -> str | None:
    """Return the language that a column or cell names; None for another name."""
    return _LANGUAGES.get(fold_name(name))


_KNOWN = {fold_name(name) for name in " ".join(_IN_USE.values()).split()} | CHAT_FIELDS


def first_known(accepted: Sequence[str], names: Iterable[str]) -> str | None:
    """Return the first accepted name that is among these by `fold_name`; None without one."""
    by_key: dict[str, str] = {}
    for name in names:
        by_key.setdefault(fold_name(name), name)
    return next((by_key[key] for key in map(fold_name, accepted) if key in by_key), None)


def show_columns(names: Sequence[str], *, is_header: bool, more: Sequence[str] = ()) -> str:
    """Return names of columns for a message; what may be data instead is counted, not shown.

    That is every unknown name in the first row of a table (`is_header`), and in other rows if one
    of them does not look like a name, as in a file that was converted from a table without a
    header. `more` are shown in any case.
    """
    if list(names) == by_number(len(names)):
        return tr("1 to {last}", last=len(names)) if names else tr("(none)")
    are_names = not is_header and all(_is_name(name) for name in names)
    has_header = not is_header or are_known(names)
    shown = []
    for name in names:
        if are_names or name in more or (has_header and is_known(name)):
            shown.append(name)
    shown = shown[:_LISTED]
    rest = len(names) - len(shown)
    if not shown:
        return tr("({count}, names not shown)", count=rest)
    return ", ".join(shown) + (tr(" (and {count} more)", count=rest) if rest else "")


def either(names: Sequence[str]) -> str:
    """Return names as a choice for a message: "'id' or 'code'"."""
    return tr(" or ").join(map(repr, names))


def by_number(count: int) -> list[str]:
    """Return the names of columns that have none: "1", "2", ..."""
    return [str(number) for number in range(1, count + 1)]


def are_known(names: Sequence[str]) -> bool:
    """Return whether one of a table's first cells is a name in use, so that they are its header."""
    return any(is_known(name) for name in names if fold_name(name) not in _FINDINGS)


def explain_absent(
    role: str, path: str, names: Sequence[str], keys: Keys, *, is_header: bool
) -> str:
    """Say that no row has a declared column, and what there is."""
    nearest = difflib.get_close_matches(path, names, n=1, cutoff=_SAME_WORD)
    shown = show_columns(names, is_header=is_header, more=nearest)
    hint = f"; {ask_for_header(names, keys)}" if is_header and not are_known(names) else "."
    return tr(
        "{key}.{role} names {path!r}; found no such column, but {shown}{hint}",
        key=keys.columns,
        role=role,
        path=path,
        shown=shown,
        hint=hint,
    )


def ask_for_header(names: Sequence[str], keys: Keys) -> str:
    """Ask whether a first row without a known name is a header, and say what to do if not."""
    return tr_count(
        "the first row has {count} cell, which is no known name; is there a header? If not, "
        "{key}=false and columns by number, e.g. {example}.",
        "the first row has {count} cells, none of them a known name; is there a header? If not, "
        "{key}=false and columns by number, e.g. {example}.",
        len(names),
        key=keys.header,
        example=keys.example,
    )


def is_known(name: str) -> bool:
    """Return whether a name means something to a reader."""
    key = fold_name(name)
    return key in _KNOWN or NUMBERED_NEGATIVE.fullmatch(key) is not None


def _is_name(name: str) -> bool:
    """Return whether it looks like the name of a column: one word, no date, no number and no id."""
    is_word = re.fullmatch(r"[^\W\d](?:[\w.-](?!\d{3}))*", name) is not None
    return len(name) <= _LONGEST_NAME and is_word
