"""A model and those that it was trained from, as far back as the registry and checkpoints know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from medembed.custody.inventory import known_manifest
from medembed.lineage import CheckpointManifest, Origin, Source
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

    @property
    def parent(self) -> Source | None:
        """What it was trained from; None if nothing says so."""
        return self.lineage.parent


class Chains:
    """The versions of one registered model, read once, and the chains between them."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.versions = all_versions(registry, name)
        self.aliases = registry.aliases(name)

    def link(self, version: Version) -> Link:
        """A registered version with what its checkpoint says."""
        manifest = known_manifest(version.source, CheckpointManifest)
        named = sorted(alias for alias, number in self.aliases.items() if number == version.version)
        encoder = version.lineage.encoder or (manifest.fingerprint if manifest else None)
        return Link(version, version.source, encoder, manifest, tuple(named))

    def find(self, encoder: str, before: Version | None = None) -> Version | None:
        """The newest version that this encoder is, of those before another if one is given."""
        older = [
            one for one in self.versions if before is None or int(one.version) < int(before.version)
        ]
        tagged = next((one for one in older if one.lineage.encoder == encoder), None)
        if tagged is not None:
            return tagged
        untagged = (one for one in older if not one.lineage.encoder)
        return next((one for one in untagged if self.link(one).encoder == encoder), None)

    def parent(self, link: Link) -> Link | None:
        """What it was trained from: a registered version, an unregistered checkpoint, or a base
        model.
        """
        if link.parent is None:
            return None
        parent = link.parent
        version = self.find(parent.fingerprint, link.version)
        if version is not None:
            return self.link(version)
        source = parent.uri or "a model whose place is not recorded"
        return Link(
            None, source, parent.fingerprint, known_manifest(parent.uri, CheckpointManifest)
        )

    def trace(self, start: Link, depth: int | None = None) -> Iterator[Link]:
        """The model, then each one that the one before it was trained from; at most `depth` of
        them.
        """
        seen: set[tuple[str, str | None]] = set()
        link: Link | None = start
        while link is not None and len(seen) != depth and (link.source, link.encoder) not in seen:
            yield link
            seen.add((link.source, link.encoder))
            link = self.parent(link)


def name_of(version: Version) -> str:
    """models:/<name>/<number>."""
    return f"models:/{version.name}/{version.version}"


def describe_versions(versions: Sequence[Version]) -> str:
    """The newest few with their encoders, for an error that says what was found."""
    shown = [
        f"{one.version} ({one.lineage.encoder or 'encoder not recorded'})" for one in versions[:5]
    ]
    more = f" and {len(versions) - 5} older" if len(versions) > 5 else ""
    return ", ".join(shown) + more if shown else "none"
