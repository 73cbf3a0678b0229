"""What a search asks of a replica, what it gets back, and what a table refuses. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.reading import Role
from medembed.errors import MedEmbedError, ModelError
from medembed.matryoshka import check_trained
from medembed.search.funnel import Funnel
from serve.errors import RequestError
from serve.replica.protocol import Model, TableFacts, check_fingerprint, check_model

CANDIDATES = 200  # of the funnel, unless a request says otherwise


@dataclass(frozen=True, eq=False)
class SearchWork:
    """One search: by texts or by embeddings float32 [Q, D], for `k` documents each; None asks for
    nothing special.

    `role` is that of the texts. `wanted` are the values that fields of a document may have, all of
    these fields.
    """

    asked: Sequence[str] | npt.NDArray[np.float32]
    k: int
    role: Role = "query"
    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_tokens: int | None = None
    dimensions: int | None = None
    first_dimensions: int | None = None
    candidates: int = CANDIDATES
    model: str | None = None
    expected_fingerprint: str | None = None


@dataclass(frozen=True)
class Hit:
    """A document, its cosine, its row that gave it (itself, or its best chunk), and the fields of
    that row.

    `relevance` is the score by a cross-encoder, if one was asked.
    """

    document_id: str
    score: float
    row_id: str
    fields: dict[str, Any]
    relevance: float | None = None


@dataclass(frozen=True)
class Found:
    """The documents that each query found, best first, and who found them: one table and the model
    that made it.
    """

    hits: list[list[Hit]]
    dimensions: int
    tokens: int
    table: TableFacts
    model: Model


@dataclass(frozen=True)
class Plan:
    """How many documents, the dimensions that rank, the funnel if there is one, and the filter."""

    k: int
    dimensions: int
    funnel: Funnel | None
    wanted: Mapping[str, Sequence[str]]


def plan_search(work: SearchWork, model: Model) -> Plan:
    """How the table is searched. Raises RequestError for what model and table cannot give."""
    check_model(work.model, model)
    check_fingerprint(work.expected_fingerprint, model)
    table = check_table(model)
    _check_width(work.asked, table, model)
    _check_filter(work.wanted, table)
    dimensions = _check_dimensions("dimensions", work.dimensions or table["width"], table, model)
    if table["by"] == "index" and (
        dimensions < table["width"] or work.first_dimensions is not None
    ):
        raise RequestError(
            400,
            f"{'dimensions' if work.first_dimensions is None else 'first_dimensions'}: this "
            f"server searches by an index, which has all {table['width']} dimensions; leave them "
            "out.",
            "dimensions" if work.first_dimensions is None else "first_dimensions",
        )
    if work.first_dimensions is None:
        return Plan(work.k, dimensions, None, work.wanted)
    first = _check_dimensions("first_dimensions", work.first_dimensions, table, model)
    funnel = Funnel(first, dimensions, work.candidates)
    try:
        funnel.check(work.k, table["width"])
    except MedEmbedError as error:
        raise RequestError(400, str(error), str(error).partition(":")[0]) from None
    return Plan(work.k, dimensions, funnel, work.wanted)


def check_table(model: Model) -> TableFacts:
    """The table that is searched. Raises RequestError 404 where there is none."""
    if model["table"] is None:
        raise RequestError(
            404,
            "there is nothing to search here; the operator sets table=<embedding table of this "
            "model>, and search.enabled=true.",
            code="no_table",
        )
    return model["table"]


def _check_dimensions(name: str, dimensions: int, table: TableFacts, model: Model) -> int:
    trained = [one for one in model["dimensions"] if one <= table["width"]]
    try:
        check_trained([dimensions], trained, table["width"])
    except ModelError as error:
        raise RequestError(400, str(error).replace("dimensions", name, 1), name) from None
    return dimensions


def _check_filter(wanted: Mapping[str, Sequence[str]], table: TableFacts) -> None:
    if not wanted:
        return
    if table["by"] == "index":
        raise RequestError(
            400,
            "filter: this server searches by an index, which has no fields; leave it out.",
            "filter",
        )
    unknown = [name for name in wanted if name not in table["fields"]]
    if unknown:
        fields = (
            ", ".join(table["fields"])
            or "none (the operator sets search.documents and search.fields)"
        )
        raise RequestError(
            400, f"filter: found {len(unknown)} unknown fields; known here: {fields}.", "filter"
        )


def _check_width(
    asked: Sequence[str] | npt.NDArray[np.float32], table: TableFacts, model: Model
) -> None:
    widths = sorted({table["width"], model["width"]})
    if isinstance(asked, np.ndarray) and asked.shape[1] not in widths:
        raise RequestError(
            400,
            f"embedding: has {asked.shape[1]} values, expected {' or '.join(map(str, widths))}: a "
            "whole embedding of this model; `dimensions` cuts it.",
            "embedding",
        )
