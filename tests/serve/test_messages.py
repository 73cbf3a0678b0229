import base64

import numpy as np
import pytest
from pydantic import ValidationError

from serve.messages import EmbeddingRequest, RequestError, embedding_response

ROWS = np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)


def request(**values: object) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"input": "a", "model": "m", **values})


def test_floats_and_base64_carry_the_same_numbers_in_input_order():
    floats = embedding_response(ROWS, 7, request(), "m")
    packed = embedding_response(ROWS, 7, request(encoding_format="base64"), "m")
    assert [row["index"] for row in floats["data"]] == [0, 1]
    for one, other in zip(floats["data"], packed["data"], strict=True):
        assert np.frombuffer(base64.b64decode(other["embedding"]), "<f4").tolist() == one["embedding"]
    assert floats["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


@pytest.mark.parametrize(
    "values",
    [
        {"input": ""},
        {"input": []},
        {"input": ["a", ""]},
        {"input": ["a"] * 2049},
        {"dimensions": 0},
        {"dimensionss": 4},
    ],
)
def test_what_the_api_does_not_take_is_refused(values: dict[str, object]):
    with pytest.raises(ValidationError):
        request(**values)


def test_an_error_has_openais_shape():
    assert RequestError(404, "no", param="model", code="model_not_found").body() == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    }
