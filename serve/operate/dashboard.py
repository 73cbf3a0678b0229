"""Read and replace what is deployed, by Serve's declarative API on a Ray cluster's dashboard."""

import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medembed.errors import ServiceError, first_line
from medembed.language import tr

EMBEDDER = "Embedder"
IMPORT_PATH = "serve.app:build"
# What a deployment keeps of the instance, so that one application alone changes.
_KEPT = ("proxy_location", "http_options", "grpc_options", "target_capacity")
_RUNNING_STATES = {"RUNNING", "UPDATING", "STARTING", "RECOVERING", "PENDING_MIGRATION"}


class Dashboard:
    """A connection. Raises ServiceError, on one line, for whatever it cannot do."""

    def __init__(self, address: str, token: str | None = None) -> None:
        """Without a token, Ray looks for one: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray."""
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self.address = address.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self.client = self._try(
            tr("cannot connect"), ServeSubmissionClient, self.address, headers=headers
        )

    def details(self) -> dict[str, Any]:
        """Return Serve's state: options, and per application its config, status and replicas."""
        return self._try(tr("cannot read what is deployed"), self.client.get_serve_details)

    def deploy(self, config: dict[str, Any]) -> None:
        """Replace what is deployed; returns when Serve has noted it, not when it is done."""
        self._try(tr("the config was not taken"), self.client.deploy_applications, config)

    def _try(self, what: str, call: Any, *arguments: Any, **named: Any) -> Any:
        import requests
        from ray.exceptions import RayError

        try:
            return call(*arguments, **named)
        except (
            ConnectionError,
            RuntimeError,
            ValueError,
            RayError,
            requests.RequestException,
        ) as error:
            raise ServiceError(
                "Ray's dashboard at {address}: {what}: {reason}",
                address=self.address,
                what=what,
                reason=first_line(error),
            ) from None


def token_file(workspace: str, address: str) -> Path:
    """Return where `medembed serve` keeps the token of its private Ray while it runs, mode 0600."""
    return Path(workspace) / "serving" / f"{urlsplit(address).netloc.replace(':', '-')}.token"


def read_token(workspace: str, address: str) -> str | None:
    """Return the token for this address, if a `medembed serve` of this workspace runs there."""
    file = token_file(workspace, address)
    return file.read_text().strip() if file.is_file() else None


def deployed_app(details: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the config of our application of this name. Raises ServiceError if it has none."""
    app = details["applications"].get(name)
    if app is None:
        raise ServiceError(
            "serving.app {name}: not deployed there; found: {names}. Deploy it, or name another.",
            name=name,
            names=", ".join(details["applications"]) or tr("none"),
        )
    config = app.get("deployed_app_config")
    if config is None or config.get("import_path") != IMPORT_PATH:
        raise ServiceError(
            "serving.app {name}: not deployed from a config with import_path {import_path}, "
            "so its model cannot be swapped; deploy it with medembed serve or serve deploy.",
            name=name,
            import_path=IMPORT_PATH,
        )
    return dict(config)


def with_user_config(details: dict[str, Any], name: str, user_config: Any) -> dict[str, Any]:
    """Return the whole config that is deployed, with another `user_config` of this Embedder."""
    apps: dict[str, Any] = {}
    for app, state in details["applications"].items():
        # The others were not deployed from configs: Serve leaves them.
        if state.get("deployed_app_config") is not None:
            apps[app] = copy.deepcopy(state["deployed_app_config"])
    deployments = apps[name].setdefault("deployments", [])
    for deployment in deployments:
        if deployment["name"] == EMBEDDER:
            deployment["user_config"] = user_config
            break
    else:
        deployments.append({"name": EMBEDDER, "user_config": user_config})
    kept = {key: details[key] for key in _KEPT if details.get(key) is not None}
    return {**kept, "applications": list(apps.values())}


def replicas_of(details: dict[str, Any], name: str) -> dict[str, str]:
    """Return {replica id: state} of the application's Embedder, without those that stop."""
    deployment = details["applications"].get(name, {}).get("deployments", {}).get(EMBEDDER, {})
    states: dict[str, str] = {}
    for replica in deployment.get("replicas", []):
        if replica["state"] in _RUNNING_STATES:
            states[replica["replica_id"]] = replica["state"]
    return states


def server_url(details: dict[str, Any], config: dict[str, Any], address: str) -> str:
    """Return where the application answers; if on all interfaces, at the dashboard's host."""
    options = details.get("http_options") or {}
    host = options.get("host", "127.0.0.1")
    if host in ("0.0.0.0", "::"):
        host = urlsplit(address).hostname
    prefix = options.get("root_path", "") + (config.get("route_prefix") or "/")
    return f"http://{host}:{options.get('port', 8000)}{prefix}".rstrip("/")
