"""Descent by lineages."""

from medembed.custody.learned import find_family
from medembed.lineage import Source
from medembed.tags import Lineage


def test_descent_goes_over_any_number_of_steps_and_ends_in_a_circle():
    pairs = [("a", "b"), ("b", "c"), ("c", "b"), ("x", "y")]
    lineages = [Lineage(parent=Source(parent), encoder=encoder) for parent, encoder in pairs]
    lineages += [Lineage(encoder="z"), Lineage(parent=Source("a"))]
    assert find_family(["a"], lineages) == {"a", "b", "c"}
    assert find_family([], lineages) == set()
