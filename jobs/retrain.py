"""Make the next model from files that landed, prove that it is better, and put it in place, or say
why not.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from jobs.beforehand import check_room
from jobs.session import Summary, find_known, is_on_cluster, run_job
from jobs.train import resolve_guide
from medembed import storage
from medembed.evaluation.checks import check_request
from medembed.finetuning.lock import Busy, hold
from medembed.finetuning.retrain import Retrained, retrain
from medembed.finetuning.retrain_config import RetrainConfig, TriggerConfig
from medembed.finetuning.watch import Watch
from medembed.mining.second_opinion import resolve_second_opinion
from medembed.privacy import without_passwords
from medembed.registry.models import Registry, Version, open_registry, resolve_model
from medembed.training.run.enough import check_settings
from serve.operate.promotion import replace_champion
from serve.operate.swap import ServingConfig

logger = logging.getLogger(__name__)

BUSY = "busy"


class RetrainJob(RetrainConfig):
    """Config of `medembed retrain`; `source.path` is the place where files land."""

    watch: bool = Field(
        default=False, description="look again and again, until interrupted; see trigger"
    )
    trigger: TriggerConfig = TriggerConfig()
    serving: ServingConfig = ServingConfig()


def run(job: RetrainJob) -> Summary:
    check_room(job.encoding, job.training)
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    registry.check_output(job.output)
    resolved = {
        "mining": resolve_second_opinion(job.mining, job.registry, on_cluster=is_on_cluster()),
        "training": resolve_guide(job.training, job.registry),
    }
    job = job.model_copy(update=resolved)
    check_settings(job.training, job.mining, job.output)
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    check_request(job.evaluation, [model])
    return _watch(job, registry) if job.watch else _once(job, registry)


def _once(job: RetrainJob, registry: Registry) -> Summary:
    def publish(version: Version, seen: str | None) -> list[str]:
        return replace_champion(registry, version, job.serving, seen)

    try:
        with hold(job.registry.model_name):
            result = retrain(job, registry, publish)
    except Busy as busy:
        return {"outcome": BUSY, "lines": [str(busy)]}
    return {
        "output": storage.absolute(job.output),
        **_summarize(result),
        "lines": _lines(result, registry),
    }


def _watch(job: RetrainJob, registry: Registry) -> Summary:
    """Look again and again until interrupted.

    A fault of ours, of storage or of the registry ends a round, not the watch.
    """
    from mlflow.exceptions import MlflowException

    watch = Watch(job, registry, job.trigger)
    logger.info("watching %s every %g s", job.source.path, job.trigger.every_s)
    while True:
        try:
            due = watch.look()
            if due is not None:
                logger.info("%s", due.reason)
                result = _once(job, registry)
                print("\n".join(result["lines"]), flush=True)
                if result["outcome"] != BUSY:
                    watch.settle(due)
        except Exception as error:
            known = find_known(error)
            if known is None and not isinstance(error, (OSError, MlflowException)):
                raise
            reason = known or f"{type(error).__name__}: the registry or storage cannot be reached"
            logger.error("error: %s; tried again in %.0f s", reason, watch.put_off())
        time.sleep(job.trigger.every_s)


def _summarize(result: Retrained) -> Summary:
    dataset = result.dataset
    version = result.version
    return {
        "outcome": result.outcome,
        "files": {file.content: without_passwords(file.uri) for file in result.incoming.new},
        "left": dict(result.incoming.left),
        "dataset": dataset and {"uri": dataset.uri, "fingerprint": dataset.fingerprint},
        "model": version and version.reference,
        "gate": result.decision and asdict(result.decision),
        "queries": result.counts,
        "report": result.report,
        "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
    }


def _lines(result: Retrained, registry: Registry) -> list[str]:
    lines = ["", *result.lines]
    if result.version is not None:
        if result.report:
            lines.append(f"report:  {result.report}")
        run_id = result.version.run_id
        lines.append(f"MLflow:  {without_passwords(registry.tracking_uri)}, run {run_id}")
    return [*lines, f"retrain: {result.outcome}"]


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RetrainJob, run, argv)


if __name__ == "__main__":
    main()
