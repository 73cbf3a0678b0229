"""The search: mine once, try settings by Ray Tune, keep the best model, say what was found."""

import logging
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from medembed import storage
from medembed.artifact import read_manifest
from medembed.config import to_yaml
from medembed.data.dataset import Dataset, format_counts, require_queries
from medembed.encoding.encode import encode_corpus
from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width
from medembed.errors import DataError, StorageError, TrainingError
from medembed.evaluation.elsewhere import Model, measure_retention
from medembed.evaluation.retained import Retention
from medembed.evaluation.retention import open_retention
from medembed.evaluation.retention_screen import lost_to
from medembed.lineage import CheckpointManifest
from medembed.matryoshka import check_dimensions
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.mining.pairs import select_pairs
from medembed.mining.subset import pool_of
from medembed.privacy import without_passwords
from medembed.progress import stage
from medembed.registry.champion import name_loss
from medembed.registry.models import Registry, Version
from medembed.schema import fingerprint
from medembed.tags import Lineage
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import ON_EXAMPLES
from medembed.training.model.trainable import check_trainable
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.register import register_checkpoint
from medembed.training.run.enough import check_corpus
from medembed.training.run.run_folder import claim_run
from medembed.tuning.config import TuneConfig
from medembed.tuning.records import Record, Records
from medembed.tuning.report import draw_report
from medembed.tuning.room import count_room, find_nodes
from medembed.tuning.space import Axis, Point, default_point
from medembed.tuning.trial import OBJECTIVE, Shared, best_settings, place_of, run_trial
from medembed.tuning.warm_start import warm_starts

