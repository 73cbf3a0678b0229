"""Corpus -> embedding table, and queries -> embeddings: Ray Data spreads the work over encoding actors.

The unit of work is one corpus file, so that batches, and with them the last bits of a vector, depend on the
data set alone and not on how many workers there are.
"""

import atexit
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.artifact import place
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, Role
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table, TableInfo, check_encoder, commit_table, find_table, write_fragment
from medembed.errors import StorageError
from medembed.progress import track
from medembed.spread import spread

logger = logging.getLogger(__name__)

CorpusFile = tuple[str, int]  # (URI of a Parquet file with columns schema.CORPUS, its number of rows)
_TEXTS_PER_ITEM = 1024


def encode_corpus(corpus: Sequence[CorpusFile], dataset: str, model: str, output: str, config: EncodingConfig) -> Table:
    """The embedding table of a corpus at `output`; found again if data set and encoder are unchanged.

    `dataset` is the data set's fingerprint. A table of the same encoder over other data becomes a new version;
    until its one commit, readers see the old one. Raises StorageError if another encoder's table is there.
    """
    encoder = model_fingerprint(fetch_model(model))
    output = place(output, encoder)
    table = find_table(output)
    if table is not None:
        check_encoder(table, encoder)
        if table.info.dataset == dataset:
            logger.info("embedding table %s version %d: unchanged, reused", encoder, table.version)
            return table
    else:
        _check_free(output)
    items = [{"number": number, "uri": uri, "rows": rows} for number, (uri, rows) in enumerate(corpus)]
    results = _run(items, EncodeFile, {"model": model, "output": output, "config": config}, config)
    total = sum(rows for _, rows in corpus)
    with _no_leftovers(output):
        done = {row["number"]: row for row in track(results, total, "encode corpus", "documents")}
    facts = done[0]["info"]
    info = TableInfo(**(facts | {"dimensions": tuple(facts["dimensions"])}), encoder=encoder, dataset=dataset)
    return commit_table(output, [done[number]["fragments"] for number in range(len(items))], info)


def encode_queries(texts: Sequence[str], model: str, config: EncodingConfig) -> npt.NDArray[np.float32]:
    """float32 [len(texts), width], unit rows, in the order of `texts`, behind the model's query prompt."""
    return encode_texts({"query": texts}, model, config)["query"]


def encode_texts(
    texts: Mapping[Role, Sequence[str]], model: str, config: EncodingConfig
) -> dict[Role, npt.NDArray[np.float32]]:
    """{role: float32 [texts, width]}, unit rows in the order of the texts, behind each role's prompt."""
    items = [
        {"role": role, "number": start, "texts": list(of_role[start : start + _TEXTS_PER_ITEM])}
        for role, of_role in texts.items()
        for start in range(0, len(of_role), _TEXTS_PER_ITEM)
    ]
    results = _run(items, EncodeTexts, {"model": model, "config": config}, config) if items else ()
    total = sum(map(len, texts.values()))
    done = {(row["role"], row["number"]): row["embeddings"] for row in track(results, total, "encode texts", "texts")}
    parts = {role: [done[key] for key in sorted(done) if key[0] == role] for role in texts}
    return {role: np.concatenate(found) if found else np.zeros((0, 0), np.float32) for role, found in parts.items()}


class EncodeFile:
    """Turns {number, uri} into an uncommitted table fragment. A class, so that the model loads once per actor."""

    def __init__(self, model: str, output: str, config: EncodingConfig) -> None:
        self.encoder, self.output = Encoder.load(model, config), output

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        corpus = storage.read_parquet(item["uri"])
        embeddings = self.encoder.encode(corpus["text"].to_pylist(), "document")
        info = {
            "width": self.encoder.width,
            "dimensions": list(self.encoder.dimensions),
            "prompt": self.encoder.prompt("document"),
            "max_length": self.encoder.max_length,
        }
        return {**item, "fragments": write_fragment(self.output, corpus, embeddings), "info": info}


class EncodeTexts:
    """Turns {role, number, texts} into {role, number, embeddings}."""

    def __init__(self, model: str, config: EncodingConfig) -> None:
        self.encoder = Encoder.load(model, config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        embeddings = self.encoder.encode(list(item["texts"]), item["role"])
        return {"role": item["role"], "number": item["number"], "rows": len(embeddings), "embeddings": embeddings}


@contextmanager
def _no_leftovers(output: str) -> Iterator[None]:
    """Removes uncommitted fragments if the work stops: no table, but no half of one either.

    Once at once, and once more when the process ends: until then a worker may still be writing its last fragment.
    """

    def remove() -> None:
        if find_table(output) is None:
            storage.delete_folder(output)

    atexit.register(remove)
    try:
        yield
    except BaseException:
        remove()
        raise
    atexit.unregister(remove)


def _check_free(output: str) -> None:
    """Raises StorageError if something else than fragments of an unfinished table lies there already."""
    if not storage.exists(output):
        return
    names = storage.list_files(output)
    foreign = [name for name in names if not name.startswith(("data/", "_transactions/"))]
    if foreign:
        raise StorageError(
            f"{output}: expected nothing or an embedding table, found {foreign[0]!r}; choose another place."
        )


def _run(items: list[dict[str, Any]], stage: type, arguments: dict[str, Any], config: EncodingConfig) -> Any:
    results = spread(
        items, stage, arguments, workers=config.workers, cpus=config.cpus_per_worker, gpus=config.gpus_per_worker
    )
    return ((int(row["rows"]), row) for row in results)
