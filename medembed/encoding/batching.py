"""Small batches by tokens, not rows: texts of like length together, so that little padding is computed."""

from collections.abc import Sequence


def batch_by_tokens(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Positions of texts in batches of at most `max_tokens`, padding included, longest first.

    A batch costs its row count times its longest text; a text longer than the budget goes alone. Ties keep
    their order, so the same lengths always give the same batches.
    """
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and longest * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(position)
        else:
            batches.append([position])
            longest = lengths[position]
    return batches
