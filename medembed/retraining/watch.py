"""When there is enough that is new for a retraining."""

import time

from medembed.registry.models import Registry
from medembed.retraining.champion import read_taken
from medembed.retraining.config import RetrainConfig, TriggerConfig
from medembed.retraining.landing import count_rows, look
from medembed.retraining.ledger import set_aside


class Watch:
    """Looks at the landing place; remembers what it has called due, so that a refusal is not tried again and again."""

    def __init__(self, config: RetrainConfig, registry: Registry, trigger: TriggerConfig) -> None:
        self.config, self.registry, self.trigger = config, registry, trigger
        self._tried: frozenset[str] = frozenset()

    def look(self, now: float | None = None) -> str | None:
        """Why a retraining is due; None if it is not."""
        now = time.time() if now is None else now
        aside = () if self.config.retake else set_aside(self.registry)
        taken = read_taken(self.config, self.registry)
        new = look(self.config.source, taken, aside, self.config.settle_s, now).new
        names = frozenset(file.content for file in new)
        if not new or names == self._tried:
            return None
        rows, age = sum(map(count_rows, new)), now - min(file.written for file in new)
        if rows >= self.trigger.min_rows:
            reason = f"{rows:,} rows in {len(new)} new files, trigger.min_rows is {self.trigger.min_rows:,}"
        elif age >= self.trigger.max_age_s:
            reason = f"the oldest new file landed {age:,.0f} s ago, trigger.max_age_s is {self.trigger.max_age_s:g}"
        else:
            return None
        self._tried = names
        return reason
