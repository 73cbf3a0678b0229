"""Make the next champion from new files, or say why not.

The registry keeps what decides: the champion's lineage says which files it knows, and a candidate's
version says what was decided about it.
"""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from medembed.data.dataset import Dataset
from medembed.data.grow import describe_growth, grow
from medembed.encoding.model_files import read_tokenizer
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.evaluation.questions import find_questions
from medembed.evaluation.retention.sets import RetentionSet
from medembed.finetuning.attempts import (
    FILES,
    KIND,
    Attempt,
    find_earlier,
    find_mined,
    set_aside,
)
from medembed.finetuning.candidate import choose_replay, train_candidate
from medembed.finetuning.champion import Champion, read_current
from medembed.finetuning.gate import Decision
from medembed.finetuning.gate_screen import show_decision, show_power
from medembed.finetuning.incoming import Incoming, find_incoming
from medembed.finetuning.judge import JudgedCandidate, judge
from medembed.finetuning.new_queries import find_new
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.finetuning.stages import Stages
from medembed.language import to_translate, tr
from medembed.privacy import without_passwords
from medembed.registry.catalog import set_tags
from medembed.registry.champion import REFUSED
from medembed.registry.config import command
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.register import register_checkpoint
from medembed.training.record.retention_samples import draw_retention_samples
from medembed.training.run.enough import check_enough, check_enough_new

logger = logging.getLogger(__name__)

CANDIDATE = "candidate"  # alias of the newest one that has passed
_ANEW = to_translate("train anew")
_FURTHER = to_translate("train from the champion, {new} new, {old} old queries")
# Makes a version champion in place of the one with this number; returns lines for people.
Publish = Callable[[Version, str | None], list[str]]


@dataclass(frozen=True)
class Retrained:
    """What came of it.

    `outcome` is "nothing new", "documents added", "promoted", "waits", "not better", "worse" or
    "busy".
    """

    outcome: str
    lines: tuple[str, ...]
    incoming: Incoming
    dataset: Dataset | None = None
    version: Version | None = None
    decision: Decision | None = None
    report: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def retrain(config: RetrainConfig, registry: Registry, publish: Publish) -> Retrained:
    """Make the next model from new files, and have `publish` put it in place if the gate lets it.

    Raises the rooms' errors; then nothing is published, and the same call goes on from what was
    finished.
    """
    champion = read_current(config, registry)
    aside = () if config.retake else set_aside(registry)
    incoming = find_incoming(config.source, champion.taken, aside, config.settle_s)
    logger.info(
        tr(
            "{champion}; {path}: {files}",
            champion=champion.describe(),
            path=config.source.path,
            files=incoming.describe(),
        )
    )
    if not incoming.new:
        line = tr(
            "nothing new in {path}: {files}", path=config.source.path, files=incoming.describe()
        )
        return Retrained(to_translate("nothing new"), (line,), incoming)

    attempt = Attempt.of(config, champion, incoming)
    earlier = find_earlier(registry, attempt)
    if earlier is not None and not config.gate.force:
        decision = earlier.lineage.decision
        outcome = decision if decision in REFUSED else to_translate("promoted, and replaced since")
        line = tr(
            "the same files were tried before: {outcome} ({reference}); more files, or another "
            "config, make a new attempt.",
            outcome=tr(outcome),
            reference=earlier.reference,
        )
        return Retrained(outcome, (line,), incoming)
    return _Retraining(config, registry, champion, incoming, attempt, Stages(config)).run(publish)


class _Candidate(NamedTuple):
    checkpoint: Checkpoint
    lineage: Lineage  # what it was made from
    counts: dict[str, int]  # how many queries of which kind it was trained on


