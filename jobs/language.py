"""The language of a job's messages: the key `language`, else that of the environment."""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field

from medembed.config import Config, read_values, validate
from medembed.language import LANGUAGES, use_language


class JobConfig(Config):
    """Base of every job's config."""

    # Excluded from what is written of a config: it decides no output, so no key of one has it.
    language: Literal["en", "fr"] | None = Field(
        default=None,
        exclude=True,
        description="of messages and reports; null: that of LANGUAGE, LC_ALL, LC_MESSAGES or LANG",
    )


SomeConfig = TypeVar("SomeConfig", bound=JobConfig)


def load_job(model: type[SomeConfig], arguments: Sequence[str]) -> SomeConfig:
    """Return the config of a job, and use its language. Raises ConfigError in that language."""
    use_language_of(arguments)
    values = read_values(model, arguments)
    _use(values.get("language"))
    return validate(model, values)


def use_language_of(arguments: Sequence[str]) -> None:
    """Use the language that a command line names, before anything else of it is looked at."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "language":
            _use(value)


def _use(language: Any) -> None:
    if language in LANGUAGES:
        use_language(language)
