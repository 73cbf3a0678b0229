"""Encode the sample as `encode` would, on the same kind of actors, and measures the cost."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.preflight.memory import peak_memory
from medembed.progress import track
from medembed.spread import spread

_COUNTED = 1 << 18  # a text with more characters is counted in part and extrapolated
_ROWS_PER_ITEM = 1024


@dataclass(frozen=True)
class EncodedSample:
    """The sample, encoded: float32 [queries, D] and [documents, D], unit rows, in order."""

    max_length: int
    queries: npt.NDArray[np.float32]
    documents: npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncodeCost:
    """What one actor needed for the documents; `capacity_bytes` is 0 where there is no GPU."""

    rows: int
    tokens: int
    seconds: float
    memory_bytes: int
    capacity_bytes: int


@dataclass(frozen=True)
class EncodeProbe:
    """The encoded sample, the tokens of each of its documents before any cut, and the cost."""

    encoded: EncodedSample
    lengths: npt.NDArray[np.int64]
    cost: EncodeCost


def probe_encoding(
    queries: Sequence[str],
    documents: Sequence[str],
    model: str,
    workers: int,
    config: EncodingConfig,
) -> EncodeProbe:
    """Encode both on so many actors. There is at least one document."""
    items = list(_make_items(queries, documents, workers))
    results = spread(
        items,
        EncodeItem,
        {"model": model, "config": config},
        workers=workers,
        cpus=config.cpus_per_worker,
        gpus=config.gpus_per_worker,
    )
    counted = ((len(row["embeddings"]), row) for row in results)
    done = track(counted, len(queries) + len(documents), "encode sample", "texts")
    rows = sorted(done, key=lambda row: int(row["number"]))
    timed = [row for row in rows if row["role"] == "document"]
    asked = [row["embeddings"] for row in rows if row["role"] == "query"]
    embeddings = np.concatenate([row["embeddings"] for row in timed])
    nothing = np.zeros((0, embeddings.shape[1]), dtype=np.float32)
    return EncodeProbe(
        EncodedSample(int(rows[0]["max_length"]), np.concatenate([nothing, *asked]), embeddings),
        np.concatenate([np.asarray(row["lengths"], dtype=np.int64) for row in timed]),
        EncodeCost(
            rows=len(embeddings),
            tokens=sum(int(row["tokens"]) for row in timed),
            seconds=sum(float(row["seconds"]) for row in timed),
            memory_bytes=max(int(row["memory"]) for row in rows),
            capacity_bytes=max(int(row["capacity"]) for row in rows),
        ),
    )


class EncodeItem:
    """Turns {number, role, texts} into their embeddings, with time, memory and tokens."""

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.encoder = Encoder.load(model, config)
        self.encoder.encode(["warm up"] * 8)  # the first pass allocates, which no later one does

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        role: Role = item["role"]
        texts = list(item["texts"])
        start = time.perf_counter()
        embeddings, tokens = self.encoder.encode_and_count(texts, role)
        seconds = time.perf_counter() - start
        memory, capacity = peak_memory(self.encoder.model.device)
        return {
            "number": item["number"],
            "role": role,
            "max_length": self.encoder.max_length,
            "embeddings": embeddings,
            "tokens": sum(tokens),
            "lengths": count_tokens(self.encoder, texts, role),
            "seconds": seconds,
            "memory": memory,
            "capacity": capacity,
        }


def count_tokens(encoder: Encoder, texts: Sequence[str], role: Role) -> list[int]:
    """Count the tokens of each text behind its prompt as if nothing were cut."""
    counts = encoder.reader.count([text[:_COUNTED] for text in texts], role)
    return [
        count * max(len(text), 1) // max(min(len(text), _COUNTED), 1)
        for count, text in zip(counts, texts, strict=True)
    ]


def _make_items(
    queries: Sequence[str], documents: Sequence[str], workers: int
) -> Iterator[dict[str, Any]]:
    """Yield the documents in as many items as there are workers, or more; then the queries."""
    size = min(-(-len(documents) // workers), _ROWS_PER_ITEM)
    number = 0
    for start in range(0, len(documents), size):
        texts = list(documents[start : start + size])
        yield {"number": number, "role": "document", "texts": texts}
        number += 1
    if queries:  # Ray cannot carry an array without rows
        yield {"number": number, "role": "query", "texts": list(queries)}
