"""Promote a version: have all replicas of a running server take it, then move the alias.

In this order, so that the alias never names what does not load, or what a server refused. Where no
replica runs, the version is loaded here.
"""

import time

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.int8_graph import FACTS, encoder_fingerprint
from medembed.encoding.modules import fetch_encoder
from medembed.errors import MedEmbedError, ServiceError
from medembed.language import to_translate, tr
from medembed.registry.catalog import set_tags
from medembed.registry.champion import (
    check_candidate,
    check_unmoved,
    find_previous,
    make_champion,
    read_champion,
)
from medembed.registry.models import CHAMPION, Registry, Version
from medembed.tags import Lineage
from serve.config import ServeConfig, read_arguments
from serve.operate.swap import Server, ServingConfig, UserConfig
from serve.resolve import LocatedModel, resolve_located

_HINT = to_translate(
    "a running server is told by serving.address=<its Ray dashboard>, e.g. http://127.0.0.1:8265"
)


def promote_candidate(
    registry: Registry, version: Version, serving: ServingConfig, reason: str | None = None
) -> list[str]:
    """Make a candidate champion, as `replace_champion` does; for a reason, which is kept with the
    version, one too that its retraining refused, or compared with another champion.
    """
    if reason is None:
        return replace_champion(registry, version, serving, check_candidate(registry, version))
    lines = promote(registry, version, serving)
    set_tags(registry, version, Lineage(reason=reason))
    return lines


def roll_back(registry: Registry, serving: ServingConfig) -> list[str]:
    """Make the champion before this one champion again, as `replace_champion` does."""
    return promote(registry, find_previous(registry, registry.config.model_name), serving)


def promote(registry: Registry, version: Version, serving: ServingConfig) -> list[str]:
    """Make the version champion, as `replace_champion` does, whoever is champion now."""
    return replace_champion(registry, version, serving, read_champion(registry, version.name))


def replace_champion(
    registry: Registry, version: Version, serving: ServingConfig, seen: str | None
) -> list[str]:
    """Make the version champion, and the former one `previous`; return lines that say so.

    `seen` is the champion that the version was compared with: no other one is replaced. Raises
    ModelError for one that cannot be loaded here, StorageError for a table that is not the model's,
    ServiceError for a server that did not take it: alias and server are then as they were.
    """
    from mlflow.exceptions import MlflowException

    check_unmoved(registry, version.name, seen)
    server: Server | None = None
    before: UserConfig = {}
    server_line = tr(_HINT)
    if serving.address is None:
        check_loads(version)
    else:
        server = Server(serving, registry.config.workspace)
        if not server.has_replica():
            check_loads(version)
        before = server.current()
        server_line = swap_to(server, version)
    try:
        make_champion(registry, version, seen)
    # somebody else was quicker, or the registry is gone
    except (ServiceError, MlflowException) as error:
        if server is None:
            raise
        reason = str(error)
        if isinstance(error, MlflowException):
            reason = tr("the registry fails ({error});", error=type(error).__name__)
        put_back = _put_back(server, before, registry, version.name)
        raise ServiceError(f"{reason} {put_back}") from None
    former = "" if seen in (None, version.version) else tr(", before it {seen}", seen=seen)
    champion_line = tr(
        "models:/{name}@{champion} is now version {version}{former}: {source}",
        name=version.name,
        champion=CHAMPION,
        version=version.version,
        former=former,
        source=version.source,
    )
    return [champion_line, server_line]


def _put_back(server: Server, former: UserConfig, registry: Registry, name: str) -> str:
    """Have the server answer with the champion of now; return a line that says so.

    Where there is no champion, no registry, or one that the server does not take, it answers again
    with what it had before.
    """
    from mlflow.exceptions import MlflowException

    try:
        champion = registry.resolve(f"models:/{name}@{CHAMPION}")
        return swap_to(server, champion)
    except (MedEmbedError, MlflowException):
        try:
            return tr(
                "{url}: {count} replicas answer as before",
                url=server.url,
                count=server.swap(former),
            )
        except ServiceError as error:
            return tr("And the server could not be put back: {error}", error=error)


def check_loads(version: Version) -> None:
    """Load the version's model and encode a text. Raises ModelError if that fails."""
    # torch: a conversion would take longer than the one text
    encoder = Encoder.load(version.source, EncodingConfig(backend="torch"))
    encoder.encode(["warm up"], "query")


def swap_to(server: Server, version: Version) -> str:
    """Have the server serve the version; return a line that says since when.

    Raises ServiceError if it does not.
    """
    config = read_arguments(server.app.get("args", {}))
    check_follows(config, version)
    if config.encoding.is_int8:
        check_int8(version)
    settings = resolve_located(config, LocatedModel.of(version))
    started = time.monotonic()
    replicas = server.swap(settings.model_dump(mode="json"))
    if not replicas:
        return tr(
            "{url}: no replica runs now; the next one loads version {version}",
            url=server.url,
            version=version.version,
        )
    return tr(
        "{url}: all replicas ({count}) answer with version {version}, fingerprint {fingerprint}, "
        "after {seconds:.1f} s",
        url=server.url,
        count=replicas,
        version=version.version,
        fingerprint=encoder_fingerprint(fetch_encoder(version.source), config.encoding),
        seconds=time.monotonic() - started,
    )


def check_follows(config: ServeConfig, version: Version) -> None:
    """Raise ServiceError unless the server has the champion, or a version, of this model."""
    champion = f"models:/{version.name}@{CHAMPION}"
    if config.model != champion and not config.model.startswith(f"models:/{version.name}/"):
        raise ServiceError(
            "the server was deployed with {model}; expected {champion} or a version of it: "
            "promote what it serves, or deploy it anew.",
            model=config.model,
            champion=champion,
        )


def check_int8(version: Version) -> None:
    """Raise ServiceError for a version without the int8 graph that a server computes by."""
    if not (fetch_encoder(version.source) / FACTS).is_file():
        raise ServiceError(
            "{reference}: has no int8 graph, but the server was deployed with precision=int8: run "
            "`medembed quantize model={reference} data=... output=...`, then `medembed encode` "
            "with encoding.precision=int8 if it has a table, and promote the version that quantize "
            "prints.",
            reference=version.reference,
        )
