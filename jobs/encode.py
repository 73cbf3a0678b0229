"""Encode a data set's corpus with a model into an embedding table."""

import time
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, OutputUri
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import describe, update_table
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model


class EncodeJob(Config):
    """Config of `medembed encode`."""

    model: InputUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    output: OutputUri = Field(
        description="URI of the embedding table, e.g. table.lance; {key} becomes the encoder's fingerprint"
    )
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: EncodeJob) -> Summary:
    dataset = open_dataset(storage.absolute(job.data))
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    output = storage.absolute(job.output)
    start = time.monotonic()
    found = update_table(dataset.corpus_files(), dataset.fingerprint, model, output, job.encoding)
    return {
        "output": found.table.uri,
        **asdict(found),
        "lines": [*describe(found, time.monotonic() - start, job.encoding.workers)],
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EncodeJob, run, argv)


if __name__ == "__main__":
    main()
