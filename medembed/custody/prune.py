"""Find and remove registered versions that nobody needs any more, and what only they refer to."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.chain import Chains, Link, select_kept
from medembed.custody.kinds import LeavingManifest
from medembed.custody.places import is_reached, known, plain, remove
from medembed.errors import ServiceError
from medembed.language import tr
from medembed.lineage import Manifest
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry, Version


@dataclass(frozen=True)
class Leaving:
    """A version that goes, {URI: bytes} of what goes with it, and `notes` on what stays."""

    version: Version
    sizes: dict[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruning:
    """Versions that are `gone`, or would go, those that have `stayed` as they were given an alias
    meanwhile, and how many are `left`.
    """

    gone: list[Leaving]
    stayed: list[str]
    left: int

    @property
    def sizes(self) -> dict[str, int]:
        """Return {URI: bytes} of all that goes; two versions may have the same place."""
        sizes: dict[str, int] = {}
        for leaving in self.gone:
            sizes |= leaving.sizes
        return sizes


@dataclass
class _Needed:
    """The places and encoders that kept versions refer to; `named` are the places that any version
    names.
    """

    named: set[str]
    places: set[str] = field(default_factory=set)
    encoders: set[str] = field(default_factory=set)

    def add(self, link: Link) -> None:
        """Note what a kept model refers to, and what that was made from."""
        lineage = link.lineage
        self.places.update(map(plain, [link.source, *lineage.data]))
        for source in lineage.sources.values():
            manifest = known(source, Manifest)
            self.places.update(map(plain, manifest.origin.data if manifest else []))
        self.encoders.update(link.encoders)


def prune(
    registry: Registry,
    keep: int,
    places: Sequence[str],
    keep_versions: Collection[str],
    *,
    is_dry: bool,
) -> Pruning:
    """Remove the versions that `find_leaving` finds, or only find them."""
    leaving = find_leaving(registry, keep, places, keep_versions)
    registered = len(all_versions(registry, registry.config.model_name))
    stayed = [] if is_dry else remove_versions(registry, leaving)
    gone = [entry for entry in leaving if entry.version.reference not in stayed]
    return Pruning(gone, stayed, registered - len(gone))


def find_leaving(
    registry: Registry, keep: int, places: Sequence[str], keep_versions: Collection[str]
) -> list[Leaving]:
    """Find the versions that go, newest first, with what only they refer to; changes nothing.

    Kept are those with an alias, as champion and previous, the newest `keep`, those with the
    numbers `keep_versions`, and the models that these, or versions of any other registered model,
    were trained from; with all that those of others refer to. Evaluations are looked for beside the
    checkpoints and in `places`. Raises ServiceError if no version has one of these numbers.
    """
    name = registry.config.model_name
    chains = Chains(registry, name)
    selected = select_kept(chains.versions, chains.aliases, keep)
    missing = set(keep_versions)
    others: list[Version] = []
    for version in all_versions(registry):
        if version.name != name:
            others.append(version)
        elif version.version in keep_versions:
            missing.discard(version.version)
            selected.append(version)
    if missing:
        raise ServiceError(
            "keep_versions: models:/{name}/{number} is not in the registry; see medembed models.",
            name=name,
            number=min(missing),
        )
    children = list(map(chains.link, [*selected, *others]))
    # Of their parents not the parents' parents, or nothing would ever go.
    parents = list(filter(None, map(chains.parent, children)))
    needed = _Needed(_places_of(chains.versions))
    kept: set[str] = set()
    for link in [*children, *parents]:
        needed.add(link)
        kept.add(link.name)
    for link in children:
        source = link.lineage.parent
        if source and source.uri:
            needed.places.add(plain(source.uri))
    leaving: list[Leaving] = []
    for version in chains.versions:
        if version.reference not in kept:
            leaving.append(_find_parts(chains.link(version), needed, places))
    return leaving


def remove_versions(registry: Registry, leaving: Sequence[Leaving]) -> list[str]:
    """Remove versions with what only they refer to, each one's registry entry last, so that a run
    after a death finds it and finishes; return the names of those that have been given an alias
    meanwhile, which stay with what they name.
    """
    stayed: list[str] = []
    for entry in leaving:
        version = entry.version
        # read again before each: promotions go on
        numbers = registry.aliases(version.name).values()
        if version.version in numbers:
            stayed.append(version.reference)
            continue
        needed = _places_of(other.version for other in leaving if other.version.version in numbers)
        for uri in entry.sizes:
            if plain(uri) not in needed:
                remove(uri)
        delete_version(registry, version)
    return stayed


def _places_of(versions: Iterable[Version]) -> set[str]:
    places: set[str] = set()
    for version in versions:
        places.update(map(plain, [version.source, *version.lineage.data]))
    return places


def _find_parts(link: Link, needed: _Needed, places: Sequence[str]) -> Leaving:
    """Find what goes with a version: its checkpoint, and all that has vectors or scores of its
    encoder alone, as its table and evaluations; also what a dead run has half removed.
    """
    assert link.version is not None
    parts: list[str] = []
    notes: list[str] = []
    if plain(link.source) not in needed.places:
        if link.manifest or known(link.source, LeavingManifest):
            parts.append(link.source)
        elif is_reached(link.source) and storage.exists(link.source):
            notes.append(tr("its checkpoint {uri} was not made here: it stays", uri=link.source))
    lineage = link.lineage
    outputs = set(map(plain, lineage.data)) - needed.places
    for folder in [*places, lineage.output]:
        if folder and is_reached(folder):
            for file in storage.find_files(storage.join(folder, "**", MANIFEST)):
                uri = file.uri.removesuffix(f"/{MANIFEST}")
                if uri not in needed.named:
                    outputs.add(uri)
    encoders = link.encoders - needed.encoders
    for uri in sorted(outputs):
        manifest = known(uri, Manifest)
        is_its = manifest is not None and manifest.encoder in encoders
        if is_its or isinstance(manifest, LeavingManifest):
            parts.append(uri)
    sizes: dict[str, int] = {}
    for uri in parts:
        sizes[uri] = sum(file.size_bytes for file in storage.find_files(uri))
    return Leaving(link.version, sizes, tuple(notes))
