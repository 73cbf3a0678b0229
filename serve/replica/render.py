"""Turn embeddings into the dimensions, the type and the format that a request asks for."""

import base64
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medembed.encoding.quantize import Ranges, to_binary, to_int8, to_ubinary, to_uint8
from medembed.matryoshka import truncate

OutputType = Literal["float", "int8", "uint8", "binary", "ubinary"]
NEED_RANGES: tuple[OutputType, ...] = ("int8", "uint8")


def convert(
    embeddings: npt.NDArray[np.float32],
    dimensions: int,
    output_dtype: OutputType,
    ranges: Ranges | None = None,
) -> npt.NDArray[Any]:
    """Return rows in input order, from full embeddings float32 [n, D]:

    float           float32 [n, dimensions], truncated, then scaled to unit length
    int8, uint8     codes [n, dimensions]: those of the full embedding by stored `ranges`, cut
    ubinary         uint8 [n, ceil(dimensions / 8)]: numpy.packbits of value > 0, filled with zeros
    binary          int8, the bytes of ubinary less 128, as in sentence-transformers
    """
    match output_dtype:
        case "float":
            return truncate(embeddings, dimensions)
        case "binary":
            return to_binary(embeddings[:, :dimensions])
        case "ubinary":
            return to_ubinary(embeddings[:, :dimensions])
    assert ranges is not None, "a request for codes is refused where there are no ranges"
    codes = to_int8(embeddings, ranges) if output_dtype == "int8" else to_uint8(embeddings, ranges)
    return codes[:, :dimensions]


def render(rows: npt.NDArray[Any], encoding_format: Literal["float", "base64"]) -> list[Any]:
    """Return each row as JSON takes it: a list of numbers, or base64 of little-endian float32.

    Codes are always lists: OpenAI's client asks for base64 by default, and reads it as float32.
    """
    if encoding_format == "float" or rows.dtype != np.float32:
        return rows.tolist()
    packed = np.ascontiguousarray(rows, dtype="<f4")
    return [base64.b64encode(row).decode() for row in packed]
