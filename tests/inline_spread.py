"""What `spread` gives without its actors, which take seconds to start."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

ROOMS = (
    "data.passes",
    "encoding.encode",
    "encoding.export",
    "encoding.texts",
    "encoding.verify",
    "mining.second_opinion",
    "preflight.encode_probe",
    "search.shards",
)


def _alone(
    items: Sequence[dict[str, Any]], stage: type, arguments: dict[str, Any], **_: object
) -> Iterator[dict[str, Any]]:
    """The arguments are a copy, as an actor has one."""
    from ray import cloudpickle

    made = stage(**cloudpickle.loads(cloudpickle.dumps(arguments)))
    for item in items:
        yield made(item)


@contextmanager
def alone() -> Iterator[None]:
    """`spread` in this process: for tests of what is computed, not where."""
    with pytest.MonkeyPatch.context() as patch:
        for room in ROOMS:
            patch.setattr(f"medembed.{room}.spread", _alone)
        yield
