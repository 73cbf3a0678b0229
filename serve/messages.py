"""Requests and responses in the shape of OpenAI's embeddings API."""

import base64
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_INPUTS = 2048


class EmbeddingRequest(BaseModel):
    """Body of POST /v1/embeddings. `input_type` is ours: the checkpoint's prompt for a query or a document."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    input: str | list[str]
    model: str
    dimensions: int | None = Field(default=None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
    input_type: Literal["query", "document"] = "query"

    @field_validator("input")
    @classmethod
    def _check_input(cls, value: str | list[str]) -> str | list[str]:
        texts = [value] if isinstance(value, str) else value
        if not texts or not all(texts):
            raise ValueError("must not be empty, nor hold an empty string")
        if len(texts) > MAX_INPUTS:
            raise ValueError(f"has {len(texts)} items; at most {MAX_INPUTS} are taken")
        return value

    def texts(self) -> list[str]:
        """The inputs as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class RequestError(Exception):
    """A request that cannot be answered; becomes an HTTP response in OpenAI's error shape."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> dict[str, Any]:
        """{"error": {message, type, param, code}}."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def embedding_response(
    embeddings: npt.NDArray[np.float32], tokens: int, request: EmbeddingRequest, model: str
) -> dict[str, Any]:
    """The answer, in input order; base64 is little-endian float32, as OpenAI's clients expect."""
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(row, request.encoding_format)}
        for index, row in enumerate(embeddings)
    ]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _encode(row: npt.NDArray[np.float32], encoding_format: str) -> str | list[float]:
    if encoding_format == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    return [float(value) for value in row]
