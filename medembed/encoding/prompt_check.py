"""Warn of prompts that a model's folder lacks, or that a training wants other than it has them."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from medembed.encoding.model_files import fetch_model, read_card
from medembed.encoding.model_layout import read_json
from medembed.encoding.reading import PROMPT_NAMES, ROLES
from medembed.language import tr

logger = logging.getLogger(__name__)

Prompts = Mapping[str, str | None]  # by role; None: not named

SETTINGS = "config_sentence_transformers.json"
# By a word of the model's name, as in multilingual-e5-small. Its card does not count: that of a
# model which somebody trained on without prompts names its base.
_E5 = re.compile(r"(?<![a-z0-9])e5(?![a-z0-9])")
_E5_TYPES = ("bert", "xlm-roberta", "mistral")
_OF_E5 = {"query": "query: ", "document": "passage: "}
_OF_INSTRUCTED_E5 = {"query": "Instruct: <the task in a sentence>\nQuery: "}
_warned: set[str] = set()  # lines that this process has logged: a job looks at a model often


def check_prompts(reference: str, wanted: Prompts | None = None) -> None:
    """Warn in one line of prompts that are missing, and of each that is not as it should be.

    `wanted` are those that a training names. No error: a model can learn other prompts, and a
    folder without any may have been trained without any.
    """
    for line in find_faults(reference, fetch_model(reference), wanted or {}):
        if line not in _warned:
            _warned.add(line)
            logger.warning("%s", line)


def find_faults(reference: str, folder: Path, wanted: Prompts) -> Iterator[str]:
    """Yield a line for what is missing, and for each prompt that contradicts the model's own."""
    own = read_prompts(folder)
    of_family = {} if read_card(folder).dimensions else family_prompts(reference, folder)
    missing = {}
    for role in ROLES:
        expected = own[role] or of_family.get(role, "")
        given = wanted.get(role)
        if given is None:
            if expected != own[role]:
                missing[role] = expected
        elif own[role] and given != own[role]:
            yield tr(
                "model {reference}: training.prompts.{role} is {given!r}, but its folder names "
                "{own!r}; training replaces it. Leave the key out to keep it.",
                reference=reference,
                role=role,
                given=given,
                own=own[role],
            )
        elif given != expected and given and given.strip() == expected.strip():
            yield tr(
                "model {reference}: training.prompts.{role} is {given!r}, but E5 models were "
                "trained with {expected!r}; quotes keep the space: {key}.",
                reference=reference,
                role=role,
                given=given,
                expected=expected,
                key=_as_key(role, expected),
            )
    if missing:
        yield tr(
            "model {reference}: E5 by its name, but its folder lacks the prompts that E5 models "
            "were trained with. Unless it was trained on without them, name them: {keys} in a "
            'training, or "prompts" in {settings} for every job.',
            reference=reference,
            keys=" ".join(_as_key(role, text) for role, text in missing.items()),
            settings=SETTINGS,
        )


def _as_key(role: str, text: str) -> str:
    """Write a prompt's key as a shell takes it."""
    return f"training.prompts.{role}={'$' if chr(10) in text else ''}{text!r}"


def read_prompts(folder: Path) -> dict[str, str]:
    """Return {role: its prompt by the folder's settings, often empty}."""
    settings = read_json(folder / SETTINGS) or {}
    named = settings.get("prompts") or {}
    own: dict[str, str] = {}
    for role in ROLES:
        own[role] = next((named[name] for name in PROMPT_NAMES[role] if named.get(name)), "")
    return own


def family_prompts(reference: str, folder: Path) -> dict[str, str]:
    """Return the prompts of the model's family; none where it is not known for sure.

    E5: the word stands in the last part of its reference, or of the name that config.json keeps,
    and config.json names an architecture of that family.
    """
    config = read_json(folder / "config.json") or {}
    if config.get("model_type") not in _E5_TYPES:
        return {}
    for name in (reference, str(config.get("_name_or_path", ""))):
        last = name.rstrip("/").rpartition("/")[2].partition("@")[0].lower()
        if _E5.search(last):
            is_instructed = "instruct" in last
            return _OF_INSTRUCTED_E5 if is_instructed else _OF_E5
    return {}
