"""Turn your texts, in whatever shape, into a data set: cleaned, split without leaks, counted."""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Ray, Summary, run_job
from medembed import storage
from medembed.artifact import to_entries
from medembed.config import ModelUri, OutputUri
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import describe
from medembed.data.prepare import check_source, prepare
from medembed.encoding.model_files import read_tokenizer
from medembed.language import tr


class PrepareJob(JobConfig):
    """Config of `medembed prepare`."""

    source: SourceConfig
    splits: SplitConfig = SplitConfig()
    tokenizer: ModelUri | None = Field(
        default=None,
        description="model by whose tokens lengths are counted in the manifest; null: by words",
    )
    output: OutputUri = Field(
        description="folder of the data set; {key} in it becomes the fingerprint of its inputs"
    )


def run(job: PrepareJob) -> Summary:
    tokenizer = read_tokenizer(job.tokenizer) if job.tokenizer else None
    dataset = prepare(job.source, job.splits, storage.absolute(job.output), tokenizer)
    return {
        "output": dataset.uri,
        "dataset": to_entries(dataset.manifest),
        "lines": [*describe(dataset), tr("data set: {uri}", uri=dataset.uri)],
    }


def _ray(job: PrepareJob) -> Ray:
    """Need no Ray for a source of one part; raise for a missing source before Ray starts."""
    return "any" if check_source(job.source, job.splits) > 1 else "none"


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PrepareJob, run, argv, ray=_ray)


if __name__ == "__main__":
    main()
