"""Say which texts are the same, by keys from the narrowest to the widest. Pure.

1. Content (`schema.content_hash` of a clean text): the same text, sign by sign.
2. `spelling_key`: the same but for what keyboards, editors and Unicode vary, and for punctuation
   around the text. Such texts are duplicates.
3. `words_key`: the same words and signs. Such texts stay in one split, and mining takes none for a
   negative of another.
4. `words`: what BM25 counts.

Each key is made from the one before, so that duplicates always share their words. A sign with a
meaning is never dropped from 1 to 3: HER2-, HER2+ and HER2 are three texts, and so are 10⁹ and 109.
"""

import re
import unicodedata

# What is typed for one sign. Hyphen, dash and minus are one, as nobody sees which of them was
# meant.
_VARIANTS = (
    dict.fromkeys(map(ord, "’‘‛ʼʹ′´`"), "'")
    | dict.fromkeys(map(ord, "“”„‟«»″"), '"')
    | dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
    | {ord("∆"): "δ"}  # increment, typed for a Delta
)
# Soft hyphen, zero-width space, marks of direction, word joiner, byte order mark: nobody sees them.
_UNSEEN = [0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
_MEANT = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_BULLET = re.compile(r"^[-•]\s+(?=[^\W\d_])")  # before a digit it may be a minus
# The sign comes before what stands before it, so that the search leaps from sign to sign.
_QUOTED = re.compile(r"""(?:"(?<!\w")([^"]*)"|'(?<!\w')([^']*)')(?!\w)""")  # not 5' to 3'
_NO_SIGN = re.compile(r"-(?<=\w-)(?=\w)|[.,:](?!\d)|[;!?()]")
_OPERATOR = re.compile(r"([<>=≤≥≠≈±×÷/~°%‰])")


class _Folding(dict[int, str]):
    """Each character as it is compared, worked out when it is first met; for `str.translate`.

    Case folded, and in its plain form (full-width, ligature, micro sign for mu) unless the form has
    a meaning.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if not unicodedata.decomposition(character).startswith(_MEANT):
            character = unicodedata.normalize("NFKC", character)
        self[code] = character.casefold().translate(_VARIANTS)
        return self[code]


_FOLDING = _Folding(_VARIANTS | dict.fromkeys(_UNSEEN, ""))


def spelling_key(text: str) -> str:
    """Return a key that is equal for texts that differ in no more than spelling.

    That is: case, composed and decomposed accents, apostrophes, quotes and dashes of any form,
    invisible characters, white space, a bullet before the text, quotes around it and punctuation
    after it.
    """
    if text.isascii():
        folded = text.casefold().replace("`", "'")
    else:
        composed = unicodedata.normalize("NFC", text).translate(_FOLDING)
        folded = unicodedata.normalize("NFC", composed)  # as case folding may decompose
    folded = " ".join(folded.split())
    return _without_ends(folded) or folded


def words_key(text: str) -> str:
    """Return a key that is equal for texts with the same words and signs, without punctuation."""
    return both_keys(text)[1]


def both_keys(text: str) -> tuple[str, str]:
    """Return the `spelling_key` and the `words_key` of a text, the second made from the first."""
    spelling = spelling_key(text)
    key = spelling.translate(_SUBSCRIPTS)
    bare = _NO_SIGN.sub(" ", _QUOTED.sub(r"\1\2", key))
    return spelling, " ".join(_OPERATOR.sub(r" \1 ", bare).split()) or key


def words(text: str) -> list[str]:
    """Return the runs of letters and digits of a text, folded as in `spelling_key`; no signs."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", spelling_key(text)))


def _without_ends(text: str) -> str:
    while True:
        shorter = _BULLET.sub("", text.lstrip(" ¿¡").rstrip(" .,;:!?"))
        quote = shorter[:1]
        if quote and quote in "\"'" and shorter.endswith(quote) and shorter.count(quote) == 2:
            shorter = shorter[1:-1]
        if shorter == text:
            return text
        text = shorter