logger = logging.getLogger(__name__)
CONFIG, BEST, REPORT, RUN = "tune.yaml", "best.yaml", "report.html", "search"
# With other values of these it is the same search; data and model count by what they are.
_NO_MATTER = {
    "output",
    "trials",
    "hours",
    "concurrent",
    "trials_per_gpu",
    "registry",
    "data",
    "model",
}
# No banner, no CSV and TensorBoard files; a trial that failed reports no metric; Ctrl-C ends the
# job, where Ray Tune would end the trials and let the search come to its end as if it had been
# meant to.
_SWITCHES = {
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
_RETRIES = 3  # of a trial whose process or node died


@dataclass(frozen=True)
class Tuned:
    """What a search found."""

    records: Sequence[Record]
    best: Record
    version: Version
    checkpoint: Checkpoint
    report: str
    best_config: str
    examples: int  # that a whole trial sees
    seconds: dict[str, float]
    retention: Retention | None  # the winner against the base model


def tune(
    config: TuneConfig, dataset: Dataset, model: str, registry: Registry, spare_cpus: float = 0
) -> Tuned:
    """Runs the search, or goes on with it; `model` is a reference that workers can load.

    `spare_cpus` of each node are not for trials. Raises ConfigError before anything starts if no
    trial fits, StorageError if another search's files are at `output`, TrainingError if no trial
    came to its end.
    """
    output, seconds = storage.absolute(config.output), dict[str, float]()
    room, axes = count_room(config, find_nodes(), spare_cpus), config.axes()
    check_trainable(model, config.training)
    check_dimensions(
        config.training.dimensions,
        model_width(fetch_model(model)) or max(config.training.dimensions),
    )
    draw_dev_sample(dataset, config.training)  # fails here, in a second, rather than in each trial
    sets = open_retention(config.retention, output, dataset, model)
    pool = _plan_pool(config, axes)
    wanted = (("train", None), ("dev", config.training.dev_tag))
    require_queries(dataset, wanted, "a search trains on queries, and compares on others")
    fitted = config
    if pool:
        check_corpus(dataset, pool)
        fitted = _fit_pairs(config, dataset.uri, len(select_pairs(dataset, pool)))
    planned = [default_point(axes), *warm_starts(config, axes)]
    _claim(config, dataset, model, output)
    with stage("encode and mine once", seconds):
        examples = _mine_pool(config, dataset, model, output, pool) if pool else None
        if examples is not None:
            fitted = _fit_pairs(fitted, examples.uri, examples.manifest.example_count)
        place = examples.uri if examples else None
        shared = Shared(fitted, output, model, dataset.uri, place, sets)
    records = Records.read(output)
    with stage("search", seconds):
        _search(shared, axes, planned[: config.trials], records, room)
    best = records.best()
    if best is None:
        reasons = (
            "; ".join(sorted({record.reason for record in records.all() if record.reason}))
            or "time was up"
        )
        raise TrainingError(
            f"{output}: none of {len(records.known)} trials was trained to its end: {reasons}"
        )
    with stage("measure elsewhere", seconds):
        models = (Model("winner", place_of(shared, best.number)), Model("base model", model))
        dimensions = best_settings(shared, best.point)[0].dimensions
        kept = measure_retention(
            sets, models, output, dimensions, config.retention, config.encoding
        )
    with stage("report and register", seconds):
        found = _publish(shared, records, best, axes, dataset, registry, kept)
    return Tuned(records.all(), best, *found, shared.config.examples, seconds, kept)


def read_config(output: str) -> bytes:
    """The config of the search at `output`, as YAML. Raises StorageError if there is none."""
    place = storage.join(storage.absolute(output), CONFIG)
    if not storage.exists(place):
        raise StorageError(
            f"{output}: expected the output of medembed tune, but found no {CONFIG} there."
        )
    return storage.read_bytes(place)


def _claim(config: TuneConfig, dataset: Dataset, model: str, output: str) -> None:
    """Makes the output this search's, or goes on with it."""
    given = config.model_dump(mode="json", include=set(TuneConfig.model_fields) - _NO_MATTER)
    inputs = {
        "dataset": dataset.fingerprint,
        "model": model_fingerprint(fetch_model(model)),
        **given,
    }
    if claim_run(storage.join(output, RUN), fingerprint(inputs), inputs, uuid.uuid4().hex):
        logger.info("search: goes on in %s", output)
    storage.write_bytes(storage.join(output, CONFIG), to_yaml(config).encode())


def _plan_pool(config: TuneConfig, axes: Sequence[Axis]) -> MiningConfig | None:
    """What to mine once for all trials; None where no loss reads examples."""
    searched = {axis.name: axis.values for axis in axes}
    if not {config.training.loss.name, *searched.get("training.loss.name", ())} & set(ON_EXAMPLES):
        return None
    mining = config.mining.model_copy(update={"max_pairs": config.pairs})
    return pool_of(mining, list(searched.get("mining.margin", [config.mining.margin])))


def _mine_pool(
    config: TuneConfig, dataset: Dataset, model: str, output: str, pool: MiningConfig
) -> Examples:
    """Where all trials find their negatives."""
    place = storage.join(output, "tables", "{key}.lance")
    table = encode_corpus(
        dataset.corpus_files(), dataset.fingerprint, model, place, config.encoding
    )
    examples = mine(
        dataset, table, model, storage.join(output, "pool", "{key}"), pool, config.encoding
    )
    logger.info("pool of negatives: %s", format_counts(examples.manifest.counts))
    return examples


def _fit_pairs(config: TuneConfig, place: str, count: int) -> TuneConfig:
    """The config with as many pairs as there are. Raises DataError if they are too few for a
    trial.
    """
    if count >= config.pairs:
        return config
    logger.warning(
        "pairs: %d asked, the data set has %d for training; trials see and are compared at these",
        config.pairs,
        count,
    )
    config = config.model_copy(update={"pairs": count})
    try:
        config.check_budget()
    except ValueError as error:
        raise DataError(f"{place}: too few pairs for training: {error}") from None
    return config


def _search(
    shared: Shared, axes: Sequence[Axis], planned: Sequence[Point], records: Records, room: int
) -> None:
    """Runs the trials that are not over. What Ray Tune pickles is never read, and removed at the
    end.
    """
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback

    from medembed.tuning.follow import Follow
    from medembed.tuning.search import Search, make_scheduler

    config, follow = shared.config, Follow(records, shared)
    over = [record for record in records.all() if record.is_over]
    left = config.trials - len(over)
    logger.info(
        "%d trials, %d over; %d at a time; rungs at %s of %d examples; objective: %s",
        config.trials,
        len(over),
        room,
        ", ".join(map(str, config.rung_examples)),
        config.examples,
        describe_objective(config),
    )
    if left <= 0:
        return
    scheduler = make_scheduler(config, records.all())
    search = Search(config, axes, planned, records.all(), follow.started, scheduler)
    # A trial holds nothing itself, its workers do: it could wait for ever for what others of its
    # kind hold.
    function = tune.with_resources(
        tune.with_parameters(run_trial, shared=shared), {"CPU": 0, "memory": 1}
    )
    os.environ |= _SWITCHES
    tuner = tune.Tuner(
        function,
        tune_config=tune.TuneConfig(
            num_samples=left,
            search_alg=tune.search.ConcurrencyLimiter(search, room),
            scheduler=scheduler,
            time_budget_s=config.hours and config.hours * 3600,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=storage.join(shared.output, RUN),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            callbacks=[follow, JsonLoggerCallback()],  # Ray Tune reads its files again at the end
        ),
    )
    tuner.fit()
    follow.suspend()
    storage.delete_folder(storage.join(shared.output, RUN, "tune"))
    follow.clean(everything=True)


def describe_objective(config: TuneConfig) -> str:
    """ "ndcg@10 on the dev sample, mean over 384, 64"."""
    weights = config.weights
    alike = len(set(weights.values())) == 1
    parts = [
        str(dimension) if alike else f"{dimension} x {weight:g}"
        for dimension, weight in weights.items()
    ]
    return f"{config.training.select_by} on the dev sample, mean over {', '.join(parts)}"


def _publish(
    shared: Shared,
    records: Records,
    best: Record,
    axes: Sequence[Axis],
    dataset: Dataset,
    registry: Registry,
    kept: Retention | None,
) -> tuple[Version, Checkpoint, str, str]:
    """(the registered winner, its checkpoint, places of the report and of its config)."""
    config, place = shared.config, place_of(shared, best.number)
    checkpoint = Checkpoint(place, read_manifest(place, CheckpointManifest))
    training, examples = best_settings(shared, best.point)
    _, mining = config.settings(best.point)
    files = {
        REPORT: draw_report(records.all(), best, axes, config, describe_objective(config), kept),
        BEST: _to_train(shared, training, mining, examples.uri if examples else None),
    }
    for name, content in files.items():
        storage.write_bytes(storage.join(shared.output, name), content.encode())
    lineage = Lineage(
        dataset=dataset.as_source,
        examples=examples.as_source if examples else None,
        output=shared.output,
        search=shared.output,
        trial=str(best.number),
        lost_elsewhere=name_loss(lost_to(kept)),
    )
    metrics = {OBJECTIVE: best.score} | (kept.metrics if kept else {})
    version, is_new = register_checkpoint(
        registry, checkpoint, config, metrics=metrics, lineage=lineage, artifacts=files
    )
    if not is_new:  # the same winner, of more trials
        for name, content in files.items():
            registry.write_artifact(version.run_id, name, content)
    _log_trials(registry, version, records.all(), config)
    return (
        version,
        checkpoint,
        storage.join(shared.output, REPORT),
        storage.join(shared.output, BEST),
    )


def _to_train(
    shared: Shared, training: TrainingConfig, mining: MiningConfig, examples: str | None
) -> str:
    """A config of `medembed train` with the best settings; how to mine for it is a comment."""
    margin = "null" if mining.margin is None else f"{mining.margin:g}"
    comment = (
        f"# {shared.config.pairs:,} pairs. For all of them mine with "
        f"mining.negatives={mining.negatives} "
    )
    comment += f"mining.margin={margin}, and give their examples here.\n"
    wanted = {
        "model": shared.config.model,
        "data": shared.config.data,
        "examples": examples,
        "output": storage.join(shared.output, "model"),
        "training": training.model_dump(mode="json", exclude={"preset"}),
        "retention": shared.config.retention.model_dump(mode="json", exclude_defaults=True),
        "registry": shared.config.registry.model_dump(mode="json", exclude_unset=True),
    }
    text = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)
    return without_passwords((comment if examples else "") + text)


def _log_trials(
    registry: Registry, winner: Version, records: Sequence[Record], config: TuneConfig
) -> None:
    """Each trial that is over as a child of the winner's run in MLflow, with its course; those that
    are there stay.
    """
    for record in records:
        if not record.is_over:
            continue
        trial = {"mlflow.parentRunId": winner.run_id} | Lineage(trial=str(record.number)).to_tags()
        if registry.find_run(trial) is not None:
            continue
        course = [(OBJECTIVE, one.examples, one.objective) for one in record.course]
        course += [
            (name, one.examples, value)
            for one in record.course
            for name, value in one.metrics.items()
        ]
        tags = trial | {"state": record.state}
        registry.log_run(
            params=record.point | {"pairs": config.pairs},
            metrics={"best_objective": record.score} if math.isfinite(record.score) else {},
            tags=tags | Lineage(reason=record.reason or None).to_tags(),
            artifacts={},
            history=course,
        )
