"""Registered versions that nobody needs any more, and what only they refer to: named first, removed only when told."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from medembed import storage
from medembed.custody.chain import Chains, Link, name_of
from medembed.custody.kept import select_kept
from medembed.custody.places import CHECKPOINT, known_manifest, known_table, places_of
from medembed.custody.remove import MARK, is_leaving, remove_output, remove_table, size_of
from medembed.custody.spots import search
from medembed.errors import ServiceError
from medembed.evaluation.files import KIND as EVALUATION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.registry.catalog import all_models, delete_version
from medembed.registry.models import Registry, Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaving:
    """A version that goes, and what goes with it: {URI: bytes}."""

    version: Version
    sizes: dict[str, int]
    checkpoint: str | None = None
    table: str | None = None
    evaluations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


@dataclass
class _Needed:
    """What kept versions refer to. Of their parents that is not the parents' parents, or nothing would ever go."""

    places: set[str] = field(default_factory=set)
    encoders: set[str] = field(default_factory=set)


def find_leaving(
    registry: Registry, keep: int, places: Sequence[str] = (), keep_versions: Collection[str] = ()
) -> tuple[list[Version], list[Leaving]]:
    """(versions kept, versions that go with what only they refer to), newest first; changes nothing.

    Kept are those with an alias, as champion and previous, the newest `keep`, those with the numbers `keep_versions`,
    and the models that these, or versions of any other registered model, were trained from; with all that those of
    others refer to. Evaluations are looked for beside the checkpoints and in `places`. Raises ServiceError if no
    version has one of these numbers.
    """
    name = registry.config.model_name
    chains = Chains(registry, name)
    missing = set(keep_versions) - {one.version for one in chains.versions}
    if missing:
        raise ServiceError(f"keep_versions: models:/{name}/{min(missing)} is not in the registry; see medembed models.")
    selected = select_kept(chains.versions, chains.aliases, keep)
    kept = [one for one in chains.versions if one in selected or one.version in keep_versions]
    links = [chains.link(version) for version in kept]
    parents = [link for one in links if (link := chains.parent(one)) is not None]
    others = [chains.link(version) for version in all_models(registry) if version.name != name]
    parents += [chains.link(found) for one in others if one.parent and (found := chains.find(one.parent[1]))]
    needed, numbers = _Needed(), {one.version for one in kept}
    for link in [*links, *others]:
        needed.places |= {_plain(link.parent[0])} if link.parent and link.parent[0] else set()
    for link in [*links, *parents, *others]:
        _note_needs(link, needed)
    numbers |= {link.version.version for link in parents if link.version}
    going = [one for one in chains.versions if one.version not in numbers]
    staying = [one for one in chains.versions if one.version in numbers]
    return staying, [_find_parts(chains.link(version), needed, places) for version in going]


def remove(registry: Registry, leaving: Sequence[Leaving]) -> list[str]:
    """Removes versions with what only they refer to, each one's registry entry last, so that a run after a death finds
    it and finishes; returns the names of those that have been given an alias meanwhile, which stay with what they name.
    """
    stayed = []
    for one in leaving:
        name = name_of(one.version)
        aliased = set(registry.aliases(one.version.name).values())  # read again before each: promotions go on
        if one.version.version in aliased:
            stayed.append(name)
            continue
        named = [places_of(other.version).all for other in leaving if other.version.version in aliased]
        needed = {_plain(uri) for places in named for uri in places}
        if one.checkpoint is not None and _plain(one.checkpoint) not in needed:
            _remove_output(one.checkpoint, CHECKPOINT)
        for uri in one.evaluations:
            _remove_output(uri, EVALUATION)
        if one.table is not None and _plain(one.table) not in needed:
            remove_table(one.table)
        delete_version(registry, one.version)
        logger.info("%s: removed, %s bytes", name, f"{one.bytes:,}")
    return stayed


def _note_needs(link: Link, needed: _Needed) -> None:
    places = link.places
    examples = known_manifest(places.examples, EXAMPLES) or {}
    mined_from = (examples.get("table") or {}).get("uri")
    needed.places |= {_plain(uri) for uri in (*places.all, mined_from) if uri}
    needed.encoders |= {link.encoder} if link.encoder else set()


def _find_parts(link: Link, needed: _Needed, places: Sequence[str]) -> Leaving:
    version = link.version
    assert version is not None
    named, notes = places_of(version), list[str]()
    checkpoint = table = None
    if _plain(named.checkpoint) not in needed.places:
        if link.manifest or is_leaving(named.checkpoint):
            checkpoint = named.checkpoint
        elif storage.scheme(named.checkpoint) in ("file", *storage.REMOTE) and storage.exists(named.checkpoint):
            notes.append(f"its checkpoint {named.checkpoint} was not made here: it stays")
    uri = named.table
    if uri and _plain(uri) not in needed.places and (is_leaving(uri) or _is_free(uri, needed)):
        table = uri
    evaluations = tuple(_find_evaluations(link, needed, places))
    sizes = {one: size_of(one) for one in (checkpoint, *evaluations, table) if one}
    return Leaving(version, sizes, checkpoint, table, evaluations, tuple(notes))


def _is_free(uri: str, needed: _Needed) -> bool:
    """Whether a table is ours, and of an encoder that no kept version is."""
    table = known_table(uri)
    return table is not None and table.info.encoder not in needed.encoders


def _find_evaluations(link: Link, needed: _Needed, places: Sequence[str]) -> Iterable[str]:
    """Folders of evaluations of this encoder, and those that a dead run has half removed."""
    root, models, _ = link.source.rpartition("/models/")
    folders = [*places, *([storage.join(root, "evaluations")] if models else [])]
    found: dict[str, None] = {}
    for folder in folders:
        for spot in search(folder):
            encoder = spot.manifest.get("encoder")
            if spot.kind == EVALUATION and encoder == link.encoder and encoder not in needed.encoders:
                found[spot.uri] = None
        for uri, _, _ in storage.find_files(storage.join(folder, "**", MARK)):
            found[uri.removesuffix(f"/{MARK}")] = None
    return [
        uri for uri in found if uri.rstrip("/") not in (link.source.rstrip("/"), (link.places.table or "").rstrip("/"))
    ]


def _remove_output(uri: str, kind: str) -> None:
    manifest = known_manifest(uri, kind)
    if manifest is not None or is_leaving(uri):
        remove_output(uri, (manifest or {"files": []})["files"])


def _plain(uri: str) -> str:
    return storage.absolute(uri).rstrip("/")
