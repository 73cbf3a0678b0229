"""Score texts that the first model found with a second one, for margins and for distillation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder, is_cross_encoder
from medembed.encoding.model_files import fetch_model
from medembed.encoding.reading import Role
from medembed.encoding.texts import encode_texts
from medembed.language import to_translate
from medembed.mining.rules import Floats
from medembed.mining.texts import CorpusRows, number_names
from medembed.progress import track_rows
from medembed.records import Records
from medembed.schema import content_hash
from medembed.spread import spread

_TEXTS_AT_ONCE = 65_536  # in the driver's memory together
_PAIRS_PER_ITEM = 256


@dataclass(frozen=True)
class SecondOpinion:
    """The model that scores again, how it encodes, and the records that a rerun finds."""

    model: str
    encoding: EncodingConfig
    records: Records

    def name(self, texts: Any) -> str:
        """Name scores by texts and by where the model lies; other weights have other records."""
        return f"second-{content_hash(repr((self.model, texts)))}"


def score_again(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    opinion: SecondOpinion,
    scratch: Path,
) -> dict[str, Floats]:
    """Return {query id: scores of its `asked` rows, float64 in their order}.

    `queries` {query id: text}. A sentence-transformers encoder gives cosines, a CrossEncoder what
    its own activation gives. Texts are computed in an order that ids decide: neither shards nor the
    number of workers change a score. Raises ModelError for a model that does not load, or gives no
    numbers.
    """
    if is_cross_encoder(fetch_model(opinion.model)):
        return _cross_scores(asked, queries, rows, opinion)
    return _cosines(asked, queries, rows, opinion, scratch)


def _cosines(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    opinion: SecondOpinion,
    scratch: Path,
) -> dict[str, Floats]:
    """Encode each text once; the vectors of documents lie on disk."""
    query_ids = sorted(asked)
    row_ids = sorted(set[str]().union(*asked.values()))
    line_of = number_names(row_ids)
    query_texts = [queries[query_id] for query_id in query_ids]
    of_queries = of_documents = np.zeros((0, 0), np.float32)
    for start in range(0, len(row_ids), _TEXTS_AT_ONCE):
        texts = list(map(rows.text, row_ids[start : start + _TEXTS_AT_ONCE]))
        if start == 0:  # queries go with the first documents, so that actors start once less
            encoded = _encode({"query": query_texts, "document": texts}, opinion)
            of_queries = encoded["query"]
            of_documents = np.lib.format.open_memmap(
                scratch / "second.npy",
                mode="w+",
                dtype=np.float32,
                shape=(len(row_ids), of_queries.shape[1]),
            )
        else:
            encoded = _encode({"document": texts}, opinion)
        of_documents[start : start + len(texts)] = encoded["document"]
    scores = {}
    for query_id, vector in zip(query_ids, of_queries.astype(np.float64), strict=True):
        lines = [line_of[row_id] for row_id in asked[query_id]]
        scores[query_id] = (of_documents[lines].astype(np.float64) * vector).sum(axis=1)
    return scores


def _encode(
    texts: Mapping[Role, Sequence[str]], opinion: SecondOpinion
) -> dict[str, npt.NDArray[np.float32]]:
    """Encode as `encode_texts` does, and record it."""

    def encode() -> dict[str, npt.NDArray[Any]]:
        encoded = encode_texts(texts, opinion.model, opinion.encoding)
        return {str(role): vectors for role, vectors in encoded.items()}

    return opinion.records.once(opinion.name(texts), encode)


def _cross_scores(
    asked: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    opinion: SecondOpinion,
) -> dict[str, Floats]:
    pairs: list[tuple[str, str]] = []
    ends = []
    for query_id in sorted(asked):
        pairs += product([query_id], asked[query_id])
        ends.append(len(pairs))
    scores = np.concatenate([np.zeros(0), *_score_pairs(pairs, queries, rows, opinion)])
    return dict(zip(sorted(asked), np.split(scores, ends[:-1]), strict=True))


def _score_pairs(
    pairs: Sequence[tuple[str, str]],
    queries: Mapping[str, str],
    rows: CorpusRows,
    opinion: SecondOpinion,
) -> Iterator[Floats]:
    """Give the scores of the pairs in order, as many at once as texts may lie in memory."""
    for start in range(0, len(pairs), _TEXTS_AT_ONCE):
        texts = []
        for query_id, row_id in pairs[start : start + _TEXTS_AT_ONCE]:
            texts.append((queries[query_id], rows.text(row_id)))
        yield opinion.records.once(opinion.name(texts), partial(_score, texts, opinion))["scores"]


def _score(texts: Sequence[tuple[str, str]], opinion: SecondOpinion) -> dict[str, Floats]:
    """Score pairs of texts on workers; return {"scores": float64 [pairs]}."""
    items = []
    for start in range(0, len(texts), _PAIRS_PER_ITEM):
        queries, documents = zip(*texts[start : start + _PAIRS_PER_ITEM], strict=True)
        items.append({"number": start, "queries": list(queries), "texts": list(documents)})
    encoding = opinion.encoding
    results = spread(
        items,
        ScorePairs,
        {"model": opinion.model, "config": encoding},
        workers=encoding.workers,
        cpus=encoding.cpus_per_worker,
        gpus=encoding.gpus_per_worker,
    )
    scores = np.empty(len(texts))
    for row in track_rows(
        results, len(texts), to_translate("second opinion"), to_translate("pairs")
    ):
        scores[row["number"] : row["number"] + row["rows"]] = row["scores"]
    return {"scores": scores}


class ScorePairs:
    """Turns {number, queries, texts} into {number, rows, scores float64} with a CrossEncoder."""

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.model = CrossEncoder.load(model, config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        scores = self.model.score(list(zip(item["queries"], item["texts"], strict=True)))
        return {
            "number": item["number"],
            "rows": len(scores),
            "scores": scores.astype(np.float64),
        }
