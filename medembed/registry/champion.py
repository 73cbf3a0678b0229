"""Which version is champion, and which was before it: the aliases that promotion and rollback move."""

from medembed.errors import ServiceError
from medembed.registry.models import CHAMPION, Registry, Version

PREVIOUS = "previous"


def read_champion(registry: Registry, name: str) -> str | None:
    """The version that is champion now, if any is."""
    return registry.aliases(name).get(CHAMPION)


def crown(registry: Registry, version: Version, seen: str | None) -> None:
    """Makes this version champion and keeps the former one as `previous`.

    `seen` is the champion that the caller knew when it decided. MLflow moves an alias for whoever comes last, so it
    is read again here. Raises ServiceError if it is another one by now.
    """
    current = read_champion(registry, version.name)
    if current != seen:
        raise ServiceError(
            f"models:/{version.name}@{CHAMPION}: is version {current or 'none'} now, but was {seen or 'none'} when "
            "this promotion began; somebody else moved it meanwhile: look (medembed models), and promote again."
        )
    if current == version.version:
        return
    if current is not None:  # first, so that no death between the two leaves a champion without a way back
        registry.set_alias(registry.resolve(f"models:/{version.name}/{current}"), PREVIOUS)
    registry.set_alias(version)


def find_previous(registry: Registry, name: str) -> Version:
    """The version to roll back to. Raises ServiceError if there is none."""
    aliases = registry.aliases(name)
    previous = aliases.get(PREVIOUS)
    if previous is None or previous == aliases.get(CHAMPION):
        raise ServiceError(
            f"models:/{name}@{PREVIOUS}: no version to roll back to; only a promotion sets it. Name a version: "
            f"medembed promote model=models:/{name}/<version> (medembed models lists them)."
        )
    return registry.resolve(f"models:/{name}/{previous}")
