"""Registered versions that nobody needs any more, and what only they refer to: named first, removed
only when told.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.chain import Chains, Link, name_of
from medembed.custody.inventory import is_reached, known_manifest, known_table, outputs_in, plain
from medembed.custody.kept import select_kept
from medembed.custody.remove import MARK, is_leaving, remove, size_of
from medembed.errors import ServiceError
from medembed.lineage import EvaluationManifest, ExamplesManifest, Source
from medembed.registry.catalog import all_models, delete_version
from medembed.registry.models import Registry, Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaving:
    """A version that goes, and what goes with it, {URI: bytes}, in this order; `notes` say what
    stays, and why.
    """

    version: Version
    sizes: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


@dataclass
class _Needed:
    """What kept versions refer to. Of their parents that is not the parents' parents, or nothing
    would ever go.

    `named` are the places of all versions, kept or not.
    """

    named: set[str]
    places: set[str] = field(default_factory=set)
    encoders: set[str] = field(default_factory=set)


def find_leaving(
    registry: Registry, keep: int, places: Sequence[str] = (), keep_versions: Collection[str] = ()
) -> tuple[list[Version], list[Leaving]]:
    """(versions kept, versions that go with what only they refer to), newest first; changes
    nothing.

    Kept are those with an alias, as champion and previous, the newest `keep`, those with the
    numbers `keep_versions`, and the models that these, or versions of any other registered model,
    were trained from; with all that those of others refer to. Evaluations are looked for beside the
    checkpoints and in `places`. Raises ServiceError if no version has one of these numbers.
    """
    name = registry.config.model_name
    chains = Chains(registry, name)
    missing = set(keep_versions) - {one.version for one in chains.versions}
    if missing:
        raise ServiceError(
            f"keep_versions: models:/{name}/{min(missing)} is not in the registry; see "
            "medembed models."
        )
    selected = select_kept(chains.versions, chains.aliases, keep)
    kept = [one for one in chains.versions if one in selected or one.version in keep_versions]
    links = [chains.link(version) for version in kept]
    parents = [link for one in links if (link := chains.parent(one)) is not None]
    others = [chains.link(version) for version in all_models(registry) if version.name != name]
    parents += [
        chains.link(found)
        for one in others
        if one.parent and (found := chains.find(one.parent.fingerprint))
    ]
    needed = _Needed({uri for version in chains.versions for uri in _places_of(version)})
    numbers = {one.version for one in kept}
    for link in [*links, *others]:
        needed.places |= {plain(link.parent.uri)} if link.parent and link.parent.uri else set()
    for link in [*links, *parents, *others]:
        _note_needs(link, needed)
    numbers |= {link.version.version for link in parents if link.version}
    going = [one for one in chains.versions if one.version not in numbers]
    staying = [one for one in chains.versions if one.version in numbers]
    return staying, [_find_parts(chains.link(version), needed, places) for version in going]


def remove_versions(registry: Registry, leaving: Sequence[Leaving]) -> list[str]:
    """Removes versions with what only they refer to, each one's registry entry last, so that a run
    after a death finds it and finishes; returns the names of those that have been given an alias
    meanwhile, which stay with what they name.
    """
    stayed = []
    for one in leaving:
        name = name_of(one.version)
        # read again before each: promotions go on
        aliased = set(registry.aliases(one.version.name).values())
        if one.version.version in aliased:
            stayed.append(name)
            continue
        staying = [other.version for other in leaving if other.version.version in aliased]
        needed = {uri for version in staying for uri in _places_of(version)}
        for uri in one.sizes:
            if plain(uri) not in needed:
                remove(uri)
        delete_version(registry, one.version)
        logger.info("%s: removed, %s bytes", name, f"{one.bytes:,}")
    return stayed


def _places_of(version: Version) -> list[str]:
    return list(map(plain, [version.source, *version.lineage.data]))


def _note_needs(link: Link, needed: _Needed) -> None:
    named = link.lineage.examples
    examples = known_manifest(named.uri if named else None, ExamplesManifest)
    mined_from = examples.origin.table if examples else None
    needed.places |= {plain(uri) for uri in (*link.places, mined_from and mined_from.uri) if uri}
    needed.encoders |= {link.encoder} if link.encoder else set()


def _find_parts(link: Link, needed: _Needed, places: Sequence[str]) -> Leaving:
    assert link.version is not None
    parts: list[str] = []
    notes: list[str] = []
    if plain(link.source) not in needed.places:
        if link.manifest or is_leaving(link.source):
            parts.append(link.source)
        elif is_reached(link.source) and storage.exists(link.source):
            notes.append(f"its checkpoint {link.source} was not made here: it stays")
    parts += _find_evaluations(link, needed, places)
    table = link.lineage.table
    uri = table.uri if table else None
    if uri and plain(uri) not in needed.places and (is_leaving(uri) or _is_free(uri, needed)):
        parts.append(uri)
    return Leaving(link.version, {uri: size_of(uri) for uri in parts}, tuple(notes))


def _is_free(uri: str, needed: _Needed) -> bool:
    """Whether a table is ours, and of an encoder that no kept version is."""
    table = known_table(Source("", uri))
    return table is not None and table.info.encoder not in needed.encoders


def _find_evaluations(link: Link, needed: _Needed, places: Sequence[str]) -> list[str]:
    """Folders of evaluations of this encoder, and those that a dead run has half removed."""
    output = link.lineage.output
    folders = [*places, *([output] if output and is_reached(output) else [])]
    found: dict[str, None] = {}
    for folder in folders:
        for uri in outputs_in(folder, MANIFEST):
            evaluation = known_manifest(uri, EvaluationManifest)
            if (
                evaluation
                and evaluation.encoder == link.encoder
                and link.encoder not in needed.encoders
            ):
                found[uri] = None
        found |= dict.fromkeys(outputs_in(folder, MARK))
    return [uri for uri in found if plain(uri) not in needed.named]
