"""A second opinion: another model scores the texts that the first one found, for margins and for
distillation.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder, is_cross_encoder
from medembed.encoding.model_files import fetch_model
from medembed.encoding.reading import Role
from medembed.encoding.texts import encode_texts
from medembed.mining.rules import Floats
from medembed.mining.texts import CorpusRows
from medembed.progress import track
from medembed.records import Records
from medembed.schema import content_hash
from medembed.spread import spread

_TEXTS_AT_ONCE = 65_536  # in the driver's memory together
_PAIRS_PER_ITEM = 256


def score_again(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    model: str,
    encoding: EncodingConfig,
    records: Records,
    scratch: Path,
) -> dict[str, Floats]:
    """{query id: the model's scores of its `asked` rows, float64 in their order}.

    `queries` {query id: text}. A sentence-transformers encoder gives cosines, a CrossEncoder what
    its own activation gives. Texts are computed in an order that ids decide: neither shards nor the
    number of workers change a score. What is done goes to `records`, where a rerun finds it. Raises
    ModelError for a model that does not load, or gives no numbers.
    """
    if is_cross_encoder(fetch_model(model)):
        return _cross_scores(asked, queries, rows, model, encoding, records)
    return _cosines(asked, queries, rows, model, encoding, records, scratch)


def _cosines(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    model: str,
    encoding: EncodingConfig,
    records: Records,
    scratch: Path,
) -> dict[str, Floats]:
    """Each text is encoded once; vectors lie on disk."""
    names, ids = sorted({name for of_query in asked.values() for name in of_query}), sorted(asked)
    line = {name: number for number, name in enumerate(names)}
    texts: dict[Role, list[str]] = {"query": [queries[name] for name in ids]}
    left = vectors = np.zeros((0, 0), np.float32)
    for start in range(0, len(names), _TEXTS_AT_ONCE):
        part = names[start : start + _TEXTS_AT_ONCE]
        found = _encode(
            {**texts, "document": [rows.text(name) for name in part]}, model, encoding, records
        )
        if start == 0:  # with the queries, so that actors start once less
            left, texts = found["query"], {}
            shape = len(names), left.shape[1]
            vectors = np.lib.format.open_memmap(
                scratch / "second.npy", mode="w+", dtype=np.float32, shape=shape
            )
        vectors[start : start + len(part)] = found["document"]
    return {
        query_id: (
            vectors[[line[name] for name in asked[query_id]]].astype(np.float64) * vector
        ).sum(axis=1)
        for query_id, vector in zip(ids, left.astype(np.float64), strict=True)
    }


def _encode(
    texts: Mapping[Role, Sequence[str]], model: str, encoding: EncodingConfig, records: Records
) -> dict[Role, npt.NDArray[np.float32]]:
    """As `encode_texts`, recorded."""
    found = records.once(
        _name(model, texts),
        lambda: {str(role): found for role, found in encode_texts(texts, model, encoding).items()},
    )
    return {role: found[role] for role in texts}


def _name(model: str, texts: Any) -> str:
    """Names scores by texts and by where the model lies; records of other weights lie in another
    folder.
    """
    return f"second-{content_hash(repr((model, texts)))}"


def _cross_scores(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    model: str,
    encoding: EncodingConfig,
    records: Records,
) -> dict[str, Floats]:
    pairs = [(query_id, name) for query_id in sorted(asked) for name in asked[query_id]]
    scores = np.concatenate(
        [np.zeros(0), *_score_parts(pairs, queries, rows, model, encoding, records)]
    )
    ends = np.cumsum([len(asked[query_id]) for query_id in sorted(asked)])[:-1]
    return dict(zip(sorted(asked), np.split(scores, ends), strict=True))


def _score_parts(
    pairs: Sequence[tuple[str, str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    model: str,
    encoding: EncodingConfig,
    records: Records,
) -> Iterator[Floats]:
    """The scores of the pairs in order, as many at once as texts may lie in memory."""
    for first in range(0, len(pairs), _TEXTS_AT_ONCE):
        part = pairs[first : first + _TEXTS_AT_ONCE]
        texts = [(queries[query_id], rows.text(name)) for query_id, name in part]
        yield records.once(_name(model, texts), partial(_score, texts, model, encoding))["scores"]


def _score(
    texts: Sequence[tuple[str, str]], model: str, encoding: EncodingConfig
) -> dict[str, Floats]:
    items = [
        {
            "number": start,
            "queries": [query for query, _ in texts[start : start + _PAIRS_PER_ITEM]],
            "texts": [text for _, text in texts[start : start + _PAIRS_PER_ITEM]],
        }
        for start in range(0, len(texts), _PAIRS_PER_ITEM)
    ]
    results = spread(
        items,
        ScorePairs,
        {"model": model, "config": encoding},
        workers=encoding.workers,
        cpus=encoding.cpus_per_worker,
        gpus=encoding.gpus_per_worker,
    )
    counted = ((len(row["scores"]), row) for row in results)
    done = {
        row["number"]: row["scores"]
        for row in track(counted, len(texts), "second opinion", "pairs")
    }
    return {"scores": np.concatenate([done[number] for number in sorted(done)])}


class ScorePairs:
    """Turns {number, queries, texts} into {number, scores float64} with a CrossEncoder."""

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.model = CrossEncoder.load(model, config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        pairs = list(zip(item["queries"], item["texts"], strict=True))
        return {"number": item["number"], "scores": self.model.score(pairs).astype(np.float64)}
