"""Texts as they are kept, and as they are compared. Pure."""

import re
import unicodedata

from medembed.schema import normalize_text

# One spelling for what keyboards and editors vary: apostrophes, quotes, dashes. Only in comparisons.
_VARIANTS = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "«": '"', "»": '"', "–": "-", "—": "-", "‑": "-"}
)
_ENDS = " .,;:!?\"'-"


def clean_text(text: str) -> str:
    """NFC, so that an accent has one spelling; control characters and runs of white space become one space.

    Letters, ligatures, apostrophes and case stay as they are.
    """
    if text.isascii() and text.isprintable():
        spaced = text
    else:
        composed = unicodedata.normalize("NFC", text)
        spaced = "".join(" " if unicodedata.category(c) == "Cc" else c for c in composed)
    return re.sub(r"\s+", " ", spaced).strip()


def spelling_key(text: str) -> str:
    """Equal for clean texts that differ in case, apostrophes, dashes and outer punctuation alone.

    Narrower than `normalize_text`, by which splits group: signs inside stay, since "Na < 135" is not "Na > 135",
    and so do superscripts.
    """
    return re.sub(r"\s+", " ", text.casefold().translate(_VARIANTS)).strip(_ENDS) or text


def words_key(text: str) -> str:
    """Equal for texts with the same words: what must not straddle splits."""
    return normalize_text(text) or text


def fault_of(text: str, max_characters: int) -> str | None:
    """The rule that leaves a clean text out, None if it stays."""
    if not text:
        return "empty"
    return "over-long" if len(text) > max_characters else None


def chunk(text: str, words: int | None, overlap: int) -> list[str]:
    """The text in pieces of so many words, neighbours sharing `overlap`; itself where it is short enough."""
    parts = text.split(" ") if words else []
    if words is None or len(parts) <= words:
        return [text]
    step = words - overlap
    # A last piece that would only repeat the overlap is none.
    return [" ".join(parts[start : start + words]) for start in range(0, len(parts) - overlap, step)]
