"""Find the registered versions behind what a person names: a model, a table, a checkpoint or a
running server.
"""

import json
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from medembed import storage
from medembed.custody.chain import Chains, Link
from medembed.custody.places import read_output
from medembed.data.dataset import format_counts
from medembed.errors import ServiceError, StorageError
from medembed.language import tr, tr_count
from medembed.lineage import CheckpointManifest, TableManifest
from medembed.registry.models import Registry

_TIMEOUT_S = 30


@dataclass
class Origins:
    """Models to begin with, and lines that say where each was met, e.g. which replicas serve it."""

    links: list[Link]
    lines: list[str] = field(default_factory=list)


class _Served(NamedTuple):
    """What a replica serves."""

    version: str
    encoder: str
    table_version: int | None


def find(of: str, registry: Registry) -> Origins:
    """Find the models behind models:/..., a checkpoint's folder, a table's URI or a server's
    http(s) URL.

    Of another output it finds the newest model that was trained on it, or whose scores or vectors
    it has. Raises ServiceError or StorageError that says what was found instead.
    """
    if of.startswith("models:/"):
        version = registry.resolve(of)
        return Origins([Chains(registry, version.name).link(version)])
    chains = Chains(registry, registry.config.model_name)
    if of.startswith(("http://", "https://")):
        return _ask_server(of.rstrip("/"), chains)
    uri = storage.absolute(of)
    manifest = read_output(uri)
    if manifest is None:
        raise StorageError(
            "{uri}: neither an embedding table nor a checkpoint, nor another output of a "
            "job; give models:/<name>@<alias>, models:/<name>/<version>, an output's folder, "
            "a table's URI or a server's http:// URL.",
            uri=uri,
        )
    if isinstance(manifest, CheckpointManifest):
        encoder = manifest.fingerprint
        return Origins([chains.find(encoder) or Link(None, uri, encoder, manifest)])
    link = chains.find_trained_on(manifest)
    if link is None and manifest.encoder is not None:
        link = chains.find(manifest.encoder)
    kind = tr(manifest.kind)
    if isinstance(manifest, TableManifest):
        kind = tr("table at version {version}", version=manifest.version)
    facts = [kind, format_counts(manifest.counts)]
    if manifest.encoder:
        facts.append(tr("encoder {encoder}", encoder=manifest.encoder))
    line = tr("{uri}: {facts}", uri=uri, facts=", ".join(facts))
    if link is None:
        raise ServiceError(
            "{line}; no registered version has this encoder or was trained on it; base "
            "models are not registered; see medembed models.",
            line=line,
        )
    return Origins([link], [line])


def _ask_server(url: str, chains: Chains) -> Origins:
    """Find the versions that a server's replicas serve, those of most replicas first."""
    replicas = _get(f"{url}/health/replicas", "replicas")
    serving: Counter[_Served] = Counter()
    for replica in replicas:
        if replica["fingerprint"] is not None:
            served = _Served(replica["version"], replica["fingerprint"], replica["table_version"])
            serving[served] += 1
    if replicas and not serving:
        raise ServiceError(
            "{url}: no replica could load its model: {reason}",
            url=url,
            reason=replicas[0]["reason"],
        )
    if not replicas:  # scaled to zero
        model = _get(f"{url}/v1/models", "data")[0]
        table = model["table"]["version"] if model["table"] else None
        serving[_Served(model["version"], model["fingerprint"], table)] = 0
    origins = Origins([])
    for served, count in serving.most_common():
        line = tr("{uri}: {facts}", uri=url, facts=_describe(served, count, len(replicas)))
        link = chains.find(served.encoder)
        if link is None:
            raise ServiceError(
                "{line}; no registered version has this encoder; is this the registry that the "
                "server was started with? See medembed models.",
                line=line,
            )
        origins.lines.append(line)
        if link not in origins.links:
            origins.links.append(link)
    return origins


def _describe(served: _Served, count: int, replicas: int) -> str:
    """Say how many of so many replicas serve it."""
    table = tr("no table")
    if served.table_version is not None:
        table = tr("table version {version}", version=served.table_version)
    values = {"version": served.version, "encoder": served.encoder, "table": table}
    if not replicas:
        return tr(
            "no replica runs; when asked, one serves version {version}, encoder {encoder}, {table}",
            **values,
        )
    return tr_count(
        "{count} of {replicas} replicas serves version {version}, encoder {encoder}, {table}",
        "{count} of {replicas} replicas serve version {version}, encoder {encoder}, {table}",
        count,
        replicas=replicas,
        **values,
    )


def _get(url: str, name: str) -> list[dict[str, Any]]:
    """Return the list that a server answers with under this name."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return list(json.load(response)[name])
    # URLError, a timeout and a lost connection are OSErrors
    except (OSError, ValueError, KeyError, TypeError) as error:
        is_missing = isinstance(error, KeyError)
        reason = tr("no {name!r} in its answer", name=name) if is_missing else error
        raise ServiceError(
            "{url}: expected a MedEmbed server there: {reason}.", url=url, reason=reason
        ) from None
