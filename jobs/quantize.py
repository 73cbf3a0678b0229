"""Make a model's int8 graph for CPUs, calibrated on a data set, and register both as a version."""

from collections.abc import Sequence

from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed.quantization.config import QuantizeConfig
from medembed.quantization.quantize import quantize_and_register
from medembed.registry.models import open_registry


class QuantizeJob(JobConfig, QuantizeConfig):
    """Config of `medembed quantize`."""


def run(job: QuantizeJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    return quantize_and_register(job, registry)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(QuantizeJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
