"""Check which document is named when the model fails on an item."""

import pyarrow as pa
import pytest

from medembed.encoding.worker import find_failing

ROWS = pa.table({"document_id": ["d1", "d2", "d3"], "text": ["heart", "SECRET", "SECRET too"]})


@pytest.mark.parametrize(
    ("refused", "name"), [("SECRET", "d2"), ("too", "d3"), ("never", None), ("", None)]
)
def test_the_first_document_that_fails_alone_is_named_and_none_if_a_made_up_text_fails_too(
    refused: str, name: str | None
):
    def encode(texts: list[str]) -> None:
        if refused in texts[0]:
            raise IndexError(texts[0])

    assert find_failing(encode, ROWS) == name
