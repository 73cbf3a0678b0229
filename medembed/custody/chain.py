"""Registered models: what each was trained from, as far back as registry and checkpoints know."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medembed.custody.inventory import known_manifest
from medembed.lineage import CheckpointManifest, Origin
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage

_SHOWN = 5


@dataclass(frozen=True)
class Link:
    """One model of a chain. `version` is None for a checkpoint, or base model, that is not
    registered.

    `manifest` is its checkpoint's, None where that is gone or was not made here.
    """

    version: Version | None
    source: str
    encoder: str | None
    manifest: CheckpointManifest | None = None
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.version) if self.version else self.source

    @property
    def lineage(self) -> Lineage:
        """What the registry says of it, and where that says nothing its checkpoint."""
        lineage = self.version.lineage if self.version else Lineage()
        origin = self.manifest.origin if self.manifest else Origin()
        return replace(
            lineage,
            encoder=self.encoder,
            dataset=lineage.dataset or origin.dataset,
            examples=lineage.examples or origin.examples,
            parent=origin.parent or lineage.parent,
        )

    @property
    def places(self) -> list[str]:
        """Where its checkpoint and its data lie, as far as that is known."""
        return [self.source, *self.lineage.data]


class Chains:
    """The versions of one registered model, read once, and the chains between them."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.name = name
        self.versions = all_versions(registry, name)
        self.aliases = registry.aliases(name)

    def link(self, version: Version) -> Link:
        """Return a registered version with what its checkpoint says."""
        manifest = known_manifest(version.source, CheckpointManifest)
        aliases = sorted(name for name, number in self.aliases.items() if number == version.version)
        encoder = version.lineage.encoder or (manifest.fingerprint if manifest else None)
        return Link(version, version.source, encoder, manifest, tuple(aliases))

    def find(self, encoder: str, before: Version | None = None) -> Version | None:
        """Return the newest version of this encoder, of those before another if one is given."""
        untagged = []
        for version in self.versions:
            if before is not None and int(version.version) >= int(before.version):
                continue
            if version.lineage.encoder == encoder:
                return version
            if not version.lineage.encoder:
                untagged.append(version)
        return next((one for one in untagged if self.link(one).encoder == encoder), None)

    def parent(self, link: Link) -> Link | None:
        """Return the registered version, the checkpoint or base model that it was trained from."""
        parent = link.lineage.parent
        if parent is None:
            return None
        is_ours = link.version is not None and link.version.name == self.name
        version = self.find(parent.fingerprint, link.version if is_ours else None)
        if version is not None:
            return self.link(version)
        source = parent.uri or "a model whose place is not recorded"
        manifest = known_manifest(parent.uri, CheckpointManifest)
        return Link(None, source, parent.fingerprint, manifest)

    def trace(self, start: Link) -> Iterator[Link]:
        """Yield the model, then each one that the one before it was trained from."""
        seen: set[tuple[str, str | None]] = set()
        link: Link | None = start
        while link is not None and (link.source, link.encoder) not in seen:
            yield link
            seen.add((link.source, link.encoder))
            link = self.parent(link)

    def describe(self) -> str:
        """Return the newest few versions with their encoders, for an error."""
        if not self.versions:
            return "none"
        shown = []
        for version in self.versions[:_SHOWN]:
            shown.append(f"{version.version} ({version.lineage.encoder or 'encoder not recorded'})")
        older = len(self.versions) - _SHOWN
        return ", ".join(shown) + (f" and {older} older" if older > 0 else "")


def name_of(version: Version) -> str:
    """Return models:/<name>/<number>."""
    return f"models:/{version.name}/{version.version}"


def select_kept(
    versions: Sequence[Version], aliases: Mapping[str, str], keep: int | None
) -> list[Version]:
    """Return the versions with an alias and the newest `keep`, all for None; newest first."""
    newest = versions[:keep]
    named = aliases.values()
    return [one for one in versions if one in newest or one.version in named]


def find_descendants(encoders: Iterable[str], lineages: Iterable[Lineage]) -> set[str]:
    """Return the encoders that were trained from these, in any number of steps."""
    children: dict[str, set[str]] = defaultdict(set)
    for lineage in lineages:
        if lineage.encoder and lineage.parent:
            children[lineage.parent.fingerprint].add(lineage.encoder)
    descendants: set[str] = set()
    todo = list(encoders)
    while todo:
        new = children[todo.pop()] - descendants
        descendants |= new
        todo += new
    return descendants
