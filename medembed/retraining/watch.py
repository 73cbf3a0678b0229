"""When there is enough that is new for a retraining."""

import logging
import time
from dataclasses import dataclass

from medembed.registry.models import Registry
from medembed.retraining.champion import read_taken
from medembed.retraining.config import RetrainConfig, TriggerConfig
from medembed.retraining.landing import count_rows, look
from medembed.retraining.ledger import set_aside

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S, _MOST_DOUBLINGS = 3600, 20


@dataclass(frozen=True)
class Due:
    """Why a retraining is due, and the content hashes of the files that it would take."""

    reason: str
    files: frozenset[str]


class Watch:
    """Looks at the landing place. Files that an attempt has judged wait for others, and do not
    count with them; after a fault they are due again, ever later while it lasts."""

    def __init__(self, config: RetrainConfig, registry: Registry, trigger: TriggerConfig) -> None:
        self.config, self.registry, self.trigger = config, registry, trigger
        self._judged: frozenset[str] = frozenset()
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._left: set[str] = set()
        self._faults, self._not_before = 0, 0.0

    def look(self, now: float | None = None) -> Due | None:
        """What is due; None if nothing is."""
        now = time.time() if now is None else now
        if now < self._not_before:
            return None
        aside = () if self.config.retake else set_aside(self.registry)
        taken = read_taken(self.config, self.registry)
        landing = look(self.config.source, taken, aside, self.config.settle_s, now, self._hashes)
        if landing.left.keys() - self._left:
            logger.warning("%s: %s", self.config.source.path, landing.describe())
        self._left, new = set(landing.left), landing.new
        fresh = [file for file in new if file.content not in self._judged]
        if not fresh:
            self._faults = 0
            return None
        rows, age = sum(map(count_rows, fresh)), now - min(file.written for file in fresh)
        if rows >= self.trigger.min_rows:
            reason = (
                f"{rows:,} rows in {len(fresh)} new files, trigger.min_rows is "
                f"{self.trigger.min_rows:,}"
            )
        elif age >= self.trigger.max_age_s:
            reason = (
                f"the oldest new file landed {age:,.0f} s ago, trigger.max_age_s is "
                f"{self.trigger.max_age_s:g}"
            )
        else:
            return None
        return Due(reason, frozenset(file.content for file in new))

    def settle(self, due: Due) -> None:
        """An attempt with these files has come to its end, whatever that was."""
        self._judged |= due.files
        self._faults = 0

    def put_off(self, now: float | None = None) -> float:
        """It could not be made; returns the seconds until it is tried again."""
        now = time.time() if now is None else now
        wait = min(
            self.trigger.every_s * 2**self._faults, max(_LONGEST_WAIT_S, self.trigger.every_s)
        )
        self._faults = min(self._faults + 1, _MOST_DOUBLINGS)
        self._not_before = now + wait
        return wait
