"""`spread` in this process, without its actors, which take seconds to start."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
_IMPORT = re.compile(r"^from medembed\.spread import (\w+, )*spread$", re.MULTILINE)


def _spread_here(
    items: Sequence[dict[str, Any]], stage: type, arguments: dict[str, Any], **_: object
) -> Iterator[dict[str, Any]]:
    """Compute every item with one stage, which gets a copy of the arguments as an actor does."""
    from ray import cloudpickle

    made = stage(**cloudpickle.loads(cloudpickle.dumps(arguments)))
    for item in items:
        yield made(item)


@contextmanager
def alone() -> Iterator[None]:
    """Put `spread` into this process, for tests of what is computed, not where."""
    with pytest.MonkeyPatch.context() as patch:
        for path in sorted((ROOT / "medembed").rglob("*.py")):
            if _IMPORT.search(path.read_text()):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                patch.setattr(f"{module}.spread", _spread_here)
        yield
