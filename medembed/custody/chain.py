"""A model and those that it was trained from, as far back as the registry and checkpoints know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medembed.custody.places import CHECKPOINT, Places, known_manifest, places_of
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version


@dataclass(frozen=True)
class Link:
    """One model of a chain. `version` is None for a checkpoint, or base model, that is not registered.

    `manifest` is its checkpoint's, empty where that is gone or was not made here; `parent` (URI, encoder) names what
    it was trained from, None if nothing says so.
    """

    version: Version | None
    source: str
    encoder: str | None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.version) if self.version else self.source

    @property
    def places(self) -> Places:
        """Where its parts lie."""
        return places_of(self.version) if self.version else Places(self.source, None, None, None, None)

    @property
    def parent(self) -> tuple[str | None, str] | None:
        told = self.manifest.get("parent")
        if told:
            return told["model"], told["fingerprint"]
        tagged = self.version.tags.get("parent") if self.version else None
        return (None, tagged) if tagged else None


class Chains:
    """The versions of one registered model, read once, and the chains between them."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.versions = all_versions(registry, name)
        self.aliases = registry.aliases(name)

    def link(self, version: Version) -> Link:
        """A registered version with what its checkpoint says."""
        manifest = known_manifest(version.source, CHECKPOINT) or {}
        named = sorted(alias for alias, number in self.aliases.items() if number == version.version)
        encoder = version.tags.get("encoder") or manifest.get("fingerprint")
        return Link(version, version.source, encoder, manifest, tuple(named))

    def find(self, encoder: str, before: Version | None = None) -> Version | None:
        """The newest version that this encoder is, of those before another if one is given."""
        older = [one for one in self.versions if before is None or int(one.version) < int(before.version)]
        tagged = next((one for one in older if one.tags.get("encoder") == encoder), None)
        if tagged is not None:
            return tagged
        untagged = (one for one in older if "encoder" not in one.tags)
        return next((one for one in untagged if self.link(one).encoder == encoder), None)

    def parent(self, link: Link) -> Link | None:
        """What it was trained from: a registered version, an unregistered checkpoint, or a base model."""
        if link.parent is None:
            return None
        uri, encoder = link.parent
        version = self.find(encoder, link.version)
        if version is not None:
            return self.link(version)
        source = uri or "a model whose place is not recorded"
        return Link(None, source, encoder, known_manifest(uri, CHECKPOINT) or {})

    def trace(self, start: Link, depth: int | None = None) -> Iterator[Link]:
        """The model, then each one that the one before it was trained from; at most `depth` of them."""
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
    shown = [f"{one.version} ({one.tags.get('encoder', 'encoder not recorded')})" for one in versions[:5]]
    more = f" and {len(versions) - 5} older" if len(versions) > 5 else ""
    return ", ".join(shown) + more if shown else "none"
