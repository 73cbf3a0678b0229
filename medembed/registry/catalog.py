"""All versions of registered models, and what is changed of one after it was made."""

from medembed.registry.models import Registry, Version
from medembed.tags import Lineage

_PER_PAGE = 200


def all_versions(registry: Registry, name: str) -> list[Version]:
    """Every version of a registered model, newest first."""
    return _search(registry, f"name = '{name}'")


def all_models(registry: Registry) -> list[Version]:
    """Every version of every registered model, by name; those of one newest first."""
    return _search(registry, None)


def _search(registry: Registry, wanted: str | None) -> list[Version]:
    found, token = [], None
    order = ["name ASC", "version_number DESC"]
    while True:
        page = registry.client.search_model_versions(
            wanted, order_by=order, max_results=_PER_PAGE, page_token=token
        )
        found += [
            Version(one.name, str(one.version), one.source, one.run_id or "", dict(one.tags))
            for one in page
        ]
        token = page.token
        if not token:
            return found


def find_versions(registry: Registry, lineage: Lineage) -> list[Version]:
    """The versions of the registry's own model that say all that this lineage says, newest
    first.
    """
    tags = lineage.to_tags()
    found = all_versions(registry, registry.config.model_name)
    return [version for version in found if tags.items() <= version.tags.items()]


def find_version(registry: Registry, checkpoint: str, lineage: Lineage) -> Version | None:
    """The newest version with this source that says all that this lineage says, if there is one."""
    return next((one for one in find_versions(registry, lineage) if one.source == checkpoint), None)


def set_tags(registry: Registry, version: Version, lineage: Lineage) -> None:
    """Has a version and its run say this too, as `Registry.register` gives both the same tags."""
    for key, value in lineage.to_tags().items():
        registry.client.set_model_version_tag(version.name, version.version, key, value)
    if version.run_id:
        set_run_tags(registry, version.run_id, lineage)


def set_run_tags(registry: Registry, run_id: str, lineage: Lineage) -> None:
    """Has a run say this too."""
    for key, value in lineage.to_tags().items():
        registry.client.set_tag(run_id, key, value)


def delete_version(registry: Registry, version: Version) -> None:
    """Removes a version from the registry; its run stays, and its number is never given again."""
    registry.client.delete_model_version(version.name, version.version)
