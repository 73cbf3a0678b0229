"""Asks a Ray cluster whether it is there, before Ray does, which may wait for ever and hears no
signal meanwhile.
"""

import http.client
import os
import ssl
import urllib.error
import urllib.request

from medembed.errors import ConfigError, ServiceError
from serve.operate.cluster_token import check_token_file

_TIMEOUT_S = 10.0
_HEAD = "host:port of the cluster's head, e.g. RAY_ADDRESS=10.0.0.5:6379"
_DASHBOARD = "http://host:port of the cluster's dashboard, e.g. --address http://10.0.0.5:8265"
_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
HINT = f"expected {_HEAD}, on a node of the cluster; where it asks for tokens {_TOKEN}."
# A call of Ray 2.60 that changes nothing. Where it has another name, a missing token is told later,
# by Ray.
_CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"


def check_head(address: str) -> None:
    """Raises ConfigError for what is no head's address, ServiceError if no Ray answers there.

    ConfigError, too, if others can read the token.
    """
    check_token_file()
    if address == "auto":
        address = _find_local()
    host, colon, port = address.rpartition(":")
    if "://" in address:
        raise ConfigError(
            f"RAY_ADDRESS: found {address!r}; expected {_HEAD}, on a node of the cluster; or "
            "submit from elsewhere with --address http://host:8265."
        )
    if not (colon and host and port.isdecimal()):
        raise ConfigError(f"RAY_ADDRESS: found {address!r}; expected {_HEAD}.")
    if not _uses_tls():
        _ask(address)


def check_dashboard(address: str) -> None:
    """Raises ConfigError for what is no dashboard's address, ServiceError if none answers there.

    ConfigError, too, if others can read the token.
    """
    check_token_file()
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"--address: found {address!r}; expected {_DASHBOARD}.")
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=_TIMEOUT_S):
            return
    except urllib.error.HTTPError:
        return  # something answers: what, Ray's own client finds out
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        if isinstance(reason, ssl.SSLError):
            return  # Ray's client has certificates of its own
    raise ServiceError(
        f"--address {address}: no dashboard answers there within {_TIMEOUT_S:g} s ({reason}); "
        f"expected {_DASHBOARD}."
    )


def _find_local() -> str:
    """The address of the Ray on this machine that `auto` means. Raises ServiceError if there is
    none.
    """
    # what ray.init asks (Ray 2.60)
    from ray._private.services import get_ray_address_from_environment

    try:
        return str(get_ray_address_from_environment("auto", None))
    except ConnectionError:
        raise ServiceError(
            f"RAY_ADDRESS auto: no Ray runs on this machine; start one, or give {_HEAD}."
        ) from None


def _uses_tls() -> bool:
    """Whether Ray's own certificates, which it alone reads, are between us and the head."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _ask(address: str) -> None:
    """Raises ServiceError if nothing that speaks gRPC answers, or if it wants a token and this
    process gives none.
    """
    import grpc  # type: ignore[import-untyped]  # it has no stubs of its own

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_CALL)(b"", timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code = error.code()
        else:
            return
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise ServiceError(
            f"RAY_ADDRESS {address}: no Ray answers there within {_TIMEOUT_S:g} s; expected "
            f"{_HEAD}; see `ray status` on the head, or unset RAY_ADDRESS for a Ray of this "
            "machine's own."
        )
    if code == grpc.StatusCode.UNAUTHENTICATED and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ServiceError(f"RAY_ADDRESS {address}: the cluster asks for a token; {_TOKEN}.")
