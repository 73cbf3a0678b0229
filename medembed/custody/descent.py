"""Which models descend from others, by the encoders that versions and runs name. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from medembed.tags import Lineage


def find_descent(encoders: Iterable[str], lineages: Iterable[Lineage]) -> set[str]:
    """Encoders that were trained from these, in any number of steps."""
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
