"""Make the config of a search as tests want it."""

from typing import Any

from medembed.tuning.config import TuneConfig

SEARCH = {
    "training.temperature": {"log_uniform": [0.01, 0.5]},
    "mining.negatives": {"integer": [0, 4]},
}


def make_config(training: dict[str, Any] | None = None, **changes: Any) -> TuneConfig:
    """Return a search over temperature and negatives at 384 and 64 dimensions."""
    values = {
        "model": "m",
        "data": "d",
        "output": "o",
        "training": {"dimensions": [384, 64], **(training or {})},
        "search": SEARCH,
    }
    return TuneConfig.model_validate(values | changes)
