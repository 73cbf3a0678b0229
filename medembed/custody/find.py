"""What a person names, a model, a table or a running server -> the registered versions behind
it.
"""

import json
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

from medembed import storage
from medembed.custody.chain import Chains, Link, describe_versions
from medembed.custody.inventory import known_manifest
from medembed.encoding.open_table import find_newest
from medembed.errors import ServiceError, StorageError
from medembed.lineage import CheckpointManifest
from medembed.registry.models import Registry

_REPLICAS, _MODELS = "/health/replicas", "/v1/models"
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Found:
    """Models to begin with, and lines that say where they were found, e.g. which replicas serve
    them.
    """

    links: tuple[Link, ...]
    lines: tuple[str, ...] = ()


def find(of: str, registry: Registry) -> Found:
    """The models behind models:/..., a checkpoint's folder, a table's URI or a server's http(s)
    URL.

    Raises ServiceError or StorageError that says what was found instead.
    """
    if of.startswith("models:/"):
        version = registry.resolve(of)
        return Found((Chains(registry, version.name).link(version),))
    chains = Chains(registry, registry.config.model_name)
    if of.startswith(("http://", "https://")):
        return _ask_server(of.rstrip("/"), chains)
    return _look_at(storage.absolute(of), chains)


def _look_at(uri: str, chains: Chains) -> Found:
    manifest = known_manifest(uri, CheckpointManifest)
    if manifest is not None:
        version = next(
            (one for one in chains.versions if one.source.rstrip("/") == uri.rstrip("/")), None
        )
        return Found(
            (chains.link(version) if version else Link(None, uri, manifest.fingerprint, manifest),)
        )
    table = find_newest(uri)
    if table is None:
        raise StorageError(
            f"{uri}: neither an embedding table nor a checkpoint; give models:/<name>@<alias>, "
            "models:/<name>/<version>, a table's URI or a server's http:// URL."
        )
    line = (
        f"{uri}: table at version {table.version}, {table.rows:,} rows, encoder "
        f"{table.info.encoder}"
    )
    version = chains.find(table.info.encoder)
    if version is None:
        raise ServiceError(
            f"{line}, data set {table.info.dataset or 'not recorded'}; no registered version has "
            "this encoder, as that of a base model has none; registered: "
            f"{describe_versions(chains.versions)}."
        )
    return Found((chains.link(version),), (line,))


def _ask_server(url: str, chains: Chains) -> Found:
    """The versions that a server's replicas serve, those of most replicas first."""
    replicas = _get(url + _REPLICAS, "replicas")
    loaded = [each for each in replicas if each["fingerprint"] is not None]
    if replicas and not loaded:
        raise ServiceError(f"{url}: no replica could load its model: {replicas[0]['reason']}")
    serving = Counter((one["version"], one["fingerprint"], one["table_version"]) for one in loaded)
    if not replicas:  # scaled to zero
        model = _get(url + _MODELS, "data")[0]
        table = model["table"] and model["table"]["version"]
        serving[(model["version"], model["fingerprint"], table)] = 0
    links, lines = [], []
    for (number, encoder, table), count in serving.most_common():
        of = (
            f"{count} of {len(replicas)} replicas"
            if replicas
            else "no replica runs; when asked, one"
        )
        serves = "serve" if count > 1 else "serves"
        searched = f", table version {table}" if table is not None else ", no table"
        lines.append(f"{url}: {of} {serves} version {number}, encoder {encoder}{searched}")
        version = next((one for one in chains.versions if one.version == number), None)
        link = chains.link(version) if version else None
        if link is None or link.encoder != encoder:
            other = chains.find(encoder)
            link = chains.link(other) if other else None
        if link is None:
            raise ServiceError(
                f"{lines[-1]}; no registered version has this encoder; registered: "
                f"{describe_versions(chains.versions)}. Is this the registry that the server was "
                "started with?"
            )
        links.append(link)
    return Found(tuple({link.name: link for link in links}.values()), tuple(lines))


def _get(url: str, name: str) -> list[dict[str, Any]]:
    """The list that a server answers with under this name."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            return list(json.load(response)[name])
    except (
        urllib.error.URLError,
        TimeoutError,
        ConnectionError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        told = f"no {name!r} in its answer" if isinstance(error, KeyError) else error
        raise ServiceError(f"{url}: expected a MedEmbed server there: {told}.") from None
