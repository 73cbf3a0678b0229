"""The config of a server: arguments of `serve.app.build`, and keys of `medembed serve`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from medembed.config import Config, InputUri, from_values
from medembed.encoding.config import EncodingConfig
from serve.logs import Target
from serve.operate.haproxy import Ingress
from serve.operate.scaling import AutoscalingConfig, ReplicaCount, batch_tokens_on
from serve.replica.table import SearchConfig


class LimitsConfig(Config):
    """What one request may cost. Quotas across replicas are a gateway's."""

    max_items: int = Field(
        default=2048, ge=1, description="inputs of one request; OpenAI's limit is 2,048"
    )
    max_tokens: int = Field(
        default=300_000,
        ge=1,
        description="tokens of one request in all, after cutting; OpenAI's limit is 300,000",
    )
    max_k: int = Field(default=100, ge=1, description="documents that one search may ask for")
    max_queries: int = Field(default=100, ge=1, description="queries of one search request")
    max_candidates: int = Field(
        default=10_000, ge=1, description="candidates that the funnel of one search may have"
    )
    max_body_bytes: int = Field(
        default=8 << 20,
        ge=1024,
        description="bytes of a request's body, counted while it comes in; more gets a 413",
    )
    request_timeout_s: float = Field(
        default=60,
        gt=0,
        description="seconds from a request's first byte to its answer, queue included; then a 504",
    )
    max_queued_requests: int = Field(
        default=512,
        ge=1,
        description="requests that a replica has in work or waiting; more get a 429 with "
        "Retry-After at once",
    )
    retry_after_s: int = Field(
        default=1, ge=1, description="seconds that a 429 or 503 asks callers to wait"
    )
    truncate: Literal["error", "end"] = Field(
        default="error",
        description="of an input that is too long, where a request for embeddings does not say: "
        "refuse it, or cut it",
    )
    token_ids: bool = Field(
        default=False,
        description="take token ids as input; off, as LangChain and others send those of "
        "OpenAI's tokenizer unless told otherwise, and these would be embedded as nonsense",
    )


class KeysConfig(Config):
    """Where the sha256 hashes of valid API keys are; without a place, anyone who reaches the port
    may ask.

    A key is any random text. Its hash: `printf %s "$KEY" | sha256sum`. The key itself is kept
    nowhere.
    """

    file: InputUri | None = Field(
        default=None,
        description='file with one hash a line, as `printf %s "$KEY" | sha256sum` prints it, and a '
        "name behind it for the log; # begins a comment. Read again every 10 s: add and revoke "
        "keys there",
    )
    variable: str | None = Field(
        default=None,
        description="name of an environment variable with such lines, separated by commas",
    )


class RerankConfig(Config):
    """A cross-encoder, in replicas of its own."""

    model: str | None = Field(
        default=None,
        description="cross-encoder that ranks documents at POST /v1/rerank, by reference like "
        "`model`; null: none",
    )
    name: str = Field(default="reranker", description="model name that clients send")
    replicas: ReplicaCount = Field(
        default=1, description="replicas that hold it, or [fewest,most] by load; fewest may be 0"
    )
    cpus_per_replica: int = Field(default=1, ge=1, description="CPU cores and threads of one")
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs of one")


class ServeConfig(Config):
    """Arguments of `serve.app.build`."""

    model: str = Field(
        default="models:/medembed@champion",
        description="models:/name@alias, a folder, s3://, gs://, package://",
    )
    name: str = Field(default="medembed", description="model name that clients send")
    tracking_uri: str | None = Field(
        default=None, description="MLflow server; null: MLFLOW_TRACKING_URI, else ./workspace"
    )
    table: InputUri | None = Field(
        default=None,
        description="embedding table of this model, or the folder that keeps one for each "
        "encoder: POST /v1/search searches it; one stored as int8 gives int8 and uint8 outputs",
    )
    search: SearchConfig = SearchConfig()
    rerank: RerankConfig = RerankConfig()
    page: bool = Field(
        default=True,
        description="a page at / to try the model and its search out; needs no key itself",
    )
    examples: tuple[str, ...] = Field(
        default=(),
        description="questions that the page offers when it opens, which need no key; none: "
        "three general ones. Give such as the table answers, never a patient's text",
    )
    limits: LimitsConfig = LimitsConfig()
    keys: KeysConfig = KeysConfig()
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="domains by which callers may name a server without keys, e.g. "
        "[embed.example.org]; addresses, and names without a dot, always may: no web page "
        "elsewhere can take one of these",
    )
    cors: tuple[str, ...] = Field(
        default=(),
        description="origins of web pages elsewhere that may ask, e.g. "
        '[https://app.example.org]; ["*"] for all, only with keys',
    )
    access_log: Target = Field(
        default="stderr",
        description="a JSON line for each request on standard error or standard output, or none; "
        "never a text or a key. Of `medembed serve`, elsewhere of each replica; warnings and "
        "errors go the same way",
    )
    ingress: Ingress = Field(
        default="auto",
        description="what callers reach: haproxy on a Ray that was started for it; serve: Serve's "
        "own proxy, several times slower, on any other Ray; auto: haproxy where it can be",
    )
    without_token: bool = Field(
        default=False,
        description="serve on a Ray cluster that asks for no token, where whoever reaches Ray's "
        "ports runs code",
    )
    without_keys: bool = Field(
        default=False,
        description="listen to other machines without keys: whoever reaches the port may ask, as "
        "behind a gateway that knows its callers",
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        default="auto", description="what computes on CPUs; auto: whichever is faster there"
    )
    precision: Literal["auto", "int8"] = Field(
        default="auto",
        description="int8: the graph that `medembed quantize` made of the model computes, on "
        "CPUs; `table` is then one that was encoded with encoding.precision=int8",
    )
    dimensions: tuple[int, ...] = Field(
        default=(),
        description="dimensions that clients rely on: no start, and no promotion, of a model not "
        "trained for them",
    )
    replicas: ReplicaCount = Field(
        default=1,
        description="replicas that hold the model, or [fewest,most] by load; fewest may be 0",
    )
    autoscaling: AutoscalingConfig = AutoscalingConfig()
    cpus_per_replica: int = Field(default=1, ge=1, description="CPU cores and threads of one")
    batch_tokens: int | None = Field(
        default=None,
        ge=64,
        description="tokens of a batch that requests share; a request waits for one such batch "
        "at most before its own turn. null: 2,048 on CPUs, 16,384 on a GPU",
    )
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs of one")

    @property
    def tokens_at_once(self) -> int:
        """`batch_tokens`, or what fits the device."""
        return self.batch_tokens or batch_tokens_on(self.gpus_per_replica)

    @property
    def encoding(self) -> EncodingConfig:
        """How a replica encodes. Raises ConfigError for a precision that its device lacks."""
        values = {
            "cpus_per_worker": self.cpus_per_replica,
            "gpus_per_worker": self.gpus_per_replica,
            "backend": self.backend,
            "precision": self.precision,
        }
        return from_values(EncodingConfig, values)


def read_arguments(arguments: Mapping[str, Any]) -> ServeConfig:
    """Return the config of `build`'s arguments. Raises ConfigError.

    They are texts under dotted keys, from `serve run`, or nested values, from a YAML file.
    """
    return from_values(ServeConfig, arguments)
