"""Encode a corpus into an embedding table: a data set, or files of one's own with id and text."""

import time
from dataclasses import asdict
from typing import Any

from pydantic import Field

from medembed import storage
from medembed.artifact import place
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.own_texts import TextColumns
from medembed.encoding.codec import Storage
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import update_table
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.model_files import fetch_model
from medembed.encoding.prompt_check import check_prompts
from medembed.encoding.screen import describe_encoded
from medembed.registry.config import RegistryConfig
from medembed.tables.own_corpus import open_texts


class EncodeConfig(Config):
    """Which texts are encoded by which model, and where the table lies."""

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
        description="numbers that a new table keeps: float32, float16 (half the space), int8 (a "
        "quarter; ranges are measured once and stored), or binary (1/32: a bit for each "
        "dimension); null: as the table is, float32 for a new one",
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="trained dimension that a new table keeps of each vector; null: all",
    )
    columns: TextColumns = TextColumns()
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def encode_into_table(config: EncodeConfig) -> dict[str, Any]:
    """Bring the table up to date, encoding only what is new or changed; return the summary."""
    encoder = encoder_fingerprint(fetch_model(config.model), config.encoding)
    check_prompts(config.model)
    output = place(storage.absolute(config.output), encoder)
    start = time.monotonic()
    with open_texts(config.data, config.columns, output) as corpus:
        encoded = update_table(
            corpus.files,
            corpus.fingerprint,
            config.model,
            output,
            config.encoding,
            storage_type=config.storage,
            dimensions=config.dimensions,
        )
    seconds = time.monotonic() - start
    return {
        "output": encoded.table.uri,
        "corpus": corpus.counts,
        **asdict(encoded),
        "lines": describe_encoded(encoded, seconds, config.encoding.most_workers),
    }
