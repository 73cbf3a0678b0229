"""Descent by tags."""

from medembed.custody.descent import find_descent


def test_descent_goes_over_any_number_of_steps_and_ends_in_a_circle():
    lineage = [{"parent": "a", "encoder": "b"}, {"parent": "b", "encoder": "c"}, {"parent": "c", "encoder": "b"},
               {"parent": "x", "encoder": "y"}, {"encoder": "z"}, {"parent": "a"}]  # fmt: skip
    assert find_descent(["a"], lineage) == {"b", "c"}
    assert find_descent([], lineage) == set()
