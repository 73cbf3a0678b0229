"""Write messages in the user's language, by gettext catalogues whose keys are the English texts.

The language is that of LANGUAGE, LC_ALL, LC_MESSAGES or LANG, as gettext reads them. What programs
read stays English: keys, files, metrics, and what the server answers.
"""

import gettext
import os
import string
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "fr")
CATALOGUES = Path(__file__).with_name("locale")
_DOMAIN = "medembed"
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"  # that French puts between thousands


def use_language(language: str) -> None:
    """Write the messages of this process, and of those that it starts, in this language."""
    os.environ["LANGUAGE"] = language
    current_language.cache_clear()
    _catalogue.cache_clear()


@cache
def current_language() -> str:
    """Return the language of messages: the first asked for that has a catalogue, or "en"."""
    settings = filter(None, map(os.environ.get, ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")))
    asked = next(settings, "").split(":")  # the first that is set decides: "fr_FR.UTF-8", "fr:en"
    codes = (name.partition("_")[0].partition(".")[0].lower() for name in asked)
    return next((code for code in codes if code in LANGUAGES), "en")


def tr(message: str, /, **values: object) -> str:
    """Return a message in the user's language, its {names} replaced by the values.

    A message without values is not formatted, so that its braces stand for themselves.
    """
    # gettext keeps the catalogue's header under the empty text
    return _fill(message and _catalogue().gettext(message), values)


def to_translate(message: str) -> str:
    """Return the message as it is: a mark for the catalogue where `tr` comes later (a table)."""
    return message


def tr_count(singular: str, plural: str, count: int, /, **values: object) -> str:
    """Return the message for this count, with {count} and other {names} replaced."""
    message = _catalogue().ngettext(singular, plural, count)
    return _fill(message, {"count": count, **values})


def _fill(message: str, values: dict[str, object]) -> str:
    return _Numbers().vformat(message, (), values) if values else message


class _Numbers(string.Formatter):
    """str.format, which parts thousands and writes percentages as the language does; decimals keep
    the point of configs and JSON, so that they can be copied there.
    """

    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        if not format_spec or isinstance(value, str) or current_language() != "fr":
            return text
        return text.replace(",", _THIN_SPACE).replace("%", "\N{NO-BREAK SPACE}%")


@cache
def _catalogue() -> gettext.NullTranslations:
    if current_language() == "en":
        return gettext.NullTranslations()
    return gettext.translation(_DOMAIN, CATALOGUES, [current_language()])
