"""Encode a corpus with a model into an embedding table: a data set, or files of your own with id
and text.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from pydantic import Field

from jobs.beforehand import check_room
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.artifact import place
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.corpus import open_corpus
from medembed.data.own_texts import TextColumns
from medembed.encoding.codec import Storage
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import update_table
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.screen import describe_encoded
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model


class EncodeJob(Config):
    """Config of `medembed encode`."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(
        description="data set made by `medembed prepare`, or a file, folder or pattern of JSON "
        "lines, CSV or Parquet with id and text"
    )
    output: OutputUri = Field(
        description="URI of the embedding table, e.g. table.lance; {key} becomes the encoder's "
        "fingerprint"
    )
    storage: Storage | None = Field(
        default=None,
        description="numbers that a new table keeps: float32, float16 (half the space), or int8 "
        "(a quarter; ranges are measured once and stored); null: as the table is, float32 for a "
        "new one",
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="trained dimension that a new table keeps of each vector; null: all",
    )
    columns: TextColumns = TextColumns()
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: EncodeJob, copies: list[str] | None = None) -> Summary:
    """`copies` gets the folder of texts that must be gone once no worker is left."""
    check_room(job.encoding)
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    output = place(storage.absolute(job.output), model_fingerprint(fetch_model(model)))
    start = time.monotonic()
    scratch = f"{output.rstrip('/')}.texts"
    if copies is not None:
        copies.append(scratch)
    with open_corpus(storage.absolute(job.data), job.columns, scratch) as corpus:
        encoded = update_table(
            corpus.files,
            corpus.fingerprint,
            model,
            output,
            job.encoding,
            storage_type=job.storage,
            dimensions=job.dimensions,
        )
    return {
        "output": encoded.table.uri,
        "corpus": corpus.counts,
        **asdict(encoded),
        "lines": describe_encoded(encoded, time.monotonic() - start, job.encoding.most_workers),
    }


def main(argv: Sequence[str] | None = None) -> None:
    copies: list[str] = []
    try:
        run_job(EncodeJob, partial(run, copies=copies), argv)
    except SystemExit as end:
        if end.code:  # a worker may still have written when the job removed them
            for folder in copies:
                storage.delete_folder(folder)
        raise


if __name__ == "__main__":
    main()
