"""What the API asks of a replica, what it gets back, and what a model refuses. Pure.

The replica checks a request, not the API: while models are swapped, it alone knows which one
answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
from pydantic import ConfigDict, with_config

# pydantic cannot read that of typing before Python 3.12
from typing_extensions import TypedDict

from medembed.codes import Codes
from medembed.encoding.reading import Role
from medembed.errors import ModelError
from medembed.matryoshka import check_trained
from serve.errors import RequestError, bad_field

OutputType = Literal["float", "int8", "uint8", "binary", "ubinary"]
REPLICAS = "/health/replicas"  # the route that a promotion asks
_NEED_RANGES: tuple[OutputType, ...] = ("int8", "uint8")
_LATE = 1.2  # of the time-out: the first parts of a request may have waited for other requests


class TableFacts(TypedDict):
    """The table that is searched: its version, its model, and the fields of the documents found.

    `storage` are the numbers that it keeps, `codes` those of the first pass where replicas hold
    codes instead.
    """

    version: int
    rows: int
    fingerprint: str
    width: int
    by: str
    storage: str
    codes: Codes | None
    fields: list[str]


class Training(TypedDict):
    """How a model was trained: fingerprints of its parent and its data set, and its dev scores.

    `parent_model` is a public reference to the parent, if there is one; `dev` is
    {"ndcg@10/64": ...}.
    """

    parent: str
    parent_model: str | None
    dataset: str
    dev: dict[str, float]


Capability = Literal["embed", "rerank"]


class Model(TypedDict):
    """The served model, as clients see it.

    `dimensions` are the trained ones, none for a stock model. `prompts` are its prompts by name.
    `has_roles`: a text has another embedding as a document than as a query. `training` is None for
    a stock model, `table` where there is nothing to search.
    """

    name: str
    version: str
    fingerprint: str
    capabilities: list[Capability]
    width: int
    dimensions: list[int]
    prompts: dict[str, str]
    has_roles: bool
    pooling: list[str]
    max_input_tokens: int
    vocabulary: int
    int8_ranges: str | None
    training: Training | None
    table: TableFacts | None


@with_config(ConfigDict(extra="forbid"))
class ReplicaEntry(TypedDict):
    """What a replica serves, if it could load a model.

    `config`, `refused`: fingerprints of the user_config that it took, and could not take, for this
    `reason`.
    """

    replica: str
    version: str | None
    fingerprint: str | None
    table_version: int | None
    config: str
    refused: str | None
    reason: str | None


@dataclass(frozen=True)
class EmbedCall:
    """What a request for embeddings or tokens asks of a replica; None asks for nothing special.

    `inputs` are texts or token ids. `prompt_name` replaces the role's prompt. `cuts`: an input that
    is too long is cut, not refused. `max_tokens` bounds the tokens of all inputs together,
    `within_s` the seconds that they may take.
    """

    inputs: Sequence[str] | Sequence[Sequence[int]]
    role: Role = "query"
    prompt_name: str | None = None
    cuts: bool = False
    max_tokens: int | None = None
    within_s: float | None = None
    model: str | None = None
    dimensions: int | None = None
    output_dtype: OutputType = "float"
    expected_fingerprint: str | None = None
    field: str = "input"


@dataclass(frozen=True)
class RerankCall:
    """What a request asks of a replica with a cross-encoder.

    `cuts`: what is too long is cut, not refused. `top_n`: None for all documents. The bounds are
    those of an EmbedCall.
    """

    query: str
    documents: Sequence[str]
    top_n: int | None = None
    cuts: bool = False
    max_tokens: int | None = None
    within_s: float | None = None
    model: str | None = None
    field: str = "documents"


BoundedCall = EmbedCall | RerankCall  # bounds on cost; `field` is the body's field with its texts


@dataclass(frozen=True)
class Embedded:
    """The embeddings of one request, in input order (shape and type: `compute.convert`).

    `tokens` counts what the model read of each input, special tokens and prompt included.
    """

    embeddings: npt.NDArray[Any]
    dimensions: int
    tokens: list[int]
    truncated: list[bool]
    model: Model


@dataclass(frozen=True)
class Tokenized:
    """The token ids that a model reads of each input, and the token count of the whole input."""

    tokens: list[list[int]]
    counts: list[int]
    truncated: list[bool]
    model: Model


@dataclass(frozen=True)
class Refused:
    """Why a model refused a request. A value, so that Serve logs no traceback of it."""

    error: RequestError
    model: Model


def model_names(model: Model) -> set[str]:
    """Return what a request may call the model: its name, with or without the version."""
    return {model["name"], f"{model['name']}/{model['version']}"}


def check_model(name: str | None, model: Model) -> None:
    """Raise RequestError 404 if a request means another model."""
    if name is not None and name not in model_names(model):
        raise RequestError(
            404, f"model: not served here; served: {model['name']!r}.", "model", "model_not_found"
        )


def check_fingerprint(expected: str | None, model: Model) -> None:
    """Raise RequestError 409 if a request expects another model's vectors."""
    if expected not in (None, model["fingerprint"]):
        raise RequestError(
            409,
            f"expected_fingerprint: the served model is {model['fingerprint']}; vectors of "
            "different models are never compared: encode the corpus with this model, or ask the "
            "server that has yours.",
            "expected_fingerprint",
            "fingerprint_mismatch",
        )


