"""Change what a running server serves, and wait until every replica answers with it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from pydantic import Field

from medembed.config import Config
from medembed.errors import ServiceError
from medembed.language import tr
from medembed.schema import fingerprint
from serve.operate.dashboard import (
    EMBEDDER,
    Dashboard,
    deployed_app,
    read_token,
    replicas_of,
    server_url,
    with_user_config,
)
from serve.operate.safety import check_dashboard
from serve.replica.protocol import REPLICAS, ReplicaEntry
from serve.replica.served_model import ModelSettings

_BEGIN_S = 60.0
_PAUSE_S = 0.1
UserConfig = dict[str, Any]
Seen = TypeVar("Seen")


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


class ServerState(NamedTuple):
    """Serve's state of each replica by its id, and what each replica says that it serves."""

    states: dict[str, str]
    reports: list[ReplicaEntry]


class Server:
    """A deployed application, of which the dashboard and the replicas are asked."""

    def __init__(self, config: ServingConfig, workspace: str) -> None:
        """`workspace` may hold the token of a `medembed serve`. Raises ServiceError."""
        assert config.address is not None
        self.config = config
        check_dashboard(config.address, config.without_token, "serving.without_token")
        self.dashboard = Dashboard(config.address, read_token(workspace, config.address))
        details = self.dashboard.details()
        self.app = deployed_app(details, config.app)
        self.url = config.url or server_url(details, self.app, config.address)

    def current(self) -> UserConfig:
        """Return the Embedder's `user_config` that Serve holds."""
        deployments = self.dashboard.details()["applications"][self.config.app]["deployments"]
        config = deployments.get(EMBEDDER, {}).get("deployment_config", {}).get("user_config")
        if not config:
            raise ServiceError(
                "serving.app {app}: is not up yet, or failed; see serve status.",
                app=self.config.app,
            )
        return dict(config)

    def has_replica(self) -> bool:
        """Return whether a replica runs, which loads what it is told to serve before it does."""
        return "RUNNING" in replicas_of(self.dashboard.details(), self.config.app).values()

    def put(self, user_config: UserConfig) -> None:
        """Have Serve reconfigure the replicas; returns when Serve has begun, by its own account."""
        details = self.dashboard.details()
        self.dashboard.deploy(with_user_config(details, self.config.app, user_config))
        for current in _look_until(self.current, _BEGIN_S):
            if current == user_config:
                return
        raise ServiceError(
            "serving.app {app}: did not begin to swap within {seconds:g} s; see serve status.",
            app=self.config.app,
            seconds=_BEGIN_S,
        )

    def reports(self) -> list[ReplicaEntry]:
        """Return what each replica serves. Raises ServiceError if the server does not answer."""
        url = f"{self.url}{REPLICAS}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                replicas: list[ReplicaEntry] = json.load(response)["replicas"]
                return replicas
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
            raise ServiceError(
                "{url}: cannot ask the replicas: {reason}; if it answers elsewhere, give "
                "serving.url.",
                url=url,
                reason=error,
            ) from None

    def swap(self, user_config: UserConfig) -> int:
        """Serve this from now on; return how many replicas do, which are all of them.

        Raises ServiceError if a replica refused it or time ran out: the former is then back.
        """
        former = self.current()
        self._look()  # a server that cannot be asked would not tell, half-way, whether it swapped
        try:
            self.put(user_config)
            return wait_until_taken(self._look, user_config, self.config.timeout_s)
        except ServiceError as error:
            if self.current() == user_config:  # else somebody else has put another there
                self.put(former)
            raise ServiceError(
                "{model} was not taken: {reason}; {former} serves.",
                model=_name(user_config),
                reason=error,
                former=_name(former),
            ) from None

    def _look(self) -> ServerState:
        # Where no replica runs none is asked: the request would wait until one does.
        states = replicas_of(self.dashboard.details(), self.config.app)
        return ServerState(states, self.reports() if "RUNNING" in states.values() else [])


def wait_until_taken(
    look: Callable[[], ServerState], user_config: UserConfig, timeout_s: float
) -> int:
    """Return how many replicas serve this, once all of them do.

    Raises ServiceError if one refused it, or if some do not serve it after `timeout_s`.
    """
    wanted = fingerprint(user_config)
    count = 0
    missing: list[str] = []
    for states, reports in _look_until(look, timeout_s):
        count = len(states)
        reasons = [report["reason"] for report in reports if report["refused"] == wanted]
        if reasons:
            raise ServiceError(
                "{refused} of {count} replicas could not load it: {reason}",
                refused=len(reasons),
                count=count,
                reason=reasons[0],
            )
        serving = {report["replica"] for report in reports if report["config"] == wanted}
        running = {replica for replica, state in states.items() if state == "RUNNING"}
        missing = [replica for replica in states if replica not in serving & running]
        if not missing:
            return count
    raise ServiceError(
        "{missing} of {count} replicas do not serve it after {timeout_s:g} s (serving.timeout_s)",
        missing=len(missing),
        count=count,
        timeout_s=timeout_s,
    )


def _name(user_config: UserConfig) -> str:
    settings = ModelSettings.model_validate(user_config)
    return tr("{name} version {version}", name=settings.name, version=settings.version)


def _look_until(look: Callable[[], Seen], timeout_s: float) -> Iterator[Seen]:
    """Look again and again, at least once, until time is up."""
    end = time.monotonic() + timeout_s
    while True:
        yield look()
        if time.monotonic() > end:
            return
        time.sleep(_PAUSE_S)
