"""Refuse a start that would let strangers in, unless the config says that they may come.

Strangers come by a Ray cluster that asks for no token (whoever reaches its ports runs code as its
user), by an address that other machines reach, or by a web page of another origin.
"""

import ipaddress
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from medembed.errors import ConfigError, ServiceError
from medembed.language import tr
from medembed.privacy import check_secret
from serve.ray_internals import LOOPBACK, find_http_host

logger = logging.getLogger(__name__)

ALL_ORIGINS = "*"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_TIMEOUT_S = 10


def check_ray(allowed: bool) -> None:
    """Raise ConfigError if this process's Ray asks for no token, unless that is `allowed`.

    Where there is no Ray, as in `serve build`, only the token's file is checked.
    """
    import ray

    if ray.is_initialized() and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        _require_token(tr("this Ray cluster"), "without_token", allowed)
    check_token_file()


def check_dashboard(address: str, allowed: bool, key: str = "without_token") -> None:
    """Raise ConfigError if the Ray of this dashboard asks for no token, unless that is `allowed`.

    `key` is the config key that allows it. Raises ServiceError if the dashboard cannot be asked.
    """
    import requests

    url = f"{address.rstrip('/')}/api/authentication_mode"
    try:
        mode = requests.get(url, timeout=_TIMEOUT_S).json()["authentication_mode"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            "{url}: cannot ask whether this Ray has a token: {reason}; is it Ray's dashboard?",
            url=url,
            reason=type(error).__name__,
        ) from None
    if mode == "disabled":
        _require_token(tr("the Ray cluster of {address}", address=address), key, allowed)
    check_token_file()


def check_token_file() -> None:
    """Raise ConfigError if other users of this machine can read the file with Ray's token.

    Ray 2.60 writes ~/.ray/auth_token for everybody, unless the umask says otherwise.
    """
    if os.environ.get("RAY_AUTH_MODE") == "token" and "RAY_AUTH_TOKEN" not in os.environ:
        file = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
        check_secret(Path(file).expanduser())


def check_host(host: str, has_keys: bool, without_keys: bool = False) -> bool:
    """Return whether other machines reach this address.

    Raises ConfigError if they do without a key.
    """
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ConfigError(
            "host: found {host!r}, expected an IPv4 address of this machine, or 0.0.0.0 for "
            "all of them.",
            host=host,
        ) from None
    if address.is_loopback:
        return False
    _require_keys("host", host, has_keys, without_keys)
    return True


def check_serve_host(has_keys: bool, without_keys: bool) -> None:
    """Raise ConfigError if other machines may reach Serve without a key.

    Nothing is known where Serve does not run yet: `serve run` builds the application before it
    starts Serve. So replicas check again.
    """
    host = find_http_host()
    if host is None or host == "localhost":
        return
    try:
        is_own = ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may be any machine's
        is_own = False
    if not is_own:
        _require_keys("http_options.host", host, has_keys, without_keys)


def check_origins(origins: Sequence[str], has_keys: bool) -> None:
    """Raise ConfigError for what is not an origin, and for all origins where nobody needs a key."""
    for origin in origins:
        if origin == ALL_ORIGINS and not has_keys:
            raise ConfigError(
                "cors: found *, and this server has no keys, so any web page could read what it "
                "answers; list the origins, or set keys."
            )
        if origin != ALL_ORIGINS and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                "cors: found {origin!r}, expected an origin such as https://app.example.org, "
                "without a path, or *.",
                origin=origin,
            )


def _require_token(where: str, key: str, allowed: bool) -> None:
    if not allowed:
        raise ConfigError(
            "{where} asks for no token, so whoever reaches its ports runs code there, API "
            "keys or not; start Ray on each node with RAY_AUTH_MODE=token and a token "
            "(docs/serving.md), or say {key}=true.",
            where=where,
            key=key,
        )
    logger.warning(
        tr(
            "{where} asks for no token: whoever reaches its ports runs code there ({key}=true)",
            where=where,
            key=key,
        )
    )


def _require_keys(name: str, host: str, has_keys: bool, without_keys: bool) -> None:
    if has_keys:
        return
    if not without_keys:
        raise ConfigError(
            "{name}: {host} is open to other machines, and this server has no keys; set "
            "keys.file or keys.variable, leave it at {loopback}, or say without_keys=true.",
            name=name,
            host=host,
            loopback=LOOPBACK,
        )
    logger.warning(
        tr(
            "{name}: {host} is open to other machines, and this server has no keys "
            "(without_keys=true)",
            name=name,
            host=host,
        )
    )
