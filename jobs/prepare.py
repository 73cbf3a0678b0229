"""Turn a file of pairs or an ontology into a data set: cleaned, split without leaks, counted."""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, run_job
from medembed import storage
from medembed.config import Config, OutputUri
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import describe
from medembed.data.prepare import prepare


class PrepareJob(Config):
    """Config of `medembed prepare`."""

    source: SourceConfig
    splits: SplitConfig = SplitConfig()
    output: OutputUri = Field(description="folder of the data set; {key} in it becomes the fingerprint of its inputs")


def run(job: PrepareJob) -> Summary:
    dataset = prepare(job.source, job.splits, storage.absolute(job.output))
    return {
        "output": dataset.uri,
        "dataset": dataset.manifest,
        "lines": [describe(dataset), f"data set: {dataset.uri}"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PrepareJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
