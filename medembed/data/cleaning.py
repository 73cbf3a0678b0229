"""Texts as they are kept. Pure."""

import re
import unicodedata


def clean_text(text: str) -> str:
    """Return the text in NFC, with control characters and runs of white space as one space.

    Letters, ligatures, apostrophes and case stay as they are.
    """
    if text.isascii() and text.isprintable():
        spaced = text
    else:
        composed = unicodedata.normalize("NFC", text)
        spaced = "".join(" " if unicodedata.category(c) == "Cc" else c for c in composed)
    return re.sub(r"\s+", " ", spaced).strip()


def fault_of(text: str, max_characters: int) -> str | None:
    """Return the rule that leaves a clean text out, None if it stays."""
    if not text:
        return "empty"
    return "over-long" if len(text) > max_characters else None


def chunk(text: str, words: int | None, overlap: int) -> list[str]:
    """Return the text in pieces of so many words, neighbours sharing `overlap`."""
    parts = text.split(" ") if words else []
    if words is None or len(parts) <= words:
        return [text]
    step = words - overlap
    # A last piece that would only repeat the overlap is none.
    return [
        " ".join(parts[start : start + words]) for start in range(0, len(parts) - overlap, step)
    ]
