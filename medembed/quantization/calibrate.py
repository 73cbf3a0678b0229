"""Make a loaded model's int8 graph: convert it, measure what its layers read, round it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from medembed.data.dataset import Dataset
from medembed.encoding.backends import make_probe
from medembed.encoding.batching import Batch, make_batches
from medembed.encoding.encoder import Encoder
from medembed.encoding.openvino_backend import convert
from medembed.encoding.reading import ROLES, Role
from medembed.errors import DataError, ModelError
from medembed.language import tr
from medembed.quantization.graph import find_inputs, insert_int8, measure_inputs
from medembed.schema import content_hash

logger = logging.getLogger(__name__)

_BATCH_TOKENS = 512
Texts = Mapping[Role, Sequence[str]]


def draw_texts(dataset: Dataset, count: int) -> Texts:
    """Draw training queries and documents of the corpus, half and half, that a hash of ids decides.

    Raises DataError for a data set without either.
    """
    half = count // 2
    queries = _draw(dataset.queries("train"), "query_id", half)
    documents = _draw(dataset.corpus(), "document_id", count - half)
    if not queries or not documents:
        raise DataError(
            "{uri}: no training query, or no document; an int8 graph is calibrated on both.",
            uri=dataset.uri,
        )
    return {"query": queries, "document": documents}


def _draw(rows: pa.Table, id_column: str, count: int) -> list[str]:
    """Return the texts of the rows whose ids have the smallest hashes."""
    hashes = [content_hash(name) for name in rows[id_column].to_pylist()]
    chosen = sorted(range(len(hashes)), key=hashes.__getitem__)[:count]
    texts: list[str] = rows["text"].take(chosen).to_pylist()
    return texts


def convert_model(model: Any, reference: str) -> Any:
    """Return the model as a graph of float32.

    Raises ModelError for a model that has none.
    """
    probe = make_probe(model)
    if len(probe) > 1 or set(probe[0].features) != {"input_ids", "attention_mask"}:
        raise ModelError(
            "model {reference}: reads more than padded token ids; only models that do not can be "
            "computed in int8.",
            reference=reference,
        )
    try:
        graph = convert(model, probe[0])
    except Exception as error:  # of any type: it traces and converts code that we do not know
        raise ModelError(
            "model {reference}: OpenVINO cannot convert it ({error}); it stays without int8.",
            reference=reference,
            error=type(error).__name__,
        ) from None
    if not find_inputs(graph):
        raise ModelError(
            "model {reference}: has no linear layer that reads tokens; nothing to compute in int8.",
            reference=reference,
        )
    return graph


def calibrate(graph: Any, encoder: Encoder, texts: Texts) -> Any:
    """Return the graph in int8, calibrated on these texts as the encoder reads them."""
    batches: list[Batch] = []
    for role in ROLES:
        batches += make_batches(encoder.tokenize(texts[role], role), _BATCH_TOKENS)
    tokens = sum(batch.tokens for batch in batches)
    logger.info(
        tr(
            "calibration: {texts:,} texts, {tokens:,} tokens",
            texts=sum(map(len, texts.values())),
            tokens=tokens,
        )
    )
    return insert_int8(graph, measure_inputs(graph, batches))
