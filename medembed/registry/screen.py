"""List the versions of a registered model on a screen."""

import re
from collections.abc import Iterator, Mapping, Sequence

from medembed.language import tr
from medembed.registry.catalog import Listed

_DEV = re.compile(r"dev_(?P<metric>.+)_(?P<dimension>\d+)")


def describe_models(
    name: str, listed: Sequence[Listed], aliases: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each version, behind a heading."""
    if not listed:
        yield tr(
            "models:/{name}: no versions; the jobs train and finetune register them.", name=name
        )
        return
    yield tr("version   made               aliases              dev sample")
    for entry in listed:
        number = entry.version.version
        names = ", ".join(sorted(alias for alias, of in aliases.items() if of == number))
        line = f"{number:>7}   {entry.made:%Y-%m-%d %H:%M}   {names:<20} {_scores(entry.metrics)}"
        yield line.rstrip()


def _scores(metrics: Mapping[str, float]) -> str:
    """Return the scores on the dev sample: "ndcg_10 at 384: 0.633, 64: 0.634"."""
    scores: dict[str, dict[int, float]] = {}
    for key in sorted(metrics):
        if match := _DEV.fullmatch(key):
            scores.setdefault(match["metric"], {})[int(match["dimension"])] = metrics[key]
    lists = []
    for metric, values in scores.items():
        widest_first = sorted(values.items(), reverse=True)
        shown = ", ".join(
            tr("{dimension}: {score:.3f}", dimension=dimension, score=score)
            for dimension, score in widest_first
        )
        lists.append(tr("{metric} at {scores}", metric=metric, scores=shown))
    return "; ".join(lists)
