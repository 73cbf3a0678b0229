"""Registered models: what each was trained from, as far back as registry and checkpoints know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medembed.custody.places import known
from medembed.language import tr
from medembed.lineage import CheckpointManifest, Manifest, Origin
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage


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
        return self.version.reference if self.version else self.source

    @property
    def encoders(self) -> set[str]:
        """The fingerprints by which its vectors are known: its own, and its int8 graph's."""
        return set(filter(None, (self.encoder, self.lineage.int8_encoder)))

    @property
    def lineage(self) -> Lineage:
        """What the registry says of it, and where that says nothing its checkpoint."""
        lineage = self.version.lineage if self.version else Lineage()
        origin = self.manifest.origin if self.manifest else Origin()
        sources: dict[str, Any] = origin.sources | lineage.sources
        parent = origin.parent or lineage.parent
        teacher = origin.teacher or lineage.teacher
        return replace(lineage, encoder=self.encoder, parent=parent, teacher=teacher, **sources)


class Chains:
    """The versions of one registered model, read once, and the chains between them."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.name = name
        self.versions = all_versions(registry, name)
        self.aliases = registry.aliases(name)

    def link(self, version: Version) -> Link:
        """Return a registered version with what its checkpoint says."""
        manifest = known(version.source, CheckpointManifest)
        aliases = sorted(name for name, number in self.aliases.items() if number == version.version)
        encoder = version.lineage.encoder or (manifest.fingerprint if manifest else None)
        return Link(version, version.source, encoder, manifest, tuple(aliases))

    def find(self, encoder: str, before: Version | None = None) -> Link | None:
        """Return the newest version of this encoder, of those before another if one is given.

        A version with an int8 graph is of two encoders.
        """
        for version in self.versions:
            if before is not None and int(version.version) >= int(before.version):
                continue
            if version.lineage.int8_encoder == encoder:
                return self.link(version)
            if version.lineage.encoder in (encoder, None):
                link = self.link(version)
                if link.encoder == encoder:
                    return link
        return None

    def find_trained_on(self, output: Manifest) -> Link | None:
        """Return the newest version that was trained on this data set, or these examples."""
        for version in self.versions:
            for source in (version.lineage.dataset, version.lineage.examples):
                if source is not None and source.fingerprint == output.identity:
                    return self.link(version)
        return None

    def parent(self, link: Link) -> Link | None:
        """Return the registered version, the checkpoint or base model that it was trained from."""
        parent = link.lineage.parent
        if parent is None:
            return None
        source = parent.uri or tr("a model whose place is not recorded")
        unregistered = Link(None, source, parent.fingerprint, known(parent, CheckpointManifest))
        is_ours = link.version is not None and link.version.name == self.name
        before = link.version if is_ours else None
        return self.find(parent.fingerprint, before) or unregistered

    def trace(self, start: Link) -> Iterator[Link]:
        """Yield the model, then each one that the one before it was trained from."""
        seen: set[tuple[str, str | None]] = set()
        link: Link | None = start
        while link is not None and (link.source, link.encoder) not in seen:
            yield link
            seen.add((link.source, link.encoder))
            link = self.parent(link)


def select_kept(
    versions: Sequence[Version], aliases: Mapping[str, str], keep: int | None
) -> list[Version]:
    """Return the newest `keep` versions, all for None, and those with an alias; newest first."""
    older = versions[keep:] if keep is not None else []
    named = aliases.values()
    return [*versions[:keep], *(version for version in older if version.version in named)]
