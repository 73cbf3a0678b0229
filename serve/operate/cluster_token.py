"""Refuse a Ray cluster that asks for no token: whoever reaches its ports runs code as its user."""

import logging
import os
from pathlib import Path

from medembed.errors import ConfigError, ServiceError
from medembed.privacy import check_secret

logger = logging.getLogger(__name__)
_TIMEOUT_S = 10


def check_ray(allowed: bool) -> None:
    """Raise ConfigError if this process's Ray asks for no token, unless that is `allowed`.

    Where there is no Ray, as in `serve build`, only the token's file is checked.
    """
    import ray

    if ray.is_initialized() and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        _refuse("this Ray cluster", "without_token", allowed)
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
        reason = type(error).__name__
        raise ServiceError(
            f"{url}: cannot ask whether this Ray has a token: {reason}; is it Ray's dashboard?"
        ) from None
    if mode == "disabled":
        _refuse(f"the Ray cluster of {address}", key, allowed)
    check_token_file()


def check_token_file() -> None:
    """Raise ConfigError if other users of this machine can read the file with Ray's token.

    Ray 2.60 writes ~/.ray/auth_token for everybody, unless the umask says otherwise.
    """
    if os.environ.get("RAY_AUTH_MODE") == "token" and "RAY_AUTH_TOKEN" not in os.environ:
        check_secret(
            Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
        )


def _refuse(where: str, key: str, allowed: bool) -> None:
    if allowed:
        logger.warning(
            "%s asks for no token: whoever reaches its ports runs code there (%s=true)", where, key
        )
        return
    raise ConfigError(
        f"{where} asks for no token, so whoever reaches its ports runs code there, API keys or "
        "not; start Ray on each node with RAY_AUTH_MODE=token and a token (docs/serving.md), or "
        f"say {key}=true."
    )
