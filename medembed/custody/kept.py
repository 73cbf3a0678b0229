"""Which versions are kept: champion, previous, whatever has an alias, and the newest few. Pure."""

from collections.abc import Mapping, Sequence

from medembed.registry.models import Version


def select_kept(
    versions: Sequence[Version], aliases: Mapping[str, str], keep: int | None
) -> list[Version]:
    """Of versions, newest first, those that have an alias and the newest `keep`; all for None. In
    the same order.
    """
    named = set(aliases.values())
    return [
        one
        for place, one in enumerate(versions)
        if keep is None or place < keep or one.version in named
    ]
