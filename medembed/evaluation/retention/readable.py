"""Tell whether a tokenizer can read texts: how many of their letters it knows in words.

An English vocabulary knows 93% of the letters of French, 85% of Turkish, 54% of Chinese, 33% of
Japanese, and 15% to 20% of Arabic, Greek and Russian, whose letters it knows one by one (MiniLM,
messages of programs in 34 languages).
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer

from medembed.evaluation.words import listed
from medembed.language import to_translate, tr

_FEWEST_READ = 0.6  # of a text's letters; below it the text is not read
_UNREAD_TEXTS = 0.2  # share from which a warning is due
_TEXTS = 200  # looked at, of each kind
_CHARACTERS = 1000  # looked at, of each text
_WHOLE_SYLLABLES = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "HANGUL SYLLABLE")


class TextReader:
    """A tokenizer.json as text, and what it makes of a letter."""

    def __init__(self, tokenizer: str) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        model = json.loads(tokenizer)["model"]
        token = model.get("unk_token")  # a vocabulary of bytes has none
        self._unknown: int | None = (
            self._tokenizer.token_to_id(token) if token else model.get("unk_id")
        )

    def reads(self, text: str) -> bool:
        """Say whether it knows most letters of the text; true of a text without letters.

        A letter is known in a token of two letters or more; a Chinese character or a Korean
        syllable also alone.
        """
        letters = {place for place, sign in enumerate(text) if sign.isalpha()}
        if not letters:
            return True
        tokens = self._tokenizer.encode(text, add_special_tokens=False)
        spans = [range(*span) for span in tokens.offsets]
        # A sign is in several tokens where these are its bytes, or the parts of a Korean syllable.
        times = Counter[int]()
        for span in spans:
            times.update(span)
        known: set[int] = set()
        for span, number in zip(spans, tokens.ids, strict=True):
            signs = [place for place in span if _is_letter(text[place])]
            is_word = len(signs) > 1 or any(
                times[place] == 1 and _stands_alone(text[place]) for place in signs
            )
            if is_word and number != self._unknown:
                known.update(signs)
        return len(known & letters) >= _FEWEST_READ * len(letters)


def explain_unread(
    where: str, queries: Sequence[str], documents: Sequence[str], tokenizer: str
) -> str:
    """Return a warning about a set of texts that the model cannot read; empty if it reads most."""
    reader = TextReader(tokenizer)
    counted = []
    for message, texts in (
        (to_translate("{unread} of {count} queries"), queries),
        (to_translate("{unread} of {count} documents"), documents),
    ):
        looked_at = texts[:_TEXTS]
        unread = sum(not reader.reads(text[:_CHARACTERS]) for text in looked_at)
        if unread and unread >= _UNREAD_TEXTS * len(looked_at):
            counted.append(tr(message, unread=unread, count=len(looked_at)))
    if not counted:
        return ""
    return tr(
        "{where}: the model's tokenizer cannot read {texts}: it knows less than {fewest:.0%} of "
        "their letters as words or parts of words; what a model cannot read it cannot lose: give a "
        "set in a language that it reads, or take a multilingual model.",
        where=where,
        texts=listed(counted),
        fewest=_FEWEST_READ,
    )


def _is_letter(sign: str) -> bool:
    """Count vowel signs and accents of their own too: in Hindi or Thai they follow a letter."""
    return unicodedata.category(sign)[0] in "LM"


def _stands_alone(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith(_WHOLE_SYLLABLES)
