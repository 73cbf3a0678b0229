"""Search settings: mine once, try them by Ray Tune, keep the best model, report."""

import logging
import os
import uuid
from collections.abc import Sequence

from medembed import storage
from medembed.config import to_yaml
from medembed.data.dataset import Dataset, require_queries
from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width
from medembed.errors import StorageError, TrainingError
from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.measure import NamedModel, measure_retention
from medembed.evaluation.retention.sets import open_retention
from medembed.language import to_translate, tr
from medembed.matryoshka import check_dimensions
from medembed.progress import stage
from medembed.registry.models import Registry
from medembed.schema import fingerprint
from medembed.training.model.trainable import check_trainable
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.run.run_folder import claim_run
from medembed.tuning.capacity import count_room, find_nodes
from medembed.tuning.config import TuneConfig
from medembed.tuning.outcome import BEST, REPORT, Tuned, publish
from medembed.tuning.pool import fit_to_data, mine_pool, plan_pool
from medembed.tuning.space import Axis, Point, default_point
from medembed.tuning.trial import Shared, run_trial
from medembed.tuning.trials import TrialRecord, Trials, model_place
from medembed.tuning.warm_start import warm_starts

logger = logging.getLogger(__name__)
CONFIG = "tune.yaml"
_RUN = "search"
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


def tune(
    config: TuneConfig, dataset: Dataset, model: str, registry: Registry, spare_cpus: float = 0
) -> Tuned:
    """Run the search, or continue it; `model` is a reference that workers can load.

    `spare_cpus` of each node are not for trials. Raises ConfigError before anything starts if no
    trial fits, StorageError if another search's files are at `output`, TrainingError if no trial
    was trained to its end.
    """
    output = storage.absolute(config.output)
    seconds: dict[str, float] = {}
    axes = config.axes()
    room = count_room(config, find_nodes(), spare_cpus)
    _check_inputs(config, dataset, model)
    pool = plan_pool(config, axes)
    fitted = fit_to_data(config, dataset, pool) if pool else config
    sets = open_retention(config.retention, output, dataset, model)
    planned = [default_point(axes), *warm_starts(config, axes)]
    _claim(config, dataset, model, output)
    shared = Shared(fitted, output, model, dataset.uri, None, sets)
    if pool:
        with stage(to_translate("encode and mine once"), seconds):
            shared = mine_pool(shared, dataset, pool)
    trials = Trials.read(output)
    with stage(to_translate("search"), seconds):
        _search(shared, axes, planned[: config.trials], trials, room)
    best = _find_best(trials, output)
    with stage(to_translate("measure elsewhere"), seconds):
        retention = _look_elsewhere(shared, best)
    with stage(to_translate("report and register"), seconds):
        version = publish(shared, trials.all(), best, axes, dataset, registry, retention)
    return Tuned(
        trials.all(),
        best,
        version,
        storage.join(output, REPORT),
        storage.join(output, BEST),
        shared.config.examples,
        seconds,
        retention,
    )


def read_config(output: str) -> bytes:
    """Return the config of the search at `output`, as YAML. Raises StorageError without one."""
    place = storage.join(storage.absolute(output), CONFIG)
    if not storage.exists(place):
        raise StorageError(
            "{output}: expected the output of medembed tune, but found no {file} there.",
            output=output,
            file=CONFIG,
        )
    return storage.read_bytes(place)


def _check_inputs(config: TuneConfig, dataset: Dataset, model: str) -> None:
    """Raise now, in a second, what would otherwise fail in each trial."""
    check_trainable(model, config.training)
    dimensions = config.training.dimensions
    check_dimensions(dimensions, model_width(fetch_model(model)) or max(dimensions))
    draw_dev_sample(dataset, config.training)
    needed = (("train", None), ("dev", config.training.dev_tag))
    require_queries(dataset, needed, tr("a search trains on queries, and compares on others"))


def _claim(config: TuneConfig, dataset: Dataset, model: str, output: str) -> None:
    """Claim the output for this search, or continue the search that is there."""
    given = config.model_dump(mode="json", include=set(TuneConfig.model_fields) - _NO_MATTER)
    inputs = {
        "dataset": dataset.fingerprint,
        "model": model_fingerprint(fetch_model(model)),
        **given,
    }
    if claim_run(storage.join(output, _RUN), fingerprint(inputs), inputs, uuid.uuid4().hex):
        logger.info(tr("search: goes on in {output}", output=output))
    storage.write_bytes(storage.join(output, CONFIG), to_yaml(config).encode())


def _search(
    shared: Shared, axes: Sequence[Axis], planned: Sequence[Point], trials: Trials, room: int
) -> None:
    """Run the trials that are not over. What Ray Tune pickles is never read, and then removed."""
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback

    from medembed.tuning.bookkeeping import Bookkeeper
    from medembed.tuning.search import Search, make_scheduler

    config = shared.config
    known = trials.all()
    over = trials.count_over()
    begun = {"trials": config.trials, "over": over, "room": room, "plan": config.plan}
    logger.info(tr("{trials} trials, {over} over; {room} at a time; {plan}", **begun))
    if over >= config.trials:
        return
    os.environ |= _SWITCHES
    bookkeeper = Bookkeeper(trials, shared)
    scheduler = make_scheduler(config, known)
    search = Search(config, axes, planned, known, bookkeeper.started, scheduler)
    # A trial holds nothing itself, its workers do: it could wait for ever for what others hold.
    function = tune.with_parameters(run_trial, shared=shared)
    function = tune.with_resources(function, {"CPU": 0, "memory": 1})
    tuner = tune.Tuner(
        function,
        tune_config=tune.TuneConfig(
            num_samples=config.trials - over,
            search_alg=tune.search.ConcurrencyLimiter(search, room),
            scheduler=scheduler,
            time_budget_s=config.hours and config.hours * 3600,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=storage.join(shared.output, _RUN),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            # Ray Tune reads the JSON logger's files again at the end.
            callbacks=[bookkeeper, JsonLoggerCallback()],
        ),
    )
    tuner.fit()
    bookkeeper.suspend()
    storage.delete_folder(storage.join(shared.output, _RUN, "tune"))
    bookkeeper.clean(everything=True)


def _find_best(trials: Trials, output: str) -> TrialRecord:
    best = trials.best()
    if best is None:
        reasons = sorted({record.reason for record in trials.all() if record.reason})
        raise TrainingError(
            "{output}: no trial of {count} was trained to its end: {reasons}",
            output=output,
            count=len(trials.known),
            reasons="; ".join(reasons) or tr("time was up"),
        )
    return best


def _look_elsewhere(shared: Shared, best: TrialRecord) -> Retention | None:
    """Measure the winner against the base model on retention sets."""
    config = shared.config
    dimensions = config.settings(best.point).training.dimensions
    winner = NamedModel(to_translate("winner"), model_place(shared.output, best.number))
    models = (winner, NamedModel(to_translate("base model"), shared.model))
    return measure_retention(
        shared.sets, models, shared.output, dimensions, config.retention, config.encoding
    )
