"""Watch the place where files land, and retrain when enough of them are new."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from medembed.errors import find_known
from medembed.finetuning.attempts import set_aside
from medembed.finetuning.champion import read_taken
from medembed.finetuning.incoming import count_rows, find_incoming
from medembed.finetuning.retrain_config import RetrainConfig, TriggerConfig
from medembed.language import tr
from medembed.registry.models import Registry
from medembed.storage import StoredFile

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 3600
_MOST_DOUBLINGS = 20


@dataclass(frozen=True)
class Due:
    """Why a retraining is due, and the content hashes of the files that it would take."""

    reason: str
    files: frozenset[str]


class Watch:
    """A place where files land, and what is known of them.

    Files that an attempt has judged wait for others, and do not count with them; after a fault they
    are due again, ever later while it lasts.
    """

    def __init__(self, config: RetrainConfig, registry: Registry, trigger: TriggerConfig) -> None:
        self.config = config
        self.registry = registry
        self.trigger = trigger
        self._judged: frozenset[str] = frozenset()
        self._hashes: dict[StoredFile, str] = {}
        self._left: set[str] = set()  # files that were said to be incomplete
        self._faults = 0
        self._not_before = 0.0

    def run(self, attempt: Callable[[], bool]) -> NoReturn:
        """Look again and again until interrupted, and attempt a retraining when it is due.

        `attempt` says whether the files were judged. A fault of ours, of storage or of the registry
        ends a round, not the watch.
        """
        from mlflow.exceptions import MlflowException

        logger.info(
            tr(
                "watching {path} every {every_s:g} s",
                path=self.config.source.path,
                every_s=self.trigger.every_s,
            )
        )
        while True:
            try:
                due = self.look()
                if due is not None:
                    logger.info("%s", due.reason)
                    if attempt():
                        self.settle(due)
            except Exception as error:
                known = find_known(error)
                if known is None and not isinstance(error, (OSError, MlflowException)):
                    raise
                reason = known or tr(
                    "{kind}: the registry or storage cannot be reached", kind=type(error).__name__
                )
                logger.error(
                    tr(
                        "error: {reason}; tried again in {wait_s:.0f} s",
                        reason=reason,
                        wait_s=self.put_off(),
                    )
                )
            time.sleep(self.trigger.every_s)

    def look(self, now: float | None = None) -> Due | None:
        """Return what is due, None if nothing is."""
        now = time.time() if now is None else now
        if now < self._not_before:
            return None
        config = self.config
        aside = () if config.retake else set_aside(self.registry)
        taken = read_taken(config, self.registry)
        incoming = find_incoming(config.source, taken, aside, config.settle_s, now, self._hashes)
        if incoming.left.keys() - self._left:
            logger.warning(
                tr("{path}: {files}", path=config.source.path, files=incoming.describe())
            )
        self._left = set(incoming.left)

        fresh = [file for file in incoming.new if file.content not in self._judged]
        if not fresh:
            self._faults = 0
            return None
        rows = sum(count_rows(file) for file in fresh)
        age_s = now - min(file.written for file in fresh)
        if rows >= self.trigger.min_rows:
            reason = tr(
                "{rows:,} rows in {files} new files, trigger.min_rows is {min_rows:,}",
                rows=rows,
                files=len(fresh),
                min_rows=self.trigger.min_rows,
            )
        elif age_s >= self.trigger.max_age_s:
            reason = tr(
                "the oldest new file landed {age_s:,.0f} s ago, trigger.max_age_s is {max_age_s:g}",
                age_s=age_s,
                max_age_s=self.trigger.max_age_s,
            )
        else:
            return None
        return Due(reason, frozenset(file.content for file in incoming.new))

    def settle(self, due: Due) -> None:
        """Note that an attempt has judged these files, whatever it said."""
        self._judged |= due.files
        self._faults = 0

    def put_off(self, now: float | None = None) -> float:
        """Note that an attempt failed; return the seconds until it is tried again."""
        now = time.time() if now is None else now
        every_s = self.trigger.every_s
        wait_s = min(every_s * 2**self._faults, max(_LONGEST_WAIT_S, every_s))
        self._faults = min(self._faults + 1, _MOST_DOUBLINGS)
        self._not_before = now + wait_s
        return wait_s
