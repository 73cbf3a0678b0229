"""Which version is champion, and which was before it: the aliases that promotion and rollback
move.
"""

from datetime import UTC, datetime

from medembed.errors import ServiceError
from medembed.registry.catalog import set_tags
from medembed.registry.config import command
from medembed.registry.models import CHAMPION, Registry, Version
from medembed.tags import NONE, Lineage

PREVIOUS = "previous"
REFUSED = ("not better", "worse")  # decisions of a gate
# what a version surely lost on retention sets, where it was measured and lost nothing
NOTHING = "nothing"


def name_loss(lost: str | None) -> str | None:
    """What a lineage says of a loss, by a sentence that is empty if nothing was lost; None if it
    was not measured.
    """
    return None if lost is None else lost or NOTHING


def read_champion(registry: Registry, name: str) -> str | None:
    """The version that is champion now, if any is."""
    return registry.aliases(name).get(CHAMPION)


def crown(registry: Registry, version: Version, seen: str | None) -> None:
    """Makes this version champion and keeps the former one as `previous`.

    `seen` is the champion that the caller knew when it decided. MLflow moves an alias for whoever
    comes last, so it is read again here. Raises ServiceError if it is another one by now.
    """
    current = check_unmoved(registry, version.name, seen)
    if current == version.version:
        _mark(registry, version)
        return
    # first, so that no death between the two leaves a champion without a way back
    if current is not None:
        registry.set_alias(registry.resolve(f"models:/{version.name}/{current}"), PREVIOUS)
    registry.set_alias(version)
    _mark(registry, version)


def _mark(registry: Registry, version: Version) -> None:
    """Has a version say since when it was champion first."""
    if version.lineage.promoted is None:
        set_tags(registry, version, Lineage(promoted=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"))


def check_unmoved(registry: Registry, name: str, seen: str | None) -> str | None:
    """The champion now. Raises ServiceError if it is not `seen`."""
    current = read_champion(registry, name)
    if current != seen:
        raise ServiceError(
            f"models:/{name}@{CHAMPION}: is version {current or 'none'} now, but was "
            f"{seen or 'none'} when this promotion began; somebody else moved it meanwhile: look, "
            f"and promote again: {command(registry.config, 'models')}"
        )
    return current


def check_candidate(registry: Registry, version: Version) -> str | None:
    """The champion now. Raises ServiceError for a candidate that was refused, that surely lost on
    retention sets, or that was compared with another one than that.

    One that was champion before may always be so again, and so may one that no comparison is known
    of.
    """
    lineage, aliases = version.lineage, registry.aliases(version.name)
    current, was = aliases.get(CHAMPION), {aliases.get(CHAMPION), aliases.get(PREVIOUS)}
    reference = f"models:/{version.name}/{version.version}"
    if lineage.promoted or version.version in was:
        return current
    if lineage.lost_elsewhere not in (None, NOTHING):
        raise ServiceError(
            f"{reference}: {lineage.lost_elsewhere} To promote it still: force=true reason='...'."
        )
    if lineage.compared_with is None:
        return current
    if lineage.decision in REFUSED:
        raise ServiceError(
            f"{reference}: its retraining said {lineage.decision!r}; to promote it still: "
            "force=true reason='...'."
        )
    if lineage.compared_with != (current or NONE):
        raise ServiceError(
            f"{reference}: was compared with version {lineage.compared_with}, but the champion is "
            f"{current or NONE} now, and nobody knows which is better: run `medembed retrain` "
            "again, or give force=true reason='...'."
        )
    return current


def find_previous(registry: Registry, name: str) -> Version:
    """The version to roll back to. Raises ServiceError if there is none."""
    aliases = registry.aliases(name)
    previous = aliases.get(PREVIOUS)
    if previous is None or previous == aliases.get(CHAMPION):
        raise ServiceError(
            f"models:/{name}@{PREVIOUS}: no version to roll back to; only a promotion sets it. "
            f"Name a version: {command(registry.config, 'promote', f'model=models:/{name}/N')}; "
            f"for N see: {command(registry.config, 'models')}"
        )
    return registry.resolve(f"models:/{name}/{previous}")
