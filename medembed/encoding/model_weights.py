"""Read safetensors files without loading them: check that they are whole, and hash them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed.encoding.model_layout import check_file
from medembed.errors import ModelError

_LENGTH = 8  # bytes of the number that a file begins with: the length of its header
_LARGEST_HEADER = 100_000_000  # as safetensors has it
_BLOCK = 1 << 24
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: its name, type and shape, and where its bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the tensor's bytes, a few at a time."""
        with self.file.open("rb") as stream:
            stream.seek(self.start)
            for start in range(self.start, self.end, _BLOCK):
                yield stream.read(min(_BLOCK, self.end - start))


def read_tensors(files: Sequence[Path]) -> list[Tensor]:
    """Return the tensors of all files together, by name. Raises ModelError if a file is damaged."""
    tensors: list[Tensor] = []
    for file in files:
        check_file(file)
        tensors += _read_header(file)
    return sorted(tensors, key=lambda tensor: tensor.name)


def check_types(tensors: Sequence[Tensor]) -> None:
    """Raise ModelError for quantised matrices: loading would take them for plain numbers."""
    quantised = [tensor for tensor in tensors if _is_matrix(tensor) and tensor.dtype not in _FLOATS]
    if quantised:
        raise ModelError(
            "{file}: {count} matrices are {dtype}, so quantised ({name}); expected float32, "
            "float16 or bfloat16: take the model's float weights.",
            file=quantised[0].file,
            count=len(quantised),
            dtype=quantised[0].dtype,
            name=quantised[0].name,
        )


def hash_tensors(tensors: Sequence[Tensor], digest: Any) -> None:
    """Hash tensors by name, type, shape and bytes, whatever files hold them."""
    for tensor in tensors:
        digest.update(f"{tensor.name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        for block in tensor.blocks():
            digest.update(block)


def _read_header(path: Path) -> list[Tensor]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH), "little")
        if size < _LENGTH or length > min(size - _LENGTH, _LARGEST_HEADER):
            raise ModelError(
                "{path}: cut off, or not a safetensors file ({size:,} bytes); copy it again.",
                path=path,
                size=size,
            )
        header = stream.read(length)
    data = _LENGTH + length
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = [_to_tensor(name, entry, path, data) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError("{path}: its header is damaged; copy it again.", path=path) from None
    end = max((tensor.end for tensor in tensors), default=data)
    if end != size:
        raise ModelError(
            "{path}: found {size:,} bytes, expected {end:,} by its header; copy it again.",
            path=path,
            size=size,
            end=end,
        )
    return tensors


def _to_tensor(name: str, entry: dict[str, Any], path: Path, data: int) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(
        name, str(entry["dtype"]), tuple(entry["shape"]), path, data + int(start), data + int(end)
    )


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and tensor.name.endswith("weight")
