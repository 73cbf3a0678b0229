"""The stages of one retraining attempt, from files that landed to a version that the gate has
judged.

Each stage leaves an output named by the fingerprint of its inputs; the same call finds it again, so
that one that was killed goes on where it was.
"""

import json
import logging
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace

from medembed import storage
from medembed.data.dataset import Dataset, describe, require_queries
from medembed.data.grow import grow
from medembed.encoding.encode import encode_corpus
from medembed.encoding.model_files import fetch_model, model_fingerprint, read_tokenizer
from medembed.encoding.table import Table
from medembed.evaluation.checks import check_data
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.result import Evaluation, baseline_dimensions
from medembed.evaluation.retention.judge import Retention, judge_retained
from medembed.evaluation.retention.measure import Model, compare_scores, score_models
from medembed.evaluation.retention.sets import RetentionSet, open_retention
from medembed.evaluation.side_by_side import Contender, SideBySide, compare_models
from medembed.privacy import without_passwords
from medembed.progress import stage
from medembed.registry.models import Registry, Version
from medembed.retraining.candidate import choose_replay, mine_for, train_candidate
from medembed.retraining.champion import Champion
from medembed.retraining.config import RetrainConfig
from medembed.retraining.decision_text import show_decision
from medembed.retraining.gate import Decision, decide, hold_to_retention
from medembed.retraining.landing import Landing
from medembed.retraining.ledger import CANDIDATE, FILES, KIND, PASSED, Attempt, find_mined
from medembed.retraining.trial import try_out
from medembed.tags import Lineage
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.curves import CURVES
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.register import register_checkpoint
from medembed.training.record.retention_samples import draw_retention_samples
from medembed.training.run.enough import check_enough, check_enough_new

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """The gate's decision, both models side by side, the candidate's table; no such two if the dev
    sample sufficed.
    """

    decision: Decision
    compared: SideBySide | None = None
    table: Table | None = None