def check_request(call: EmbedCall, model: Model) -> int:
    """Return the dimensions to answer with. Raises RequestError for what the model cannot give."""
    check_model(call.model, model)
    check_fingerprint(call.expected_fingerprint, model)
    if call.output_dtype in _NEED_RANGES and model["int8_ranges"] is None:
        raise bad_field(
            "output_dtype",
            f"{call.output_dtype} needs the ranges of an embedding table that is stored as int8, "
            "and this server has none; the operator sets table=<such a table of this model>.",
        )
    if call.prompt_name is not None and call.prompt_name not in model["prompts"]:
        known = ", ".join(map(repr, model["prompts"])) or "none"
        raise bad_field("prompt_name", f"not a prompt of this model; it has: {known}.")
    dimensions = model["width"] if call.dimensions is None else call.dimensions
    try:
        check_trained([dimensions], model["dimensions"], model["width"])
    except ModelError as error:
        raise RequestError(400, str(error), "dimensions") from None
    return dimensions


def check_vocabulary(tokens: Sequence[Sequence[int]], model: Model) -> None:
    """Raise RequestError for token ids that are not the model's."""
    for number, ids in enumerate(tokens):
        if min(ids) < 0 or max(ids) >= model["vocabulary"]:
            raise bad_field(
                f"input[{number}]",
                f"a token id is out of range; this model's are 0 to {model['vocabulary'] - 1}. "
                "Ids of another tokenizer, such as tiktoken, mean nothing here: send texts.",
            )


def too_long(field: str, tokens: int | None, model: Model, remedy: str) -> RequestError:
    """Return the error for an input of so many tokens; None: too many to count."""
    most = model["max_input_tokens"]
    return bad_field(
        field,
        f"has {tokens or 'very many'} tokens; at most {most} are read by this model; {remedy}.",
        "context_length_exceeded",
    )


def check_total(lengths: Sequence[int], call: BoundedCall) -> None:
    """Raise RequestError if all inputs together are too long."""
    total = sum(lengths)
    if call.max_tokens is not None and total > call.max_tokens:
        raise bad_field(
            call.field,
            f"has {total} tokens in all; at most {call.max_tokens} are taken (limits.max_tokens): "
            "send fewer at a time.",
        )


def check_pace(read: int, total: int, elapsed_s: float, call: BoundedCall) -> None:
    """Raise RequestError if the rest of a request, at its pace so far, will not be in time.

    What a CPU reads within a time-out depends on model, machine and load, so no limit in tokens
    would be right.
    """
    takes_s = elapsed_s * total / read
    if call.within_s is not None and takes_s > _LATE * call.within_s:
        raise bad_field(
            call.field,
            f"its {total} tokens would take {takes_s:.0f} s as the server is now, and a request "
            f"may take {call.within_s:g} s (limits.request_timeout_s): send fewer at a time.",
            "too_slow",
        )
