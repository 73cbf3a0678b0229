"""Read the body of POST /v1/search, and check it against the limits."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from medembed.codes import Codes
from medembed.search.float64_scores import unit_rows
from medembed.search.funnel import CANDIDATES
from serve.config import LimitsConfig
from serve.errors import RequestError, bad_field
from serve.http import route
from serve.replica.search import SearchCall

_Dimensions = Annotated[int, Field(ge=1, le=2**20)]
_Values = Annotated[list[float], Field(min_length=1, fail_fast=True)]
_Value = str | Annotated[list[str], Field(min_length=1, fail_fast=True)]
_K = 10  # documents that a search finds unless it says otherwise
_EXPECTED = (
    "expected a list of numbers, or base64 of little-endian float32, as POST "
    "/v1/embeddings gives them"
)


class SearchRequest(route.Body):
    """Body of POST /v1/search: `query` or `embedding`, not both; a list of them gets a list of
    documents for each.
    """

    sample: ClassVar[str] = '{"query": ...}'
    expected: ClassVar[Mapping[str, str]] = {
        "query": "expected a string, or a list of strings, none of them empty",
        "embedding": _EXPECTED,
        "filter": 'expected {field: text, or a list of texts}, such as {"language": "fr"}',
    }

    query: route.Text | route.Texts | None = Field(
        default=None, description="what to look for, one or several"
    )
    input_type: Literal["query", "document"] | None = Field(
        default=None,
        description="whose prompt goes in front of a query; document finds documents like a "
        "text; null: query",
    )
    embedding: (
        _Values | str | Annotated[list[_Values | str], Field(min_length=1, fail_fast=True)] | None
    ) = Field(
        default=None,
        description="instead of queries: whole embeddings of the served model, numbers or base64 "
        "of them",
    )
    filter: dict[str, _Value] | None = Field(
        default=None,
        description="only among documents whose fields have this value, or one of these; null: "
        "all. The fields are those of the table in GET /v1/models",
    )
    k: Annotated[int, Field(ge=1, le=2**20)] | None = Field(
        default=None,
        description=f"documents to find; limits.max_k bounds it; null: {_K}, or limits.max_k if "
        "less",
    )
    dimensions: _Dimensions | None = Field(
        default=None, description="dimensions that rank; null: all of the table"
    )
    first_dimensions: _Dimensions | None = Field(
        default=None,
        description="switches the funnel on: dimensions that nominate candidates; null: exact "
        "search",
    )
    first_codes: Codes | None = Field(
        default=None,
        description="switches the funnel on: the codes that nominate candidates, binary or, where "
        "the server holds them, int8; null: what the server holds",
    )
    candidates: _Dimensions | None = Field(
        default=None,
        description=f"of the funnel; null: {CANDIDATES}, or k if that is more; "
        "limits.max_candidates bounds it",
    )
    rerank: _Dimensions | None = Field(
        default=None,
        description="so many documents are found, and the cross-encoder ranks them anew by their "
        "`text`; null: none. At least k; limits.max_k bounds it",
    )
    model: str | None = Field(
        default=None, description="a name from GET /v1/models; null: the served one"
    )
    expected_fingerprint: str | None = Field(
        default=None, description="409 unless the served model has this fingerprint"
    )

    def k_or_default(self, limits: LimitsConfig) -> int:
        """Return how many documents come back for each query."""
        return self.k or min(_K, limits.max_k)

    def is_for_many(self) -> bool:
        """Return whether there is a list of queries, of one even, which gets a list for each."""
        if self.embedding is None:
            return isinstance(self.query, list)
        return isinstance(self.embedding, list) and not isinstance(self.embedding[0], float)


def to_call(request: SearchRequest, limits: LimitsConfig) -> SearchCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    queries = _read_queries(request, limits)
    is_funnel = request.first_dimensions is not None or request.first_codes is not None
    if request.candidates is not None and not is_funnel:
        raise bad_field(
            "candidates", "only the funnel has them; give first_dimensions or first_codes too."
        )
    if request.input_type is not None and request.query is None:
        raise bad_field("input_type", "an embedding has no prompt; leave it out.")
    k = request.k_or_default(limits)
    _check_most("k", k, limits.max_k)
    _check_most("candidates", request.candidates or 0, limits.max_candidates)
    if request.rerank is not None:
        _check_rerank(request.rerank, request, len(queries), limits)
        k = request.rerank
    filter: dict[str, list[str]] = {}
    for name, value in (request.filter or {}).items():
        filter[name] = [value] if isinstance(value, str) else value
    return SearchCall(
        queries=queries,
        k=k,
        role=request.input_type or "query",
        filter=filter,
        max_tokens=limits.max_tokens,
        dimensions=request.dimensions,
        first_dimensions=request.first_dimensions,
        first_codes=request.first_codes,
        candidates=request.candidates or min(max(CANDIDATES, k), limits.max_candidates),
        model=request.model,
        expected_fingerprint=request.expected_fingerprint,
    )


def _check_most(name: str, value: int, most: int) -> None:
    if value > most:
        raise bad_field(name, f"at most {most} are given here (limits.max_{name}).")


def _check_rerank(depth: int, request: SearchRequest, queries: int, limits: LimitsConfig) -> None:
    if request.query is None:
        raise bad_field("rerank", "the cross-encoder reads texts; give a query, not an embedding.")
    k = request.k_or_default(limits)
    if not k <= depth <= limits.max_k:
        raise bad_field(
            "rerank", f"found {depth}, expected k ({k}) to {limits.max_k} (limits.max_k)."
        )
    if queries * depth > limits.max_items:
        raise bad_field(
            "rerank",
            f"{depth} documents for each of {queries} queries; at most {limits.max_items} are "
            "ranked in all (limits.max_items): send fewer queries at a time.",
        )


def _read_queries(
    request: SearchRequest, limits: LimitsConfig
) -> list[str] | npt.NDArray[np.float32]:
    """Return the texts, or the embeddings float32 [Q, D]. Raises RequestError."""
    if (request.query is None) == (request.embedding is None):
        raise RequestError(400, "query, embedding: expected exactly one of them.", "query")
    name = "query" if request.embedding is None else "embedding"
    given: Any = getattr(request, name)
    queries = given if request.is_for_many() else [given]
    if len(queries) > limits.max_queries:
        raise bad_field(
            name,
            f"found {len(queries)}; at most {limits.max_queries} are taken (limits.max_queries): "
            "send fewer at a time.",
        )
    if name == "query":
        return list(queries)
    vectors = [read_embedding(each) for each in queries]
    if len(set(map(len, vectors))) > 1:
        raise bad_field("embedding", "found several lengths; all must be whole embeddings.")
    return np.stack(vectors)


def read_embedding(given: list[float] | str) -> npt.NDArray[np.float32]:
    """Return an embedding, float32 [n]. Raises RequestError 400 for one without a length."""
    try:
        values: Any = given
        if isinstance(given, str):
            values = np.frombuffer(base64.b64decode(given, validate=True), "<f4")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            vector = np.array(values, dtype=np.float32)
    except (binascii.Error, ValueError, OverflowError):
        raise bad_field("embedding", f"{_EXPECTED}.") from None
    _, useless = unit_rows(vector[None], len(vector)) if vector.any() else (vector, [0])
    if len(useless):
        raise bad_field(
            "embedding",
            "is not finite or has no length that can be computed; encode the query again.",
        )
    return vector
