"""Changes what a running server serves, and waits until every replica answers with it, or puts the
old one back.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from medembed.config import Config
from medembed.errors import ServiceError
from medembed.schema import fingerprint
from serve.http.openapi import REPLICAS, ReplicaEntry
from serve.operate.cluster_token import check_dashboard
from serve.operate.dashboard import (
    EMBEDDER,
    Dashboard,
    deployed_app,
    read_token,
    replicas_of,
    server_url,
    with_user_config,
)

_BEGIN_S = 60.0
_PAUSE_S = 0.2
UserConfig = dict[str, Any]


class ServingConfig(Config):
    """The running server that is told of a promotion."""

    address: str | None = Field(
        default=None,
        description="Ray dashboard of the server, e.g. http://127.0.0.1:8265; null: no server is "
        "told",
    )
    app: str = Field(default="medembed", description="name of its Serve application")
    url: str | None = Field(
        default=None,
        description="where the server answers, to ask its replicas; null: where the dashboard says",
    )
    without_token: bool = Field(
        default=False, description="tell a server on a Ray cluster that asks for no token"
    )
    timeout_s: float = Field(
        default=600, gt=0, description="seconds that its replicas may take to load the model"
    )


@dataclass(frozen=True)
class Swapped:
    """`replicas` answer with what they were told, all of them, `seconds` later."""

    replicas: int
    seconds: float


class Server:
    """A deployed application, as its dashboard and its replicas tell of it."""

    def __init__(self, config: ServingConfig, workspace: str) -> None:
        """`workspace` may hold the token of a `medembed serve`. Raises ServiceError for what is not
        there.
        """
        assert config.address is not None
        self.config = config
        check_dashboard(config.address, config.without_token, "serving.without_token")
        self.dashboard = Dashboard(config.address, read_token(workspace, config.address))
        details = self.dashboard.details()
        self.app = deployed_app(details, config.app)
        self.url = config.url or server_url(details, self.app, config.address)

    def current(self) -> UserConfig:
        """The Embedder's `user_config` that Serve holds."""
        deployments = self.dashboard.details()["applications"][self.config.app]["deployments"]
        found = deployments.get(EMBEDDER, {}).get("deployment_config", {}).get("user_config")
        if not found:
            raise ServiceError(
                f"serving.app {self.config.app}: is not up yet, or failed; see serve status."
            )
        return dict(found)

    def put(self, user_config: UserConfig) -> None:
        """Has Serve reconfigure the replicas, which goes on when this returns: Serve has begun, and
        says so itself.
        """
        self.dashboard.deploy(
            with_user_config(self.dashboard.details(), self.config.app, user_config)
        )
        for found in _until(self.current, _BEGIN_S):
            if found == user_config:
                return
        raise ServiceError(
            f"serving.app {self.config.app}: did not begin to swap within {_BEGIN_S:g} s; see "
            "serve status."
        )

    def reports(self) -> list[ReplicaEntry]:
        """What each replica says that it serves. Raises ServiceError if the server does not
        answer.
        """
        try:
            with urllib.request.urlopen(f"{self.url}{REPLICAS}", timeout=30) as response:
                found: list[ReplicaEntry] = json.load(response)["replicas"]
                return found
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
            raise ServiceError(
                f"{self.url}{REPLICAS}: cannot ask the replicas: {error}; if it answers "
                "elsewhere, give serving.url."
            ) from None

    def swap(self, user_config: UserConfig) -> Swapped:
        """Serves this from now on. Raises ServiceError if a replica refused it or time ran out: the
        former is back.
        """
        former, started = self.current(), time.monotonic()
        self._look()  # a server that cannot be asked would leave us in the dark half-way
        try:
            self.put(user_config)
            replicas = wait_until_taken(self._look, user_config, self.config.timeout_s)
        except ServiceError as error:
            if self.current() == user_config:  # else somebody else has put another there
                self.put(former)
            wanted, serving = name_changed(user_config, former), name_changed(former, user_config)
            raise ServiceError(f"{wanted} was not taken: {error}; {serving} serves.") from None
        return Swapped(replicas, time.monotonic() - started)

    def _look(self) -> tuple[dict[str, str], list[ReplicaEntry]]:
        """Where there is no replica none is asked: behind HAProxy the request would wait until one
        has started.
        """
        states = replicas_of(self.dashboard.details(), self.config.app)
        return states, self.reports() if states else []


def wait_until_taken(
    look: Callable[[], tuple[dict[str, str], list[ReplicaEntry]]],
    user_config: UserConfig,
    timeout_s: float,
) -> int:
    """How many replicas serve this; all of them do. `look()` gives ({replica: Serve's state}, what
    each reports).

    Raises ServiceError if one refused it, or if some do not serve it after `timeout_s`.
    """
    wanted, states, missing = fingerprint(user_config), dict[str, str](), list[str]()
    for states, reports in _until(look, timeout_s):
        reasons = [report["reason"] for report in reports if report["refused"] == wanted]
        if reasons:
            raise ServiceError(
                f"{len(reasons)} of {len(states)} replicas could not load it: {reasons[0]}"
            )
        serving = {report["replica"] for report in reports if report["config"] == wanted}
        missing = [
            replica
            for replica, state in states.items()
            if state != "RUNNING" or replica not in serving
        ]
        if not missing:
            return len(states)
    raise ServiceError(
        f"{len(missing)} of {len(states)} replicas do not serve it after {timeout_s:g} s "
        "(serving.timeout_s)"
    )


def name_changed(user_config: UserConfig, other: UserConfig) -> str:
    """ "medembed version 3, cardio version 2": the models that the other config has otherwise."""
    models = [{one["name"]: one, **one.get("models", {})} for one in (user_config, other)]
    facts = [
        {name: (one["model"], one["version"]) for name, one in found.items()} for found in models
    ]
    changed = [name for name in facts[0] if facts[0][name] != facts[1].get(name)] or [
        str(user_config["name"])
    ]
    return ", ".join(f"{name} version {facts[0][name][1]}" for name in changed)


def _until(look: Callable[[], Any], timeout_s: float) -> Iterator[Any]:
    end = time.monotonic() + timeout_s
    while True:
        yield look()
        if time.monotonic() > end:
            return
        time.sleep(_PAUSE_S)
