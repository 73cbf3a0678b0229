"""Say which model gets an int8 graph, on which data that is calibrated and judged, and where."""

from pydantic import Field

from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.registry.config import RegistryConfig


class QuantizeConfig(Config):
    """Which model, which data set, how much may be lost, and where the model goes."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(
        description="data set made by `medembed prepare`: its training queries and its documents "
        "calibrate, its dev queries judge"
    )
    output: OutputUri = Field(
        description="folder of the model with its int8 graph; {key} in it becomes the fingerprint "
        "of its inputs"
    )
    tolerance: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="loss of NDCG@10 on the dev sample above which, at any trained dimension, "
        "nothing is made",
    )
    texts: int = Field(
        default=400,
        ge=16,
        description="training queries, and documents of the corpus, half and half, that calibrate",
    )
    dev_queries: int = Field(default=300, ge=1, description="queries of the fixed dev sample")
    dev_documents: int = Field(
        default=1000, ge=1, description="documents that they are ranked against, positives included"
    )
    dev_tag: str | None = Field(
        default=None, description="only dev queries with this tag, e.g. lay"
    )
    registry: RegistryConfig = RegistryConfig()
