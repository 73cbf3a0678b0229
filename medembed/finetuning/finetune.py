"""Do the whole loop: prepare, encode, measure, mine, train, measure again, register, promote."""

import logging
from dataclasses import dataclass

from medembed.data.dataset import Dataset, require_queries
from medembed.data.prepare import prepare
from medembed.encoding.model_files import read_tokenizer
from medembed.encoding.table import Table
from medembed.evaluation.checks import check_request
from medembed.evaluation.compare import Comparison
from medembed.evaluation.retention.measure import NamedModel, measure_retention
from medembed.evaluation.retention.words import lost_to
from medembed.evaluation.side_by_side import Contender, SideBySide
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.stages import Stages
from medembed.language import to_translate, tr
from medembed.matryoshka import check_dimensions
from medembed.mining.examples import Examples
from medembed.registry.champion import make_champion, name_loss, read_champion
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.model.trainable import check_trainable
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.register import register_checkpoint
from medembed.training.record.retention_samples import RetentionSamples, draw_retention_samples
from medembed.training.run.enough import check_enough
from medembed.training.train import train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A round's examples, if the loss reads any, its checkpoint, and that one's table."""

    examples: Examples | None
    checkpoint: Checkpoint
    table: Table


@dataclass(frozen=True)
class Finetuned:
    """All that a run made."""

    dataset: Dataset
    base_table: Table
    trained: Trained
    compared: SideBySide
    version: Version
    is_promoted: bool
    report: str
    seconds: dict[str, float]

    @property
    def comparison(self) -> Comparison:
        """The new model against the base model."""
        return self.compared.page.comparisons[0]


def finetune(config: FinetuneConfig, registry: Registry) -> Finetuned:
    """Run the loop; `config.model` must be a reference that workers can load.

    Raises the rooms' errors; whatever was finished before stays and is found again.
    """
    stages = Stages(config)
    base = "base model"
    tuned = "fine-tuned"
    _check_model(config)
    with stages.stage(to_translate("prepare")):
        dataset = prepare(
            config.source, config.splits, stages.place("data/{key}"), read_tokenizer(config.model)
        )
        stages.announce(dataset)
        check_queries(dataset, config, stages)
        sets = stages.open_retention(dataset, config.model)
    with stages.stage(to_translate("encode with the base model")):
        base_table = stages.encode(dataset, config.model)
        check_dimensions((*config.training.dimensions, *config.dimensions), base_table.info.width)
    with stages.stage(to_translate("measure before")):
        before = stages.measure(dataset, base_table, config.model, base, is_baseline=True)

    samples = draw_retention_samples(sets, config.retention)
    trained = improve(stages, config, dataset, base_table, samples)
    checkpoint = trained.checkpoint
    with stages.stage(to_translate("measure after")):
        after = stages.measure(dataset, trained.table, checkpoint.uri, tuned)
    with stages.stage(to_translate("measure elsewhere")):
        models = (NamedModel(tuned, checkpoint.uri), NamedModel(base, config.model))
        retention = measure_retention(
            sets, models, stages.root, config.dimensions, config.retention, config.encoding
        )

    with stages.stage(to_translate("report and register")):
        contenders = [
            Contender(tuned, checkpoint.uri, trained.table, after),
            Contender(base, config.model, base_table, before),
        ]
        facts = [
            (tr(base), f"{config.model} ({base_table.info.encoder})"),
            (tr("new model"), f"{checkpoint.uri} ({checkpoint.fingerprint})"),
        ]
        title = tr("Before and after fine-tuning")
        compared = stages.compare(dataset, contenders, checkpoint, retention, title, facts)
        version, is_new = _register(stages, registry, dataset, base_table, trained, compared)
        is_promoted = _promote(config, registry, version, compared, is_new=is_new)
    report = stages.place("report.html")
    return Finetuned(
        dataset, base_table, trained, compared, version, is_promoted, report, stages.seconds
    )


def _check_model(config: FinetuneConfig) -> None:
    """Raises ModelError or ConfigError for a model that cannot be trained or measured as asked."""
    check_trainable(config.model, config.training)
    dimensions = (*config.training.dimensions, *config.dimensions)
    check_request(config.evaluation.model_copy(update={"dimensions": dimensions}), [config.model])


def check_queries(dataset: Dataset, config: FinetuneConfig, stages: Stages) -> None:
    """Raises DataError if a split lacks what a later stage needs: now rather than after an hour."""
    require_queries(dataset, [("train", None)], to_translate("fine-tuning trains on queries"))
    check_enough(dataset, config.mining, config.training)
    stages.check_queries(dataset)


def improve(
    stages: Stages,
    config: FinetuneConfig,
    dataset: Dataset,
    base_table: Table,
    samples: RetentionSamples,
) -> Trained:
    """Mine and train round by round, and return the best round."""
    model = config.model
    table = base_table
    mining = config.mining
    best: Trained | None = None
    for number in range(1, config.rounds + 1):
        examples = None
        if config.training.loss.traits.reads_examples:
            with stages.stage(to_translate("mine hard negatives"), number, config.rounds):
                examples = stages.mine(dataset, table, model, mining)
        with stages.stage(to_translate("train"), number, config.rounds):
            place = stages.place("models/{key}")
            checkpoint = train(dataset, examples, model, place, config.training, elsewhere=samples)
            logger.info(tr("best checkpoint: {score}", score=checkpoint.describe_score()))
        if best and checkpoint.manifest.score <= best.checkpoint.manifest.score:
            logger.info(
                tr(
                    "round {number} has no higher dev score; the model of round {best} is kept",
                    number=number,
                    best=number - 1,
                )
            )
            break
        model = checkpoint.uri
        with stages.stage(to_translate("encode with the new model"), number, config.rounds):
            table = stages.encode(dataset, model)
        mining = mining.model_copy(update={"previous": None})  # it was another model's
        best = Trained(examples, checkpoint, table)
    assert best is not None
    return best


def _register(
    stages: Stages,
    registry: Registry,
    dataset: Dataset,
    base_table: Table,
    trained: Trained,
    compared: SideBySide,
) -> tuple[Version, bool]:
    """Return the checkpoint's version, and whether it is new."""
    lineage = Lineage(
        dataset=dataset.as_source,
        examples=trained.examples.as_source if trained.examples else None,
        base=base_table.info.encoder,
        table=trained.table.as_source,
        output=stages.root,
        lost_elsewhere=name_loss(lost_to(compared.page.retention)),
    )
    return register_checkpoint(
        registry,
        trained.checkpoint,
        stages.config,
        metrics=compared.metrics,
        lineage=lineage,
        artifacts=compared.files,
    )


def _promote(
    config: FinetuneConfig,
    registry: Registry,
    version: Version,
    compared: SideBySide,
    *,
    is_new: bool,
) -> bool:
    """Make the version champion if it deserves it, and say whether it did."""
    comparison = compared.page.comparisons[0]
    gain = comparison.differences[comparison.objective][config.training.select_dimension]
    champion = read_champion(registry, version.name)
    lost = lost_to(compared.page.retention)
    worthy = is_worthy(gain.low, lost, is_new=is_new, has_champion=champion is not None)
    if not config.promote or not worthy:
        return False
    make_champion(registry, version, champion)
    return True


def is_worthy(gain: float, lost: str | None, *, is_new: bool, has_champion: bool) -> bool:
    """Whether a model may be champion: it surely gains, and loses nothing elsewhere.

    `gain` is the lower bound of what it adds in NDCG@10. A version that was there before may have
    been rolled back by somebody, so it is champion again only where there is none.
    """
    return gain > 0 and not lost and (is_new or not has_champion)
