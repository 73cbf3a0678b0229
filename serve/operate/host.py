"""Refuses a server without keys that other machines may reach, unless that is said aloud."""

import ipaddress
import logging

from medembed.errors import ConfigError

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"


def check_host(host: str, has_keys: bool, without_keys: bool = False) -> bool:
    """Return whether other machines may reach this address. Raises ConfigError for one that they
    may without a key.
    """
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


def check_serve(has_keys: bool, without_keys: bool) -> None:
    """Raises ConfigError if Serve listens on an address that other machines may reach without a
    key.

    Where Serve does not run yet, nothing can be said: `serve run` builds the application before it
    starts Serve. So replicas look again.
    """
    import ray
    from ray.serve.context import _get_global_client  # Serve 2.60 tells its address nowhere else

    if not ray.is_initialized():
        return
    client = _get_global_client(raise_if_no_controller_running=False)
    host = client.http_config.host if client is not None else None
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
        f"keys.variable, leave it at {HOST}, or say without_keys=true."
    )
