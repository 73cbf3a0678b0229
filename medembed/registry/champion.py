"""Which version is champion, and which was before it: the aliases that promotion and rollback
move.
"""

from datetime import UTC, datetime

from medembed.errors import ServiceError
from medembed.language import to_translate, tr
from medembed.registry.catalog import set_tags
from medembed.registry.config import command
from medembed.registry.models import CHAMPION, Registry, Version
from medembed.tags import NONE, Lineage

PREVIOUS = "previous"
REFUSED = (to_translate("not better"), to_translate("worse"))  # decisions of a gate
# what a version surely lost on retention sets, where it was measured and lost nothing
NOTHING = "nothing"


def name_loss(lost: str | None) -> str | None:
    """Return what a lineage says of a loss; None if it was not measured.

    `lost` is a sentence, empty if nothing was lost.
    """
    return None if lost is None else lost or NOTHING


def read_champion(registry: Registry, name: str) -> str | None:
    """Return the number of the version that is champion now, if any is."""
    return registry.aliases(name).get(CHAMPION)


def make_champion(registry: Registry, version: Version, seen: str | None) -> None:
    """Make this version champion and keep the former one as `previous`.

    `seen` is the champion that the caller knew when it decided. MLflow moves an alias for whoever
    comes last, so it is read again here. Raises ServiceError if it is another one by now.
    """
    current = check_unmoved(registry, version.name, seen)
    if current != version.version:
        # `previous` first: a death between the two leaves no champion without a way back.
        if current is not None:
            registry.set_alias(registry.resolve(f"models:/{version.name}/{current}"), PREVIOUS)
        registry.set_alias(version)
    if version.lineage.promoted is None:
        set_tags(registry, version, Lineage(promoted=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"))


def check_unmoved(registry: Registry, name: str, seen: str | None) -> str | None:
    """Return the champion now. Raises ServiceError if it is not `seen`."""
    current = read_champion(registry, name)
    if current != seen:
        raise ServiceError(
            "models:/{name}@{champion}: is version {current} now, but was {seen} when this "
            "promotion began; somebody else moved it meanwhile: look, and promote again: "
            "{command}",
            name=name,
            champion=CHAMPION,
            current=current or tr("none"),
            seen=seen or tr("none"),
            command=command(registry.config, "models"),
        )
    return current


def check_candidate(registry: Registry, version: Version) -> str | None:
    """Return the champion now, which this candidate may replace.

    Raises ServiceError for a candidate that was refused, that surely lost on retention sets, or
    that was compared with another champion. One that was champion before may always be so again,
    and so may one that was never compared.
    """
    lineage = version.lineage
    aliases = registry.aliases(version.name)
    current = aliases.get(CHAMPION)
    if lineage.promoted or version.version in (current, aliases.get(PREVIOUS)):
        return current
    if lineage.lost_elsewhere not in (None, NOTHING):
        raise ServiceError(
            "{reference}: {loss} To promote it still: force=true reason='...'.",
            reference=version.reference,
            loss=lineage.lost_elsewhere,
        )
    if lineage.compared_with is None:
        return current
    if lineage.decision in REFUSED:
        raise ServiceError(
            "{reference}: its retraining said {decision!r}; to promote it still: force=true "
            "reason='...'.",
            reference=version.reference,
            decision=tr(lineage.decision),
        )
    if lineage.compared_with != (current or NONE):
        raise ServiceError(
            "{reference}: was compared with version {other}, but the champion is "
            "{current} now, and nobody knows which is better: run `medembed retrain` again, "
            "or give force=true reason='...'.",
            reference=version.reference,
            other=lineage.compared_with,
            current=current or tr("none"),
        )
    return current


def find_previous(registry: Registry, name: str) -> Version:
    """Return the version to roll back to. Raises ServiceError if there is none."""
    aliases = registry.aliases(name)
    previous = aliases.get(PREVIOUS)
    if previous is None or previous == aliases.get(CHAMPION):
        raise ServiceError(
            "models:/{name}@{previous}: no version to roll back to; only a promotion sets "
            "it. Name a version: {promote}; for N see: {models}",
            name=name,
            previous=PREVIOUS,
            promote=command(registry.config, "promote", f"model=models:/{name}/N"),
            models=command(registry.config, "models"),
        )
    return registry.resolve(f"models:/{name}/{previous}")
