"""Promotion: a version is loaded here, then taken by all replicas of a running server, then made
champion.

In this order, so that the alias never names what does not load, or what a server refused.
"""

from collections.abc import Sequence
from typing import Any

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import MedEmbedError, ServiceError
from medembed.registry.champion import check_unmoved, make_champion, read_champion
from medembed.registry.models import CHAMPION, Registry, Version
from serve.app import Located, ServeConfig, read_arguments, resolve_extra, resolve_main
from serve.operate.swap import Server, ServingConfig, UserConfig


def promote(registry: Registry, version: Version, serving: ServingConfig) -> list[str]:
    """Makes the version champion, as `replace_champion` does, whoever is champion now."""
    return replace_champion(registry, version, serving, read_champion(registry, version.name))


def replace_champion(
    registry: Registry, version: Version, serving: ServingConfig, seen: str | None
) -> list[str]:
    """Makes the version champion, and the former one `previous`; says on each line what is so now.

    `seen` is the champion that the version was compared with: no other one is replaced. Raises
    ModelError for one that cannot be loaded, StorageError for a table that is not the model's,
    ServiceError for a server that did not take it: alias and server are then as they were.
    """
    from mlflow.exceptions import MlflowException

    fingerprint = check_loads(version)
    check_unmoved(registry, version.name, seen)
    server = Server(serving, registry.config.workspace) if serving.address is not None else None
    before = server.current() if server else {}
    told = [tell(server, version, fingerprint)] if server else []
    try:
        make_champion(registry, version, seen)
    # somebody else was quicker, or the registry is gone
    except (ServiceError, MlflowException) as error:
        if server is None:
            raise
        reason = (
            str(error)
            if isinstance(error, ServiceError)
            else f"the registry fails ({type(error).__name__});"
        )
        raise ServiceError(
            f"{reason} {_put_back(server, before, registry, version.name)}"
        ) from None
    former = "" if seen in (None, version.version) else f", before it {seen}"
    lines = [
        f"models:/{version.name}@{CHAMPION} is now version {version.version}{former}: "
        f"{version.source}"
    ]
    hint = f"a running server is told by serving.address=<its Ray dashboard>, e.g. {EXAMPLE}"
    return [*lines, *(told or [hint])]


def _put_back(server: Server, former: UserConfig, registry: Registry, name: str) -> str:
    """Has the server answer with the champion of now, of which it may have heard before this
    promotion, or with what it had before where there is none to be read; a line that says so."""
    from mlflow.exceptions import MlflowException

    try:
        now = registry.resolve(f"models:/{name}@{CHAMPION}")
        return tell(server, now, now.lineage.encoder or "unknown")
    # no registry, no champion, or one that the server does not take
    except (MedEmbedError, MlflowException):
        try:
            return f"{server.url}: {server.swap(former).replicas} replicas answer as before"
        except ServiceError as error:
            return f"And the server could not be put back: {error}"


EXAMPLE = "http://127.0.0.1:8265"


def check_loads(version: Version) -> str:
    """The fingerprint of the version's model, which was loaded and has encoded a text."""
    # no conversion for a text
    encoder = Encoder.load(version.source, EncodingConfig(backend="torch"))
    encoder.encode(["warm up"], "query")
    return encoder.fingerprint


def tell(server: Server, version: Version, fingerprint: str) -> str:
    """Has the server serve the version; a line that says since when. Raises ServiceError if it does
    not.
    """
    current = server.current()
    config = read_arguments(server.app.get("args", {}))
    swapped = server.swap(current | change(config, current, version))
    if not swapped.replicas:
        return f"{server.url}: no replica runs now; the next one loads version {version.version}"
    return (
        f"{server.url}: all replicas ({swapped.replicas}) answer with version {version.version}, "
        f"fingerprint {fingerprint}, after {swapped.seconds:.1f} s"
    )


def change(config: ServeConfig, current: UserConfig, version: Version) -> UserConfig:
    """What changes in a server's `user_config` where this version becomes champion; the rest stays
    as it runs.

    Raises ServiceError if the server serves nothing of this registered model.
    """
    located, changed = Located.of(version), dict[str, Any]()
    if follows(config.model, version):
        changed |= resolve_main(config, located)
    extras = [name for name, model in config.models.items() if follows(model, version)]
    if extras:
        changed["models"] = current["models"] | {name: resolve_extra(located) for name in extras}
    if not changed:
        served: Sequence[str] = [config.model, *config.models.values()]
        raise ServiceError(
            f"the server was deployed with {', '.join(served)}; expected "
            f"models:/{version.name}@{CHAMPION} or a version of it: promote what it serves, or "
            "deploy it anew."
        )
    return changed


def follows(model: str, version: Version) -> bool:
    """Whether a server's `model` is the champion, or some version, of this registered model."""
    return model == f"models:/{version.name}@{CHAMPION}" or model.startswith(
        f"models:/{version.name}/"
    )
