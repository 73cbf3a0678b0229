"""Serve a model over HTTP until Ctrl-C; `medembed promote` swaps it without a pause."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial

from jobs.language import JobConfig
from jobs.ray_session import ray_session
from jobs.session import Summary, is_submitted, run_job
from medembed.language import tr
from serve.logs import PIPE, copied
from serve.operate.dashboard import Dashboard
from serve.operate.deploy import deployed, describe, kept_token, to_arguments, warn_of_table
from serve.operate.port_lender import PortLender
from serve.operate.start import StartConfig, check_start, ray_switches
from serve.resolve import resolve, resolve_ranker


class ServeJob(JobConfig, StartConfig):
    """Config of `medembed serve`."""


def run(job: ServeJob) -> Summary:
    config = check_start(job, on_cluster=is_submitted())
    settings = resolve(config)
    ranker = resolve_ranker(config)
    started = time.monotonic()
    lender = PortLender()
    with (
        _dashboard(job, lender) as dashboard,
        deployed(
            to_arguments(config),
            host=job.host,
            port=job.port,
            prefix=job.prefix,
            start_timeout_s=job.start_timeout_s,
            dashboard=dashboard,
        ) as url,
        closing(lender),
    ):
        print(describe(url, settings, ranker), flush=True)
        if warning := warn_of_table(config, settings):
            print(warning, flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                signal.pause()
    seconds = time.monotonic() - started
    return {"lines": [tr("served for {seconds:.0f} s, ended", seconds=seconds)]}


@contextmanager
def _dashboard(job: ServeJob, lender: PortLender) -> Iterator[Dashboard]:
    """Connect to Ray, or start a private one whose token lies in the workspace."""
    address = os.environ.get("RAY_ADDRESS")
    switches = partial(ray_switches, job, lender)
    with ray_session(address, job.dashboard_port, switches) as dashboard:
        if address:
            yield Dashboard(dashboard)
            return
        stream = sys.stdout if job.access_log == "stdout" else sys.stderr
        with kept_token(job.workspace, dashboard), copied(os.environ[PIPE], stream.buffer):
            yield Dashboard(dashboard)


def main(argv: Sequence[str] | None = None) -> None:
    # Ray starts only when all that can be known before is checked.
    run_job(ServeJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
