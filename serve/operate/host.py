"""Refuse a server without keys that other machines may reach, unless without_keys says so."""

import ipaddress
import logging

from medembed.errors import ConfigError
from serve.ray_internals import LOOPBACK, find_http_host

logger = logging.getLogger(__name__)


def check_host(host: str, has_keys: bool, without_keys: bool = False) -> bool:
    """Whether other machines reach this address. Raises ConfigError if they do without a key."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ConfigError(
            f"host: found {host!r}, expected an IPv4 address of this machine, or 0.0.0.0 for "
            "all of them."
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
    if host and not _is_loopback(host):
        _require_keys("http_options.host", host, has_keys, without_keys)


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; a name other than localhost may be any."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_keys(name: str, host: str, has_keys: bool, without_keys: bool) -> None:
    if has_keys:
        return
    if without_keys:
        logger.warning(
            "%s: %s is open to other machines, and this server has no keys (without_keys=true)",
            name,
            host,
        )
        return
    raise ConfigError(
        f"{name}: {host} is open to other machines, and this server has no keys; set keys.file or "
        f"keys.variable, leave it at {LOOPBACK}, or say without_keys=true."
    )
