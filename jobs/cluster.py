"""Ask whether a Ray cluster is there: Ray itself may wait for ever, and hears no signal."""

import http.client
import os
import ssl
import urllib.error
import urllib.request

from jobs.ray_internals import HEAD_CALL, find_local_head
from medembed.errors import ConfigError, ServiceError
from medembed.language import to_translate, tr
from serve.operate.safety import check_token_file

_TIMEOUT_S = 10.0
_HEAD = to_translate("host:port of the cluster's head, e.g. RAY_ADDRESS=10.0.0.5:6379")
_DASHBOARD = to_translate(
    "http://host:port of the cluster's dashboard, e.g. --address http://10.0.0.5:8265"
)
_TOKEN = to_translate("set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")
IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # is in the environment of a submitted job


def check_head(address: str) -> None:
    """Raise ConfigError for what is not a head's address, ServiceError if no Ray answers there.

    ConfigError, too, if others can read the token. `auto` is the Ray of this machine.
    """
    check_token_file()
    if address == "auto":
        local = find_local_head()
        if local is None:
            raise ServiceError(
                "RAY_ADDRESS auto: no Ray runs on this machine; start one, or give {head}.",
                head=tr(_HEAD),
            )
        address = local
    host, colon, port = address.rpartition(":")
    if "://" in address:
        raise ConfigError(
            "RAY_ADDRESS: found {address!r}; expected {head}, on a node of the cluster; or "
            "submit from elsewhere with --address http://host:8265.",
            address=address,
            head=tr(_HEAD),
        )
    if not (colon and host and port.isdecimal()):
        raise ConfigError(
            "RAY_ADDRESS: found {address!r}; expected {head}.", address=address, head=tr(_HEAD)
        )
    # With Ray's own certificates between, which Ray alone reads, nobody else can ask.
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        _ask(address)


def hint() -> str:
    """Say what a RAY_ADDRESS is expected to be."""
    return tr(
        "expected {head}, on a node of the cluster; where it asks for tokens {token}.",
        head=tr(_HEAD),
        token=tr(_TOKEN),
    )


def check_dashboard(address: str) -> None:
    """Raise ConfigError for what is not a dashboard's address, ServiceError if none answers there.

    ConfigError, too, if others can read the token.
    """
    check_token_file()
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            "--address: found {address!r}; expected {dashboard}.",
            address=address,
            dashboard=tr(_DASHBOARD),
        )
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
        "--address {address}: no dashboard answers there within {seconds:g} s "
        "({reason}); expected {dashboard}.",
        address=address,
        seconds=_TIMEOUT_S,
        reason=reason,
        dashboard=tr(_DASHBOARD),
    )


def _ask(address: str) -> None:
    """Raise ServiceError if nothing that speaks gRPC answers, or if it wants a token in vain."""
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(HEAD_CALL)(b"", timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code = error.code()
        else:
            return
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise ServiceError(
            "RAY_ADDRESS {address}: no Ray answers there within {seconds:g} s; expected "
            "{head}; see `ray status` on the head, or unset RAY_ADDRESS for a Ray of this "
            "machine's own.",
            address=address,
            seconds=_TIMEOUT_S,
            head=tr(_HEAD),
        )
    if code == grpc.StatusCode.UNAUTHENTICATED and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ServiceError(
            "RAY_ADDRESS {address}: the cluster asks for a token; {token}.",
            address=address,
            token=tr(_TOKEN),
        )