@dataclass
class Stages:
    """What an attempt starts from, and the seconds that each stage took."""

    config: RetrainConfig
    registry: Registry
    champion: Champion
    landing: Landing
    attempt: Attempt
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return storage.absolute(self.config.output)

    def place(self, name: str) -> str:
        return storage.join(self.root, name)

    def stage(self, name: str) -> AbstractContextManager[None]:
        return stage(name, self.seconds)

    def grow(self) -> Dataset:
        files = [(file.uri, file.content) for file in self.landing.new]
        model, config = self.champion.model, self.config
        dataset = grow(
            self.champion.dataset,
            files,
            config.source,
            config.splits,
            self.place("data/{key}"),
            read_tokenizer(model),
        )
        for line in describe(dataset):
            logger.info("%s", line)
        return dataset

    def encode(
        self, dataset: Dataset, model: str, table: Table | None = None, *, is_unseen: bool = False
    ) -> Table:
        """The corpus by this model, in the champion's own table where it has one.

        Unseen, no server that starts meanwhile finds it.
        """
        place = table.uri if table else self.place("tables/{key}.lance")
        return encode_corpus(
            dataset.corpus_files(),
            dataset.fingerprint,
            model,
            place,
            self.config.encoding,
            is_unseen=is_unseen,
        )

    def train(
        self, dataset: Dataset, table: Table, new: Collection[str], sets: Sequence[RetentionSet]
    ) -> tuple[Checkpoint, Lineage, dict[str, int]]:
        """(the candidate, what it was made from, how many queries of which kind it was trained
        on).
        """
        config, champion = self.config, self.champion
        full = champion.is_full_due(config.increment.full_every)
        previous = find_mined(self.registry, table, config)
        chosen, mined, old = None, previous, list[str]()
        with self.stage("mine hard negatives"):
            if not full:
                old, mined_now = choose_replay(
                    dataset, new, champion, table, config, self.place("examples/{key}")
                )
                chosen, mined = [*new, *old], mined_now or previous
            examples = mine_for(
                dataset, chosen, champion, table, config, self.place("examples/{key}"), mined
            )
        how = "anew" if full else f"from the champion, {len(new)} new and {len(old)} old queries"
        with self.stage("train"):
            logger.info("train %s", how)
            elsewhere = draw_retention_samples(sets, config.retention)
            place = self.place("models/{key}")
            checkpoint = train_candidate(
                dataset, examples, champion, config, place, elsewhere, full=full
            )
            logger.info("best checkpoint: %s", checkpoint.describe_score())
        lineage = Lineage(
            dataset=dataset.as_source,
            examples=examples.as_source,
            mined_by=champion.encoder,
            increments=str(0 if full else champion.increments + 1),
        )
        return checkpoint, lineage, {"new": len(new), "replayed": len(old)}

    def open_retention(self, dataset: Dataset) -> tuple[RetentionSet, ...]:
        return open_retention(self.config.retention, self.root, dataset, self.champion.model)

    def judge(
        self, dataset: Dataset, table: Table, checkpoint: Checkpoint, sets: Sequence[RetentionSet]
    ) -> Judged:
        """The candidate against the champion: on the dev sample, then on all test queries over the
        whole corpus, and on all retention sets."""
        config, champion = self.config, self.champion
        with self.stage("try out on the dev sample"):
            row = try_out(
                dataset,
                (champion.model, table),
                checkpoint,
                config.training,
                config.encoding,
                config.gate,
                config.evaluation,
            )
        metric = config.training.select_by
        if row.verdict == "fail" and not config.gate.force:
            reason = (
                f"surely loses more than {config.gate.tolerance:g} on the dev sample; "
                "the corpus was not encoded"
            )
            return Judged(Decision("worse", (reason,), metric, (row,)))
        with self.stage("encode with the candidate"):
            own = self.encode(dataset, checkpoint.uri)
        with self.stage("measure both"):
            after = self.measure(dataset, own, checkpoint.uri, "candidate")
            before = self.measure(dataset, table, champion.model, "champion", after)
            known = set(champion.dataset.query_ids().to_pylist()) if champion.dataset else set()
            decision = decide(before, after, known, config.gate, config.evaluation)
            decision = self.look_elsewhere(decision, sets, checkpoint)
            compared = self.compare(
                dataset, (table, before), (own, after), checkpoint, decision.retention
            )
        return Judged(decision, compared, own)

    def look_elsewhere(
        self, decision: Decision, sets: Sequence[RetentionSet], made: Checkpoint
    ) -> Decision:
        """The decision in the light of retention sets: the candidate against the champion, and the
        model that all trainings start from."""
        if not sets:
            return decision
        config, champion = self.config, self.champion
        models = [Model("candidate", made.uri), Model("champion", champion.model)]
        start = storage.absolute(config.model)
        if (
            champion.version is not None
            and model_fingerprint(fetch_model(start)) != champion.encoder
        ):
            models.append(Model("base model", start))
        dimensions = config.evaluation.dimensions or config.training.dimensions
        scores = score_models(sets, models, self.root, dimensions, config.encoding)
        retention = compare_scores(sets, scores, config.retention)
        before = judge_retained(scores[models[-1].name], scores["champion"], config.retention)
        return hold_to_retention(decision, retention, before)

    def measure(
        self, dataset: Dataset, table: Table, model: str, name: str, other: Evaluation | None = None
    ) -> Evaluation:
        """Of all test queries, at the config's dimensions or at those of `other` that the model
        has.
        """
        config = self.config.evaluation
        wanted = config.dimensions or self.config.training.dimensions
        asked = wanted if other is None else baseline_dimensions(wanted, table.info.width)
        measured = config.model_copy(update={"dimensions": asked})
        return evaluate(
            dataset,
            table,
            model,
            self.place("evaluations/{key}"),
            measured,
            self.config.encoding,
            name=name,
        )

    def compare(
        self,
        dataset: Dataset,
        before: tuple[Table, Evaluation],
        after: tuple[Table, Evaluation],
        made: Checkpoint,
        retention: Retention | None,
    ) -> SideBySide:
        dimensions = self.config.evaluation.dimensions or self.config.training.dimensions
        measured = self.config.evaluation.model_copy(update={"dimensions": dimensions})
        contenders = [
            Contender("candidate", made.uri, *after),
            Contender("champion", self.champion.model, *before),
        ]
        facts = [
            ("champion", self.champion.describe()),
            ("candidate", f"{made.uri} ({made.fingerprint})"),
        ]
        compared = compare_models(
            dataset,
            contenders,
            self.root,
            measured,
            self.config.encoding,
            title="Candidate and champion",
            facts=facts,
            plots=made.read(CURVES),
            retention=retention,
        )
        compared.write(self.root)
        return compared

    def register(self, checkpoint: Checkpoint, judged: Judged, lineage: Lineage) -> Version:
        """The candidate as a version, with the decision and the files that it was made from."""
        decision, compared = judged.decision, judged.compared
        outcome = "forced" if self.config.gate.force else decision.outcome
        lineage = replace(
            lineage,
            job=KIND,
            table=judged.table.as_source if judged.table else None,
            output=self.root,
            attempt=self.attempt.key,
            compared_with=self.attempt.compared_with,
            decision=outcome,
            reason=self.config.gate.reason,
        )
        version, _ = register_checkpoint(
            self.registry,
            checkpoint,
            self.config,
            metrics=compared.metrics if compared else {},
            lineage=lineage,
            artifacts={
                **(compared.files if compared else {}),
                "gate.json": json.dumps(asdict(decision), indent=2),
                "gate.txt": "\n".join(show_decision(decision, self.champion.describe())),
                FILES: json.dumps(
                    {file.content: without_passwords(file.uri) for file in self.landing.new},
                    indent=2,
                ),
            },
        )
        if outcome in PASSED:
            self.registry.set_alias(version, CANDIDATE)
        return version


def check_queries(
    dataset: Dataset, new: Collection[str], champion: Champion, config: RetrainConfig
) -> None:
    """Raises DataError if a split lacks what a later stage needs: now rather than after an hour."""
    wanted = (("dev", config.training.dev_tag), (config.evaluation.split, config.evaluation.tag))
    require_queries(dataset, wanted, "retraining chooses checkpoints and judges by queries")
    check_data(dataset, config.evaluation, bm25=False)
    draw_dev_sample(dataset, config.training)
    if champion.is_full_due(config.increment.full_every):
        check_enough(dataset, config.mining, config.training)
    else:
        replayed = round(config.increment.replay * len(new))
        check_enough_new(dataset, new, replayed, config.mining, config.training)
