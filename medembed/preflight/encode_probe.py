"""Encode the sample as `encode` would, on the same kind of actors, and measure the cost."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.language import to_translate
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
    done = track(
        counted, len(queries) + len(documents), to_translate("encode sample"), to_translate("texts")
    )
    rows = sorted(done, key=itemgetter("number"))
    width = rows[0]["embeddings"].shape[1]
    asked = [np.zeros((0, width), dtype=np.float32)]  # there may be no query
    embeddings: list[npt.NDArray[np.float32]] = []
    lengths: list[int] = []
    tokens = 0
    seconds = 0.0
    for row in rows:
        if row["role"] == "query":
            asked.append(row["embeddings"])
            continue
        embeddings.append(row["embeddings"])
        lengths += map(int, row["lengths"])
        tokens += int(row["tokens"])
        seconds += float(row["seconds"])
    encoded = EncodedSample(
        int(rows[0]["max_length"]), np.concatenate(asked), np.concatenate(embeddings)
    )
    cost = EncodeCost(
        rows=len(encoded.documents),
        tokens=tokens,
        seconds=seconds,
        memory_bytes=int(max(map(itemgetter("memory"), rows))),
        capacity_bytes=int(max(map(itemgetter("capacity"), rows))),
    )
    return EncodeProbe(encoded, np.array(lengths, dtype=np.int64), cost)


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
        peak = peak_memory(self.encoder.model.device)
        return {
            "number": item["number"],
            "role": role,
            "max_length": self.encoder.max_length,
            "embeddings": embeddings,
            "tokens": sum(tokens),
            "lengths": count_tokens(self.encoder, texts, role),
            "seconds": seconds,
            "memory": peak.memory_bytes,
            "capacity": peak.capacity_bytes,
        }


def count_tokens(encoder: Encoder, texts: Sequence[str], role: Role) -> list[int]:
    """Count the tokens of each text behind its prompt as if nothing were cut."""
    counts = encoder.reader.count([text[:_COUNTED] for text in texts], role)
    for number, text in enumerate(texts):
        if len(text) > _COUNTED:
            counts[number] = counts[number] * len(text) // _COUNTED
    return counts


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
