"""Which models descend from others, by the encoders that versions and runs name. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping


def find_descent(encoders: Iterable[str], lineage: Iterable[Mapping[str, str]]) -> set[str]:
    """Encoders that were trained from these, in any number of steps; `lineage` are tags `encoder` and `parent`."""
    children: dict[str, set[str]] = defaultdict(set)
    for tags in lineage:
        if "encoder" in tags and "parent" in tags:
            children[tags["parent"]].add(tags["encoder"])
    found: set[str] = set()
    todo = list(encoders)
    while todo:
        new = children[todo.pop()] - found
        found |= new
        todo += new
    return found
