"""Check API keys by their hashes, which are read again while the server runs."""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from medembed import storage
from medembed.errors import ConfigError, MedEmbedError
from serve.config import KeysConfig
from serve.errors import RequestError

logger = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# One space, as every client sends it: a gateway that counts by this header must see one spelling
# of a key.
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] ([\x21-\x7e\x80-\xff]+)")
_FRESH_FOR_S = 10.0
_READ_TIMEOUT_S = 5.0
_UNNAMED = 8  # digits of a hash that stand for a key without a name


Names = dict[str, str]  # of valid keys, as the log shows them, by the keys' sha256 hashes


@dataclass(frozen=True)
class ValidKeys:
    """The keys of a deployment, and the file, if any, from which they are read again."""

    file: str | None = None
    of_file: Names = field(default_factory=dict)
    of_variable: Names = field(default_factory=dict)

    @property
    def are_required(self) -> bool:
        """Return whether callers need a key: without any configured, everyone may ask."""
        return self != ValidKeys()


def read_keys(config: KeysConfig) -> ValidKeys:
    """Return the valid keys; none if no place is configured.

    Raises ConfigError or StorageError, on one line, also for a place without any key.
    """
    of_file: Names = {}
    of_variable: Names = {}
    if config.file is not None:
        of_file = read_file(config.file)
        _require(of_file, f"keys.file {config.file}")
    if config.variable is not None:
        value = os.environ.get(config.variable)
        if value is None:
            raise ConfigError(
                "keys.variable: environment variable {variable} is not set.",
                variable=config.variable,
            )
        place = f"keys.variable {config.variable}"
        of_variable = _parse(value.replace(",", "\n"), place)
        _require(of_variable, place)
    return ValidKeys(config.file, of_file, of_variable)


def read_file(uri: str) -> Names:
    """Return the keys in a file, which may be none. Raises ConfigError or StorageError."""
    place = f"keys.file {uri}"
    try:
        return _parse(storage.read_bytes(uri).decode(), place)
    except UnicodeDecodeError:
        raise ConfigError(
            "{place}: not a text file; expected one sha256 hash a line.", place=place
        ) from None


class Keys:
    """The keys that a server takes. Their file is read again when it was read more than 10 s ago.

    A file that cannot be read leaves the keys as they were, with a line in the log; one that is
    empty lets nobody in.
    """

    def __init__(self, valid: ValidKeys) -> None:
        self.file = valid.file
        self.of_variable = valid.of_variable
        self.names = valid.of_file | valid.of_variable
        self.read_at = time.monotonic()
        self.reading: asyncio.Task[None] | None = None
        self.fault = ""

    async def check(self, authorizations: Sequence[str]) -> str:
        """Return the name of the key in a request's Authorization headers.

        Raises RequestError 401 if it is not valid. It takes the same time for any key, valid or
        not.
        """
        await self._refresh()
        match = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        digest = hashlib.sha256((match[1] if match else "").encode("latin-1")).hexdigest()
        name = None
        for known, its_name in self.names.items():
            if hmac.compare_digest(digest, known):
                name = its_name
        if match is None or name is None:
            raise RequestError(
                401,
                "a valid API key is missing; send it as Authorization: Bearer <key>.",
                headers={"www-authenticate": "Bearer"},
            )
        return name

    async def _refresh(self) -> None:
        if self.file is None:
            return
        if time.monotonic() - self.read_at >= _FRESH_FOR_S and self.reading is None:
            self.reading = asyncio.create_task(self._read(self.file))
        if self.reading is not None:
            # a caller that leaves does not end what others wait for
            await asyncio.shield(self.reading)

    async def _read(self, file: str) -> None:
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                of_file = await asyncio.to_thread(read_file, file)
            self.names = of_file | self.of_variable
            self.fault = ""
        except (MedEmbedError, TimeoutError) as error:
            fault = str(error) or f"keys.file {file}: no answer in {_READ_TIMEOUT_S:g} s"
            if fault != self.fault:  # said once, not every ten seconds
                logger.error("keys stay as they were: %s", fault)
            self.fault = fault
        finally:
            self.read_at = time.monotonic()
            self.reading = None


def _require(keys: Names, place: str) -> None:
    if not keys:
        raise ConfigError("{place}: no hashes in there; without keys, leave it out.", place=place)


def _parse(text: str, place: str) -> Names:
    """Return the keys, one a line. Raises ConfigError with numbers only: a line may be a key."""
    names: Names = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not _HASH.fullmatch(words[0]):
            raise ConfigError(
                "{place}: entry {number} is not a sha256 hash (64 hexadecimal digits); make one "
                'with `printf %s "$KEY" | sha256sum`.',
                place=place,
                number=number,
            )
        digest = words[0].lower()
        name = words[1] if len(words) > 1 and words[1] != "-" else digest[:_UNNAMED]
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "{place}: entry {number} has no plain name; expected letters, digits and ._@- "
                "(at most 64).",
                place=place,
                number=number,
            )
        names[digest] = name
    return names