@dataclass(frozen=True)
class _Retraining:
    """One attempt, from files to a version that the gate has judged."""

    config: RetrainConfig
    registry: Registry
    champion: Champion
    incoming: Incoming
    attempt: Attempt
    stages: Stages

    def run(self, publish: Publish) -> Retrained:
        stages = self.stages
        champion = self.champion
        with stages.stage(to_translate("grow the data set")):
            dataset = self._grow()
            stages.announce(dataset)
        before = champion.dataset
        if before is not None and dataset.fingerprint == before.fingerprint:
            line = tr(
                "nothing new in {count} new files: the champion's data set has all of their rows",
                count=len(self.incoming.new),
            )
            return self._result(to_translate("nothing new"), [line], dataset)

        new = find_new(before, dataset)
        sets: Sequence[RetentionSet] = ()
        if new:
            self._check_queries(dataset, new)
            sets = stages.open_retention(dataset, champion.model)
        with stages.stage(to_translate("encode what changed with the champion")):
            table = self._encode(dataset, is_unseen=True)
        if not new:
            return self._add_documents(dataset, publish)

        trained = self._train(dataset, table, new, sets)
        judged = judge(stages, self.config, champion, dataset, table, trained.checkpoint, sets)
        version = self._register(trained, judged)
        lines = [
            tr("data set: {growth}", growth=describe_growth(before, dataset)),
            *show_decision(judged.decision, champion.describe()),
        ]
        outcome: str = judged.decision.outcome
        if outcome == "better" or self.config.gate.force:
            self.registry.set_alias(version, CANDIDATE)
            if self.config.promote:
                outcome = to_translate("promoted")
                lines += publish(version, champion.number)
            else:
                outcome = to_translate("waits")
                reference = f"model={version.reference}"
                promote = command(self.config.registry, "promote", reference)
                lines.append(tr("passed the gate: {command}", command=promote))
        return replace(
            self._result(outcome, lines, dataset, version),
            decision=judged.decision,
            report=stages.place("report.html") if judged.compared else None,
            counts=trained.counts,
        )

    def _result(
        self, outcome: str, lines: list[str], dataset: Dataset, version: Version | None = None
    ) -> Retrained:
        seconds = self.stages.seconds
        return Retrained(outcome, tuple(lines), self.incoming, dataset, version, seconds=seconds)

    def _grow(self) -> Dataset:
        return grow(
            self.champion.dataset,
            [(file.uri, file.content) for file in self.incoming.new],
            self.config.source,
            self.config.splits,
            self.stages.place("data/{key}"),
            read_tokenizer(self.champion.model),
        )

    def _encode(self, dataset: Dataset, *, is_unseen: bool = False) -> Table:
        """Encode the corpus with the champion, into its own table if it has one."""
        place = self.champion.table.uri if self.champion.table else None
        return self.stages.encode(dataset, self.champion.model, place, is_unseen=is_unseen)

    def _check_queries(self, dataset: Dataset, new: Collection[str]) -> None:
        """Raises DataError if a split lacks what a later stage needs; logs what a test can show."""
        config = self.config
        self.stages.check_queries(dataset)
        if self.champion.is_full_due(config.increment.full_every):
            check_enough(dataset, config.mining, config.training)
        else:
            replayed = round(config.increment.replay * len(new))
            check_enough_new(dataset, new, replayed, config.mining, config.training)
        measured = config.evaluation
        languages = find_questions(dataset, measured).languages
        logger.info("%s", show_power(languages, config.gate.confidence))

    def _train(
        self, dataset: Dataset, table: Table, new: Collection[str], sets: Sequence[RetentionSet]
    ) -> _Candidate:
        config = self.config
        champion = self.champion
        stages = self.stages
        full = champion.is_full_due(config.increment.full_every)
        old: list[str] = []
        if not full:
            known = set(dataset.queries("train")["query_id"].to_pylist()).difference(new)
            old = choose_replay(known, len(new), config.increment)
        with stages.stage(to_translate("mine hard negatives")):
            previous = find_mined(self.registry, table, config)
            mining = config.mining.model_copy(update={"previous": previous})
            only = None if full else [*new, *old]
            examples = stages.mine(dataset, table, champion.model, mining, only=only)
        with stages.stage(to_translate("train")):
            logger.info(tr(_ANEW if full else _FURTHER, new=len(new), old=len(old)))
            elsewhere = draw_retention_samples(sets, config.retention)
            place = stages.place("models/{key}")
            checkpoint = train_candidate(
                dataset, examples, champion, config, place, elsewhere, full=full
            )
            logger.info(tr("best checkpoint: {score}", score=checkpoint.describe_score()))
        lineage = Lineage(
            dataset=dataset.as_source,
            examples=examples.as_source,
            mined_by=champion.encoder,
            increments=str(0 if full else champion.increments + 1),
        )
        return _Candidate(checkpoint, lineage, {"new": len(new), "replayed": len(old)})

    def _register(self, trained: _Candidate, judged: JudgedCandidate) -> Version:
        """Register the candidate with the decision and the files that it was made from."""
        decision = judged.decision
        compared = judged.compared
        lineage = replace(
            trained.lineage,
            job=KIND,
            table=judged.table.as_source if judged.table else None,
            output=self.stages.root,
            attempt=self.attempt.key,
            compared_with=self.attempt.compared_with,
            decision="forced" if self.config.gate.force else decision.outcome,
            reason=self.config.gate.reason,
        )
        files = {file.content: without_passwords(file.uri) for file in self.incoming.new}
        artifacts = {
            **(compared.files if compared else {}),
            "gate.json": json.dumps(asdict(decision), indent=2),
            "gate.txt": "\n".join(show_decision(decision, self.champion.describe())),
            FILES: json.dumps(files, indent=2),
        }
        version, _ = register_checkpoint(
            self.registry,
            trained.checkpoint,
            self.config,
            metrics=compared.metrics if compared else {},
            lineage=lineage,
            artifacts=artifacts,
        )
        return version

    def _add_documents(self, dataset: Dataset, publish: Publish) -> Retrained:
        """Add the new documents to the champion's table, as there is no new training pair."""
        version = self.champion.version
        if version is None:
            raise DataError(
                "{uri}: no training query; a first model needs queries with their documents.",
                uri=dataset.uri,
            )
        line = tr(
            "data set: {growth}; no new training pair, so that the champion stays, with the new "
            "documents",
            growth=describe_growth(self.champion.dataset, dataset),
        )
        table = self._encode(dataset)
        lineage = Lineage(table=table.as_source, dataset=dataset.as_source)
        grown = replace(version, tags={**version.tags, **lineage.to_tags()})
        lines = [line, *publish(grown, self.champion.number)]
        set_tags(self.registry, version, Lineage(table=table.as_source))
        # last: it says which files are taken
        set_tags(self.registry, version, Lineage(dataset=dataset.as_source))
        return self._result(to_translate("documents added"), lines, dataset, version)
