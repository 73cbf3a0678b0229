"""New files -> the next champion, or the reason why not: take, grow, encode, mine, train, try out,
encode, judge, flip.

What decides lies in the registry: the champion's lineage says which files it knows, and a
candidate's version what was decided about it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.data.grow import describe_growth
from medembed.errors import DataError
from medembed.registry.catalog import set_tags
from medembed.registry.champion import REFUSED
from medembed.registry.config import command
from medembed.registry.models import Registry, Version
from medembed.retraining.champion import read_current
from medembed.retraining.config import RetrainConfig
from medembed.retraining.decision_text import show_decision, show_power
from medembed.retraining.delta import find_new
from medembed.retraining.gate import Decision
from medembed.retraining.landing import Landing, look
from medembed.retraining.ledger import Attempt, find_earlier, set_aside
from medembed.retraining.stages import Stages, check_queries
from medembed.tags import Lineage

logger = logging.getLogger(__name__)

Publish = Callable[[Version, str | None], list[str]]
# Makes a version champion in place of the one with this number; returns lines for people.


@dataclass(frozen=True)
class Retrained:
    """What came of it: "nothing new", "documents added", "promoted", "waits", "not better" or
    "worse".
    """

    outcome: str
    lines: tuple[str, ...]
    landing: Landing
    dataset: Dataset | None = None
    version: Version | None = None
    decision: Decision | None = None
    report: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def retrain(config: RetrainConfig, registry: Registry, publish: Publish) -> Retrained:
    """Makes the next model from what landed, and has `publish` put it in place if the gate lets it.

    Raises the rooms' errors; then nothing is published, and the same call goes on from what was
    finished.
    """
    champion = read_current(config, registry)
    aside = () if config.retake else set_aside(registry)
    landing = look(config.source, champion.taken, aside, config.settle_s)
    logger.info("%s; %s: %s", champion.describe(), config.source.path, landing.describe())
    if not landing.new:
        return Retrained(
            "nothing new", (f"nothing new in {config.source.path}: {landing.describe()}",), landing
        )
    attempt = Attempt.of(config, champion, landing)
    earlier = find_earlier(registry, attempt)
    if earlier is not None and not config.gate.force:
        decision = str(earlier.lineage.decision)
        was = decision if decision in REFUSED else "promoted, and replaced since"
        told = f"the same files were tried before: {was} (models:/{earlier.name}/{earlier.version})"
        return Retrained(
            was, (f"{told}; more files, or another config, make a new attempt.",), landing
        )
    return _attempt(Stages(config, registry, champion, landing, attempt), publish)


def _attempt(stages: Stages, publish: Publish) -> Retrained:
    """All stages, to the end."""
    champion, landing = stages.champion, stages.landing
    with stages.stage("grow the data set"):
        dataset = stages.grow()
    before = champion.dataset
    if before is not None and dataset.fingerprint == before.fingerprint:
        line = (
            f"nothing new in {len(landing.new)} new files: the champion's data set has all "
            "of their rows"
        )
        return Retrained("nothing new", (line,), landing, dataset, seconds=stages.seconds)
    new = find_new(before, dataset)
    if new:
        check_queries(dataset, new, champion, stages.config)
        measured = stages.config.evaluation
        languages = dataset.queries(measured.split, measured.tag)["language"].to_pylist()
        logger.info("%s", show_power(languages, stages.config.gate.confidence))
    sets = stages.open_retention(dataset) if new else ()
    with stages.stage("encode what changed with the champion"):
        table = stages.encode(dataset, champion.model, champion.table, is_unseen=True)
    if not new:
        return _add_documents(stages, dataset, publish)
    checkpoint, lineage, counts = stages.train(dataset, table, new, sets)
    judged = stages.judge(dataset, table, checkpoint, sets)
    version = stages.register(checkpoint, judged, lineage)
    lines = [
        f"data set: {describe_growth(before, dataset)}",
        *show_decision(judged.decision, champion.describe()),
    ]
    outcome: str = judged.decision.outcome
    passes = outcome == "better" or stages.config.gate.force
    if passes and stages.config.promote:
        outcome = "promoted"
        lines += publish(version, champion.number)
    elif passes:
        outcome = "waits"
        reference = f"model=models:/{version.name}/{version.version}"
        lines.append(f"passed the gate: {command(stages.config.registry, 'promote', reference)}")
    report = storage.join(stages.root, "report.html") if judged.compared else None
    return Retrained(
        outcome,
        tuple(lines),
        landing,
        dataset,
        version,
        judged.decision,
        report,
        counts,
        stages.seconds,
    )


def _add_documents(stages: Stages, dataset: Dataset, publish: Publish) -> Retrained:
    """No new training pair: the champion stays, with the new documents in its table."""
    champion = stages.champion
    version = champion.version
    if version is None:
        raise DataError(
            f"{dataset.uri}: no training query; a first model needs queries with their documents."
        )
    grown = describe_growth(champion.dataset, dataset)
    lines = [
        f"data set: {grown}; no new training pair, so that the champion stays, with the new "
        "documents"
    ]
    table = stages.encode(dataset, champion.model, champion.table)
    grown_lineage = Lineage(table=table.as_source, dataset=dataset.as_source)
    lines += publish(
        replace(version, tags={**version.tags, **grown_lineage.to_tags()}), champion.number
    )
    set_tags(stages.registry, version, Lineage(table=table.as_source))
    # last: it says which files are taken
    set_tags(stages.registry, version, Lineage(dataset=dataset.as_source))
    return Retrained(
        "documents added", tuple(lines), stages.landing, dataset, version, seconds=stages.seconds
    )
