"""Find and remove registered versions that nobody needs any more, and what only they refer to."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from medembed import storage
from medembed.custody.chain import Chains, Link, name_of, select_kept
from medembed.custody.inventory import (
    is_reached,
    known_manifest,
    known_table,
    outputs_in,
    plain,
)
from medembed.custody.kinds import LeavingManifest
from medembed.custody.remove import remove
from medembed.errors import ServiceError
from medembed.lineage import EvaluationManifest, ExamplesManifest, Source
from medembed.registry.catalog import all_models, delete_version
from medembed.registry.models import Registry, Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaving:
    """A version that goes, {URI: bytes} of what goes with it, and `notes` on what stays."""

    version: Version
    sizes: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


class Pruning(NamedTuple):
    """Versions that are kept and those that go, newest first."""

    kept: list[Version]
    leaving: list[Leaving]


@dataclass
class _Needed:
    """What kept versions refer to; `named` are the places of all versions, kept or not."""

    named: set[str]
    places: set[str] = field(default_factory=set)
    encoders: set[str] = field(default_factory=set)

    def add(self, link: Link) -> None:
        """Note all that a kept model refers to, and what its examples were mined from."""
        mined = link.lineage.examples
        examples = known_manifest(mined.uri if mined else None, ExamplesManifest)
        data = examples.origin.data if examples else []
        self.places.update(map(plain, [*link.places, *data]))
        self.encoders.update([link.encoder] if link.encoder else [])

    def add_parent(self, link: Link) -> None:
        """Note where the model lies that a kept one was trained from."""
        parent = link.lineage.parent
        if parent and parent.uri:
            self.places.add(plain(parent.uri))

    def has(self, uri: str) -> bool:
        return plain(uri) in self.places


def find_leaving(
    registry: Registry, keep: int, places: Sequence[str] = (), keep_versions: Collection[str] = ()
) -> Pruning:
    """Find the versions that go with what only they refer to; changes nothing.

    Kept are those with an alias, as champion and previous, the newest `keep`, those with the
    numbers `keep_versions`, and the models that these, or versions of any other registered model,
    were trained from; with all that those of others refer to. Evaluations are looked for beside the
    checkpoints and in `places`. Raises ServiceError if no version has one of these numbers.
    """
    name = registry.config.model_name
    chains = Chains(registry, name)
    missing = set(keep_versions) - {version.version for version in chains.versions}
    if missing:
        raise ServiceError(
            f"keep_versions: models:/{name}/{min(missing)} is not in the registry; see "
            "medembed models."
        )
    selected = select_kept(chains.versions, chains.aliases, keep)
    selected += [version for version in chains.versions if version.version in keep_versions]
    others = [version for version in all_models(registry) if version.name != name]
    children = [chains.link(version) for version in [*selected, *others]]
    # Of their parents not the parents' parents, or nothing would ever go.
    parents = [parent for link in children if (parent := chains.parent(link)) is not None]
    needed = _Needed(_places_of(chains.versions))
    for link in children:
        needed.add_parent(link)
    kept = set()
    for link in [*children, *parents]:
        needed.add(link)
        kept.add(link.name)
    staying = [version for version in chains.versions if name_of(version) in kept]
    going = [version for version in chains.versions if name_of(version) not in kept]
    return Pruning(
        staying, [_find_parts(chains.link(version), needed, places) for version in going]
    )


def remove_versions(registry: Registry, leaving: Sequence[Leaving]) -> list[str]:
    """Remove versions with what only they refer to, each one's registry entry last, so that a run
    after a death finds it and finishes; return the names of those that have been given an alias
    meanwhile, which stay with what they name.
    """
    stayed = []
    versions = [each.version for each in leaving]
    for each in leaving:
        # read again before each: promotions go on
        numbers = registry.aliases(each.version.name).values()
        aliased = [version for version in versions if version.version in numbers]
        if each.version in aliased:
            stayed.append(name_of(each.version))
            continue
        needed = _places_of(aliased)
        for uri in each.sizes:
            if plain(uri) not in needed:
                remove(uri)
        delete_version(registry, each.version)
        logger.info("%s: removed, %s bytes", name_of(each.version), f"{each.bytes:,}")
    return stayed


def _places_of(versions: Iterable[Version]) -> set[str]:
    places: set[str] = set()
    for version in versions:
        places.update(map(plain, [version.source, *version.lineage.data]))
    return places


def _find_parts(link: Link, needed: _Needed, places: Sequence[str]) -> Leaving:
    """Find what goes with a version: its checkpoint, evaluations and table."""
    assert link.version is not None
    parts: list[str] = []
    notes: list[str] = []
    if not needed.has(link.source):
        if link.manifest or known_manifest(link.source, LeavingManifest):
            parts.append(link.source)
        elif is_reached(link.source) and storage.exists(link.source):
            notes.append(f"its checkpoint {link.source} was not made here: it stays")
    output = link.lineage.output
    folders = [*places, *([output] if output and is_reached(output) else [])]
    for folder in folders:
        parts += _find_evaluations(folder, link.encoder, needed)
    table = link.lineage.table
    if table and table.uri and not needed.has(table.uri) and _is_free(table.uri, needed):
        parts.append(table.uri)
    sizes = {}
    for uri in parts:
        sizes[uri] = sum(size for _, size, _ in storage.find_files(uri))
    return Leaving(link.version, sizes, tuple(notes))


def _is_free(uri: str, needed: _Needed) -> bool:
    """Return whether a table is half removed, or ours and of no kept version's encoder."""
    if known_manifest(uri, LeavingManifest):
        return True
    table = known_table(Source("", uri))
    return table is not None and table.info.encoder not in needed.encoders


def _find_evaluations(folder: str, encoder: str | None, needed: _Needed) -> Iterator[str]:
    """Yield evaluations of an encoder that goes, and what a dead run has half removed."""
    for place in outputs_in(folder):
        manifest = place.manifest
        if isinstance(manifest, EvaluationManifest):
            goes = manifest.encoder == encoder and encoder not in needed.encoders
        else:
            goes = isinstance(manifest, LeavingManifest)
        if goes and plain(place.uri) not in needed.named:
            yield place.uri
