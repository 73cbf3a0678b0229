"""The versions of registered models, and what is changed of one after it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from medembed.registry.connect import pages
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage


@dataclass(frozen=True)
class Listed:
    """A version, when it was made, and the metrics of its run, if it has one.

    Metrics of the dev sample begin with dev_.
    """

    version: Version
    made: datetime
    metrics: Mapping[str, float]


def all_versions(registry: Registry, name: str | None = None) -> list[Version]:
    """Return every version of a registered model, or of all by name; those of one newest first."""
    entries = pages(
        registry.client.search_model_versions,
        filter_string=None if name is None else f"name = '{name}'",
        order_by=["name ASC", "version_number DESC"],
    )
    return list(map(Version.of, entries))


def list_versions(registry: Registry, name: str, count: int) -> list[Listed]:
    """Return the newest versions of a registered model, newest first, `count` at most."""
    entries = registry.client.search_model_versions(
        f"name = '{name}'", order_by=["version_number DESC"], max_results=count
    )
    listed = []
    for entry in entries:
        made = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
        metrics = registry.client.get_run(entry.run_id).data.metrics if entry.run_id else {}
        listed.append(Listed(Version.of(entry), made, metrics))
    return listed


def find_versions(registry: Registry, lineage: Lineage) -> list[Version]:
    """Return the versions of the registry's model that say all of this lineage, newest first."""
    tags = lineage.to_tags()
    versions = all_versions(registry, registry.config.model_name)
    return [version for version in versions if tags.items() <= version.tags.items()]


def find_version(registry: Registry, checkpoint: str, lineage: Lineage) -> Version | None:
    """Return the newest version with this source that says all of this lineage, if there is one."""
    for version in find_versions(registry, lineage):
        if version.source == checkpoint:
            return version
    return None


def set_tags(registry: Registry, version: Version, lineage: Lineage) -> None:
    """Add a lineage to a version and its run, as `Registry.register` gives both the same tags."""
    for key, value in lineage.to_tags().items():
        registry.client.set_model_version_tag(version.name, version.version, key, value)
    if version.run_id:
        set_run_tags(registry, version.run_id, lineage)


def set_run_tags(registry: Registry, run_id: str, lineage: Lineage) -> None:
    """Add a lineage to a run."""
    for key, value in lineage.to_tags().items():
        registry.client.set_tag(run_id, key, value)


def delete_version(registry: Registry, version: Version) -> None:
    """Remove a version from the registry; its run stays, and its number is never given again."""
    registry.client.delete_model_version(version.name, version.version)
