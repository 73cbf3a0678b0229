"""Find the best configurations of an earlier search, with which another one begins."""

import logging
from collections.abc import Sequence

from medembed import storage
from medembed.errors import StorageError
from medembed.language import tr
from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Axis, Point, default_point
from medembed.tuning.trials import Trials, list_complete

logger = logging.getLogger(__name__)

_MOST = 3


def warm_starts(config: TuneConfig, axes: Sequence[Axis]) -> list[Point]:
    """Return the best points of an earlier search that lie on these axes.

    What it did not search stays as in trial 0.
    """
    if config.warm_start is None:
        return []
    records = Trials.read(storage.absolute(config.warm_start)).all()
    complete = list_complete(records)
    if not complete:
        raise StorageError(
            "warm_start: {search}: found no trial there that was trained to its end.",
            search=config.warm_start,
        )
    points: list[Point] = []
    for record in sorted(complete, key=lambda record: -record.score):
        point = {axis.name: record.point.get(axis.name, axis.default) for axis in axes}
        is_new = point != default_point(axes) and point not in points
        if is_new and all(axis.holds(point[axis.name]) for axis in axes):
            points.append(point)
    if not points:
        logger.warning(
            tr("warm_start: the best configurations there all lie outside what is searched here")
        )
    return points[:_MOST]
