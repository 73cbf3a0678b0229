"""Define what a search asks of a replica, what it gets back, and what a table refuses. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.reading import Role
from medembed.errors import MedEmbedError, ModelError
from medembed.matryoshka import check_trained
from medembed.search.funnel import Funnel
from serve.errors import RequestError, bad_field
from serve.replica.protocol import Model, TableFacts, check_fingerprint, check_model

CANDIDATES = 200  # of the funnel, unless a request says otherwise


@dataclass(frozen=True, eq=False)
class SearchCall:
    """What a search request asks of a replica; None asks for nothing special.

    `queries` are texts, of this `role`, or embeddings float32 [Q, D]. Each gets `k` documents. A
    document must have one of the values of each field in `filter`.
    """

    queries: Sequence[str] | npt.NDArray[np.float32]
    k: int
    role: Role = "query"
    filter: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_tokens: int | None = None
    dimensions: int | None = None
    first_dimensions: int | None = None
    candidates: int = CANDIDATES
    model: str | None = None
    expected_fingerprint: str | None = None


@dataclass(frozen=True)
class Hit:
    """A document, its cosine, the row that gave it (itself, or its best chunk) and its fields.

    `relevance` is the score by a cross-encoder, if the request asked for one.
    """

    document_id: str
    score: float
    row_id: str
    fields: dict[str, Any]
    relevance: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """The documents of each query, best first, and the table and model that found them."""

    hits: list[list[Hit]]
    dimensions: int
    tokens: int
    table: TableFacts
    model: Model


@dataclass(frozen=True)
class SearchPlan:
    """How the table is searched: the dimensions that rank, and the funnel if there is one."""

    k: int
    dimensions: int
    funnel: Funnel | None
    filter: Mapping[str, Sequence[str]]


def plan_search(call: SearchCall, model: Model) -> SearchPlan:
    """Return how the table is searched. Raises RequestError for what it cannot give."""
    check_model(call.model, model)
    check_fingerprint(call.expected_fingerprint, model)
    table = _table_of(model)
    _check_width(call.queries, table, model)
    _check_filter(call.filter, table)
    dimensions = call.dimensions or table["width"]
    _check_dimensions("dimensions", dimensions, table, model)
    if table["by"] == "index":
        _check_index(call, dimensions, table)
    if call.first_dimensions is None:
        return SearchPlan(call.k, dimensions, None, call.filter)
    _check_dimensions("first_dimensions", call.first_dimensions, table, model)
    funnel = Funnel(call.first_dimensions, dimensions, call.candidates)
    try:
        funnel.check(call.k, table["width"])
    except MedEmbedError as error:
        raise RequestError(400, str(error), str(error).partition(":")[0]) from None
    return SearchPlan(call.k, dimensions, funnel, call.filter)


def _table_of(model: Model) -> TableFacts:
    if model["table"] is None:
        raise RequestError(
            404,
            "there is nothing to search here; the operator sets table=<embedding table of this "
            "model>, and search.enabled=true.",
            code="no_table",
        )
    return model["table"]


def _check_index(call: SearchCall, dimensions: int, table: TableFacts) -> None:
    is_funnel = call.first_dimensions is not None
    if is_funnel or dimensions < table["width"]:
        raise bad_field(
            "first_dimensions" if is_funnel else "dimensions",
            f"this server searches by an index, which has all {table['width']} dimensions; leave "
            "them out.",
        )


def _check_dimensions(name: str, dimensions: int, table: TableFacts, model: Model) -> None:
    trained = [width for width in model["dimensions"] if width <= table["width"]]
    try:
        check_trained([dimensions], trained, table["width"])
    except ModelError as error:
        raise RequestError(400, str(error).replace("dimensions", name, 1), name) from None


def _check_filter(filter: Mapping[str, Sequence[str]], table: TableFacts) -> None:
    if filter and table["by"] == "index":
        raise bad_field(
            "filter", "this server searches by an index, which has no fields; leave it out."
        )
    unknown = [name for name in filter if name not in table["fields"]]
    if unknown:
        known = ", ".join(table["fields"])
        known = known or "none (the operator sets search.documents and search.fields)"
        raise bad_field("filter", f"found {len(unknown)} unknown fields; known here: {known}.")


def _check_width(
    queries: Sequence[str] | npt.NDArray[np.float32], table: TableFacts, model: Model
) -> None:
    widths = sorted({table["width"], model["width"]})
    if isinstance(queries, np.ndarray) and queries.shape[1] not in widths:
        raise bad_field(
            "embedding",
            f"has {queries.shape[1]} values, expected {' or '.join(map(str, widths))}: a whole "
            "embedding of this model; `dimensions` cuts it.",
        )
