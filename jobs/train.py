"""Fine-tune a model on mined examples with a Matryoshka loss and register the best checkpoint."""

from collections.abc import Sequence

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed.registry.models import open_registry
from medembed.training.train_and_register import TrainConfig, train_and_register


class TrainJob(JobConfig, TrainConfig):
    """Config of `medembed train`."""


def run(job: TrainJob) -> Summary:
    check_room(training=job.training)
    on_cluster = is_on_cluster()
    registry = open_registry(job.registry, on_cluster=on_cluster)
    return train_and_register(job, registry, on_cluster=on_cluster)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(TrainJob, run, argv)


if __name__ == "__main__":
    main()
