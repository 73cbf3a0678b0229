"""Encodes the sample as `encode` would, on the same kind of actors, and says what that costs."""

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
class Encoded:
    """The sample at one maximum length: float32 [queries, D] and [documents, D], unit rows, in
    order.
    """

    max_length: int
    queries: npt.NDArray[np.float32]
    documents: npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncodeCost:
    """What one actor needed for the documents at the model's own length; `capacity_bytes` 0 where
    there is no GPU.
    """

    rows: int
    tokens: int
    seconds: float
    memory_bytes: int
    capacity_bytes: int


@dataclass(frozen=True)
class EncodeProbe:
    """The sample encoded at the model's own length, first, and at others; tokens of each document
    before any cut.
    """

    encoded: tuple[Encoded, ...]
    lengths: npt.NDArray[np.int64]
    cost: EncodeCost


def probe_encoding(
    queries: Sequence[str],
    documents: Sequence[str],
    model: str,
    max_lengths: Sequence[int],
    workers: int,
    config: EncodingConfig,
) -> EncodeProbe:
    """Encodes both at the model's own maximum length and at each of `max_lengths`, on so many
    actors.
    """
    items = list(_make_items(queries, documents, max_lengths, workers))
    results = spread(
        items,
        EncodeItem,
        {"model": model, "config": config},
        workers=workers,
        cpus=config.cpus_per_worker,
        gpus=config.gpus_per_worker,
    )
    counted = ((len(row["embeddings"]), row) for row in results)
    total = sum(len(item["texts"]) for item in items)
    done = {row["number"]: row for row in track(counted, total, "encode sample", "texts")}
    rows = [done[item["number"]] for item in items]
    own = [row for row in rows if row["asked"] == 0]
    timed = [row for row in own if row["role"] == "document"]
    cost = EncodeCost(
        rows=sum(len(row["embeddings"]) for row in timed),
        tokens=sum(int(row["tokens"]) for row in timed),
        seconds=sum(float(row["seconds"]) for row in timed),
        memory_bytes=max(int(row["memory"]) for row in own),
        capacity_bytes=max(int(row["capacity"]) for row in own),
    )
    lengths = np.concatenate([np.asarray(row["lengths"], dtype=np.int64) for row in timed])
    encoded = tuple(
        Encoded(
            int(next(row["max_length"] for row in rows if row["asked"] == asked)),
            *_join(rows, asked),
        )
        for asked in dict.fromkeys(item["asked"] for item in items)
    )
    return EncodeProbe(encoded, lengths, cost)


class EncodeItem:
    """Turns {number, role, asked, texts} into their embeddings cut at `asked` tokens (0: the
    model's own length).
    """

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.encoder = Encoder.load(model, config)
        self.own_length = self.encoder.max_length
        self.encoder.encode(["warm up"] * 8)  # the first pass allocates, which no later one does

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        role, asked, texts = item["role"], int(item["asked"]), list(item["texts"])
        self.encoder.max_length = asked or self.own_length
        start = time.perf_counter()
        embeddings, tokens = self.encoder.encode_and_count(texts, role)
        seconds = time.perf_counter() - start
        memory, capacity = peak_memory(self.encoder.model.device)
        return {
            "number": item["number"],
            "role": role,
            "asked": asked,
            "max_length": self.encoder.max_length,
            "embeddings": embeddings,
            "tokens": sum(tokens),
            "lengths": [] if asked else count_tokens(self.encoder, texts, role),
            "seconds": seconds,
            "memory": memory,
            "capacity": capacity,
        }


def count_tokens(encoder: Encoder, texts: Sequence[str], role: Role) -> list[int]:
    """Tokens of each text behind its prompt as if nothing were cut."""
    counts = encoder.reader.count([text[:_COUNTED] for text in texts], role)
    return [
        count * max(len(text), 1) // max(min(len(text), _COUNTED), 1)
        for count, text in zip(counts, texts, strict=True)
    ]


def _make_items(
    queries: Sequence[str], documents: Sequence[str], max_lengths: Sequence[int], workers: int
) -> Iterator[dict[str, Any]]:
    """Items of one length each, the model's own first; as many for the documents as there are
    workers, or more.
    """
    size = min(-(-len(documents) // workers), _ROWS_PER_ITEM)
    number = 0
    for asked in (0, *max_lengths):
        parts: list[tuple[Role, Sequence[str]]] = [
            ("document", documents[start : start + size])
            for start in range(0, len(documents), size)
        ]
        if queries:  # Ray cannot carry an array without rows
            parts.append(("query", queries))
        for role, texts in parts:
            yield {"number": number, "role": role, "asked": asked, "texts": list(texts)}
            number += 1


def _join(
    rows: Sequence[dict[str, Any]], asked: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(embeddings of queries, of documents) at one length, in order."""
    parts: dict[str, list[npt.NDArray[np.float32]]] = {"query": [], "document": []}
    for row in rows:
        if row["asked"] == asked:
            parts[row["role"]].append(row["embeddings"])
    documents = np.concatenate(parts["document"])
    return np.concatenate(
        [np.zeros((0, documents.shape[1]), dtype=np.float32), *parts["query"]]
    ), documents
