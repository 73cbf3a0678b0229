"""What the API asks of a replica, what it gets back, and what a model refuses. Pure.

The replica checks, not the API: it alone knows which model answers, at the moment when models are
swapped.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy.typing as npt

# typing's own, before Python 3.12, is none that pydantic reads
from typing_extensions import TypedDict

from medembed.encoding.reading import Role
from medembed.errors import ModelError
from medembed.matryoshka import check_trained
from serve.errors import RequestError
from serve.replica.render import NEED_RANGES, OutputType


class TableFacts(TypedDict):
    """The table that is searched: which version, who made it, the fields that come with what is
    found.
    """

    version: int
    rows: int
    fingerprint: str
    width: int
    by: str
    fields: list[str]


class Training(TypedDict):
    """How a model was trained: fingerprints of the model that it began with and of the data set,
    and dev scores.

    `parent_model` is where the parent can be had, if that is public; `dev` is {"ndcg@10/64": ...}.
    """

    parent: str
    parent_model: str | None
    dataset: str
    dev: dict[str, float]


Capability = Literal["embed", "rerank"]


class Model(TypedDict):
    """The served model, as clients see it. `dimensions` are the trained ones, none for a stock
    model.

    `prompts` are its prompts by name. `has_roles`: a text has another embedding as a document than
    as a query. `training` is None for a stock model, `table` where there is nothing to search.
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


class Bounded(Protocol):
    """What a request may cost; `field` names where its texts are."""

    field: ClassVar[str]

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def within_s(self) -> float | None: ...


@dataclass(frozen=True)
class Work:
    """The inputs of one request, texts or token ids, and what it asks of the model; None asks for
    nothing special.

    `prompt_name`: another prompt than the role's. `cuts`: too long an input is cut rather than
    refused. `max_tokens` bounds what all inputs have together, `within_s` the seconds that they may
    take.
    """

    field: ClassVar[str] = "input"
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


@dataclass(frozen=True)
class Embedded:
    """One request's rows in input order (shape and type: `render.convert`), and the
    model that made them.

    `tokens` are those that the model read of each input, special tokens and prompt included.
    """

    embeddings: npt.NDArray[Any]
    dimensions: int
    tokens: list[int]
    truncated: list[bool]
    model: Model


@dataclass(frozen=True)
class Tokenized:
    """The token ids that a model reads of each input, the tokens of the whole inputs, and which
    were cut.
    """

    tokens: list[list[int]]
    counts: list[int]
    truncated: list[bool]
    model: Model


@dataclass(frozen=True)
class Refused:
    """Why the model that would have answered did not. A value, so that it fails no other request of
    its batch.
    """

    error: RequestError
    model: Model


def model_names(model: Model) -> set[str]:
    """What a request may call the model: its name, with or without the version."""
    return {model["name"], f"{model['name']}/{model['version']}"}


def find_name(asked: str | None, names: Collection[str]) -> str | None:
    """Which of these names a request means by "name" or "name/version"; names may have slashes
    themselves.
    """
    if asked is None or asked in names:
        return asked
    name = asked.rpartition("/")[0]
    return name if name in names else None


def check_model(name: str | None, model: Model) -> None:
    """Raises RequestError 404 if a request means another model."""
    if name is not None and name not in model_names(model):
        raise RequestError(
            404, f"model: not served here; served: {model['name']!r}.", "model", "model_not_found"
        )


def check_fingerprint(expected: str | None, model: Model) -> None:
    """Raises RequestError 409 if a request expects another model's vectors."""
    if expected not in (None, model["fingerprint"]):
        raise RequestError(
            409,
            f"expected_fingerprint: the served model is {model['fingerprint']}; vectors of "
            "different models are never compared: encode the corpus with this model, or ask the "
            "server that has yours.",
            "expected_fingerprint",
            "fingerprint_mismatch",
        )


def check_request(work: Work, model: Model) -> int:
    """The dimensions to answer with. Raises RequestError for what this model cannot give."""
    check_model(work.model, model)
    check_fingerprint(work.expected_fingerprint, model)
    if work.output_dtype in NEED_RANGES and model["int8_ranges"] is None:
        raise RequestError(
            400,
            f"output_dtype: {work.output_dtype} needs the ranges of an embedding table that is "
            "stored as int8, and this server has none; the operator sets table=<such a table of "
            "this model>.",
            "output_dtype",
        )
    check_prompt(work.prompt_name, model)
    dimensions = model["width"] if work.dimensions is None else work.dimensions
    try:
        check_trained([dimensions], model["dimensions"], model["width"])
    except ModelError as error:
        raise RequestError(400, str(error), "dimensions") from None
    return dimensions


def check_prompt(name: str | None, model: Model) -> None:
    """Raises RequestError 400 if the model has no prompt of this name."""
    if name is not None and name not in model["prompts"]:
        known = ", ".join(map(repr, model["prompts"])) or "none"
        raise RequestError(
            400, f"prompt_name: not a prompt of this model; it has: {known}.", "prompt_name"
        )


def check_vocabulary(tokens: Sequence[Sequence[int]], model: Model) -> None:
    """Raises RequestError for token ids that are not the model's."""
    for number, ids in enumerate(tokens):
        if min(ids) < 0 or max(ids) >= model["vocabulary"]:
            raise RequestError(
                400,
                f"input[{number}]: a token id is out of range; this model's are 0 to "
                f"{model['vocabulary'] - 1}. Ids of another tokenizer, such as tiktoken, mean "
                "nothing here: send texts.",
                "input",
            )


_LATE = 1.2  # times the time-out; the first parts of a request may wait for others'


def too_long(field: str, tokens: int | None, model: Model, remedy: str) -> RequestError:
    """Return the error for an input of so many tokens; None: of more than anyone counts."""
    most = model["max_input_tokens"]
    return RequestError(
        400,
        (
            f"{field}: has {tokens or 'very many'} tokens; at most {most} are read by this model; "
            f"{remedy}."
        ),
        field.partition("[")[0],
        "context_length_exceeded",
    )


def check_total(lengths: Sequence[int], work: Bounded) -> None:
    """Raises RequestError if all inputs together are too long."""
    total = sum(lengths)
    if work.max_tokens is not None and total > work.max_tokens:
        raise RequestError(
            400,
            f"{work.field}: has {total} tokens in all; at most {work.max_tokens} are taken "
            "(limits.max_tokens): send fewer at a time.",
            work.field,
        )


def check_pace(read: int, total: int, elapsed_s: float, work: Bounded) -> None:
    """Raises RequestError once the tokens that a request has had read tell that the rest will not
    be in time.

    What a CPU reads within a time-out depends on model, machine and load: no number of tokens would
    be right.
    """
    takes_s = elapsed_s * total / read
    if work.within_s is not None and takes_s > _LATE * work.within_s:
        raise RequestError(
            400,
            f"{work.field}: its {total} tokens would take {takes_s:.0f} s as the server is now, "
            f"and a request may take {work.within_s:g} s (limits.request_timeout_s): send fewer "
            "at a time.",
            work.field,
            "too_slow",
        )
