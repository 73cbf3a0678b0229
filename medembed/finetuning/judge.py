"""Judge a candidate against the champion: on the dev sample, on all test queries, elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table
from medembed.evaluation.retention.judge import judge_retained
from medembed.evaluation.retention.measure import NamedModel, compare_scores, score_models
from medembed.evaluation.retention.sets import RetentionSet
from medembed.evaluation.side_by_side import Contender, SideBySide
from medembed.finetuning.champion import Champion
from medembed.finetuning.dev_trial import try_out
from medembed.finetuning.gate import Decision, decide, hold_to_retention
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.finetuning.stages import Stages
from medembed.language import to_translate, tr
from medembed.training.record.checkpoint import Checkpoint


@dataclass(frozen=True)
class JudgedCandidate:
    """The gate's decision, both models side by side, and the candidate's table.

    The dev sample may suffice to refuse a candidate: then there are no such two.
    """

    decision: Decision
    compared: SideBySide | None = None
    table: Table | None = None


def judge(
    stages: Stages,
    config: RetrainConfig,
    champion: Champion,
    dataset: Dataset,
    table: Table,
    checkpoint: Checkpoint,
    sets: Sequence[RetentionSet],
) -> JudgedCandidate:
    """Decide whether the checkpoint may replace the champion, whose table this is."""
    with stages.stage(to_translate("try out on the dev sample")):
        row = try_out(dataset, champion.model, table, checkpoint, config)
    if row.verdict == "fail" and not config.gate.force:
        reason = tr(
            "surely loses more than {tolerance:g} on the dev sample; the corpus was not encoded",
            tolerance=config.gate.tolerance,
        )
        return JudgedCandidate(Decision("worse", (reason,), config.training.select_by, (row,)))

    with stages.stage(to_translate("encode with the candidate")):
        own_table = stages.encode(dataset, checkpoint.uri)
    with stages.stage(to_translate("measure both")):
        after = stages.measure(dataset, own_table, checkpoint.uri, "candidate")
        before = stages.measure(dataset, table, champion.model, "champion", is_baseline=True)
        known = set(champion.dataset.query_ids().to_pylist()) if champion.dataset else set()
        decision = decide(before, after, known, config.gate, config.evaluation)
        decision = _look_elsewhere(decision, sets, stages, config, champion, checkpoint)
        contenders = [
            Contender("candidate", checkpoint.uri, own_table, after),
            Contender("champion", champion.model, table, before),
        ]
        facts = [
            (tr("champion"), champion.describe()),
            (tr("candidate"), f"{checkpoint.uri} ({checkpoint.fingerprint})"),
        ]
        title = tr("Candidate and champion")
        retention = decision.retention
        compared = stages.compare(dataset, contenders, checkpoint, retention, title, facts)
    return JudgedCandidate(decision, compared, own_table)


def _look_elsewhere(
    decision: Decision,
    sets: Sequence[RetentionSet],
    stages: Stages,
    config: RetrainConfig,
    champion: Champion,
    checkpoint: Checkpoint,
) -> Decision:
    """Return the decision in the light of retention sets.

    On them the candidate stands against the champion, and against the model that all trainings
    start from.
    """
    if not sets:
        return decision
    models = [NamedModel("candidate", checkpoint.uri), NamedModel("champion", champion.model)]
    start = storage.absolute(config.model)
    if champion.version and model_fingerprint(fetch_model(start)) != champion.encoder:
        models.append(NamedModel("base model", start))
    scores = score_models(sets, models, stages.root, config.dimensions, config.encoding)
    retention = compare_scores(sets, scores, config.retention)
    champions_losses = judge_retained(scores[models[-1].name], scores["champion"], config.retention)
    return hold_to_retention(decision, retention, champions_losses)
