"""Encodes texts that lie in memory, queries above all: spread over actors, back in order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.language import tr
from medembed.progress import track_rows
from medembed.spread import spread

_TEXTS_PER_ITEM = 1024


def encode_queries(
    texts: Sequence[str], model: str, config: EncodingConfig, *, steadily: bool = False
) -> npt.NDArray[np.float32]:
    """Return float32 [len(texts), width], unit rows, behind the model's query prompt."""
    return encode_texts({"query": texts}, model, config, steadily=steadily)["query"]


def encode_texts(
    texts: Mapping[Role, Sequence[str]],
    model: str,
    config: EncodingConfig,
    *,
    steadily: bool = False,
) -> dict[Role, npt.NDArray[np.float32]]:
    """Return {role: float32 [texts, width]}, unit rows behind each role's prompt.

    As many as one item holds are encoded here, unless on a GPU: an actor loads Python, torch and
    the model anew.
    """
    embeddings: dict[Role, npt.NDArray[np.float32]] = {}
    total = sum(map(len, texts.values()))
    if 0 < total <= _TEXTS_PER_ITEM and not config.gpus_per_worker:
        encoder = Encoder.load(model, config.suited_to(total))
        for role, of_role in texts.items():
            embeddings[role] = encoder.encode(of_role, role, steadily=steadily)
        return embeddings
    items = []
    for role, of_role in texts.items():
        embeddings[role] = np.zeros((0, 0), np.float32)
        for start in range(0, len(of_role), _TEXTS_PER_ITEM):
            block = list(of_role[start : start + _TEXTS_PER_ITEM])
            items.append({"role": role, "number": start, "texts": block})
    if not items:
        return embeddings
    results = spread(
        items,
        EncodeTexts,
        {"model": model, "config": config, "steadily": steadily},
        workers=config.workers,
        cpus=config.cpus_per_worker,
        gpus=config.gpus_per_worker,
    )
    for row in track_rows(results, total, tr("encode texts"), tr("texts")):
        role = row["role"]
        block = row["embeddings"]
        if not len(embeddings[role]):
            embeddings[role] = np.empty((len(texts[role]), block.shape[1]), np.float32)
        embeddings[role][row["number"] : row["number"] + len(block)] = block
    return embeddings


class EncodeTexts:
    """Turns {role, number, texts} into {role, number, rows, embeddings}."""

    def __init__(self, model: str, config: EncodingConfig, steadily: bool = False) -> None:
        self.encoder = Encoder.load(model, config)
        self.steadily = steadily

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        embeddings = self.encoder.encode(list(item["texts"]), item["role"], steadily=self.steadily)
        return {
            "role": item["role"],
            "number": item["number"],
            "rows": len(embeddings),
            "embeddings": embeddings,
        }
