"""Let web pages of other origins ask, if the operator lists them."""

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from medembed.errors import ConfigError

EVERYWHERE = "*"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_METHODS = ("GET", "POST")
_HEADERS = ("authorization", "content-type")
# Beside those that every page may read.
_SHOWN = (
    "x-model-version",
    "x-model-fingerprint",
    "x-dimensions-trained",
    "x-request-id",
    "retry-after",
)


def check_origins(origins: Sequence[str], has_keys: bool) -> None:
    """Raise ConfigError for what is no origin, and for all origins where nobody needs a key."""
    for origin in origins:
        if origin == EVERYWHERE and not has_keys:
            raise ConfigError(
                "cors: found *, and this server has no keys, so any web page could read what it "
                "answers; list the origins, or set keys."
            )
        if origin != EVERYWHERE and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"cors: found {origin!r}, expected an origin such as https://app.example.org, "
                "without a path, or *."
            )


def let_in(app: FastAPI, origins: Sequence[str]) -> None:
    """Have the application answer pages of these origins, and browsers that ask first."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.lower() for origin in origins],
        allow_methods=_METHODS,
        allow_headers=_HEADERS,
        expose_headers=_SHOWN,
    )
